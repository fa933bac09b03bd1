"""The catalogue: what datasets, runs, models and weights there are, read from their directories, kept in a database.

The directories hold the truth. `refresh` looks at the time stamps of the files that matter and reads again what
changed, so that what the shell did is seen here a moment later; `rebuild` reads all of them.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, delete
from sqlmodel import Session, col, select

from fullconv.data.description import FILE_NAME as DATASET_FILE
from fullconv.errors import FullconvError
from fullconv.store.package import CARD
from fullconv.store.stored_weights import CARD as WEIGHTS_CARD
from fullconv.training.metrics_file import FILE as METRICS_FILE
from fullconv.training.runs import PLAN_FILE
from fullconv.training.status import FILE as STATUS_FILE
from fullconv.training.status import read_status
from fullconv.workbench.annotations import FILE as NOTES_FILE
from fullconv.workbench.annotations import read_annotations
from fullconv.workbench.catalogue_facts import (
    dataset_facts,
    made,
    model_facts,
    run_facts,
    weights_facts,
)
from fullconv.workbench.database import reading, writing
from fullconv.workbench.reported import SCORES_FILE
from fullconv.workbench.run_standings import Standings
from fullconv.workbench.storable import column_text
from fullconv.workbench.tables import CatalogueEntry
from fullconv.workspace import Workspace

Kind = Literal["dataset", "run", "model", "weights"]
log = logging.getLogger(__name__)
AT_ONCE = 50
"""Entries that are written together: of many that are new, the first ones are seen soon."""


@dataclass(frozen=True)
class _Place:
    """Where things of a kind lie.

    Args:
        folder: that holds their directories.
        matter: files whose change means reading again; a directory that has the first one is a thing of this kind.
        read: what a directory says.
    """

    folder: Callable[[Workspace], Path]
    matter: tuple[str, ...]
    read: Callable[[Path, Standings], dict[str, Any]]


@dataclass(frozen=True)
class Catalogue:
    """What there is in a workspace.

    Args:
        home: the workspace.
        engine: of the database.
    """

    home: Workspace
    engine: Engine
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _standings: Standings = field(default_factory=Standings)

    def refresh(self) -> int:
        """Read again what changed on disk since the last time.

        Returns:
            How many entries are new, changed or gone.
        """
        with self._lock:
            return sum(self._refresh(kind) for kind in _PLACES)

    def rebuild(self) -> dict[str, int]:
        """Read all directories, whatever the catalogue says of them; it is never without one meanwhile.

        Returns:
            Entries by kind.
        """
        with self._lock:
            for kind in _PLACES:
                self._refresh(kind, anew=True)
        with reading(self.engine) as session:
            kinds = session.exec(select(CatalogueEntry.kind)).all()
        return {kind: kinds.count(kind) for kind in _PLACES}

    def entries(self, kind: Kind) -> list[CatalogueEntry]:
        """All things of a kind, the newest first."""
        with reading(self.engine) as session:
            query = select(CatalogueEntry).where(CatalogueEntry.kind == kind)
            return list(session.exec(query.order_by(col(CatalogueEntry.created).desc(), CatalogueEntry.name)).all())

    def _refresh(self, kind: Kind, *, anew: bool = False) -> int:
        place = _PLACES[kind]
        found = _stamps(place, self.home)
        with reading(self.engine) as session:
            query = select(CatalogueEntry.name, CatalogueEntry.stamp, CatalogueEntry.state)
            known = {
                name: (stamp, state) for name, stamp, state in session.exec(query.where(CatalogueEntry.kind == kind))
            }
        folder = place.folder(self.home)
        gone = [name for name in known if name not in found]
        fresh = [
            name
            for name, stamp in found.items()
            if anew
            or known.get(name, ("", None))[0] != stamp
            or (known[name][1] == "running" and _has_ended(folder / name))
        ]
        if gone:
            with writing(self.engine) as session:
                _forget(session, kind, gone)
        fresh.sort(reverse=True)  # names of runs begin with their time
        for start in range(0, len(fresh), AT_ONCE):
            some = fresh[start : start + AT_ONCE]
            entries = [self._entry(kind, folder / name, found[name]) for name in some]
            with writing(self.engine) as session:
                _forget(session, kind, some)
                session.add_all(entries)
        return len(fresh) + len(gone)

    def _entry(self, kind: Kind, directory: Path, stamp: str) -> CatalogueEntry:
        entry = CatalogueEntry(kind=kind, name=directory.name, stamp=stamp, created=made(directory))
        try:
            values = _PLACES[kind].read(directory, self._standings)
            notes = read_annotations(directory)
        except FullconvError as problem:
            entry.problem = str(problem)
            return entry
        except OSError as problem:  # one folder that may not be read does not hide the others
            entry.problem = f"cannot be read ({problem.strerror})"
            return entry
        except Exception as problem:  # nor does one that holds what nobody thought of
            log.exception("reading %s", directory)
            entry.problem = f"cannot be read ({type(problem).__name__}); see the server's log"
            return entry
        entry.tags = "\n" + "".join(f"{tag}\n" for tag in notes.tags)
        entry.facts = values.pop("facts") | {"note": notes.note}
        for name, value in values.items():
            setattr(entry, name, column_text(value) if isinstance(value, str) else value)
        return entry


def _forget(session: Session, kind: Kind, names: list[str]) -> None:
    """Without looking at what the rows hold, which may be damaged."""
    session.connection().execute(
        delete(CatalogueEntry).where(col(CatalogueEntry.kind) == kind, col(CatalogueEntry.name).in_(names))
    )


def _stamps(place: _Place, home: Workspace) -> dict[str, str]:
    """Directories of a kind by name, each with what changes whenever one of its files does."""
    found = {}
    with suppress(FileNotFoundError), os.scandir(place.folder(home)) as listed:
        for item in listed:
            if item.name.startswith(".") or not _is_text(item.name):
                continue
            marks = [_mark(f"{item.path}/{name}") for name in place.matter]
            if marks[0] != _MISSING:
                found[item.name] = " ".join(marks)
    return found


def _is_text(name: str) -> bool:
    """Whether a name is text, and not bytes that no database takes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mark(path: str) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116 - a second's look at a thousand runs is six thousand of these
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    except OSError:  # it is there and may not be looked at: reading it says why
        return "?"
    return f"{found.st_mtime_ns}.{found.st_size}"


def _has_ended(run: Path) -> bool:
    """Whether a run lost its process, which no file tells."""
    try:
        return read_status(run).shown != "running"
    except (FullconvError, OSError):
        return True


_MISSING = "-"
_PLACES: dict[Kind, _Place] = {
    "dataset": _Place(lambda home: home.datasets, (DATASET_FILE, NOTES_FILE), lambda path, _: dataset_facts(path)),
    "run": _Place(
        lambda home: home.runs,
        (STATUS_FILE, PLAN_FILE, METRICS_FILE, str(SCORES_FILE), f"model/{CARD}", NOTES_FILE),
        run_facts,
    ),
    "model": _Place(lambda home: home.models, (CARD, NOTES_FILE), lambda path, _: model_facts(path)),
    "weights": _Place(lambda home: home.models, (WEIGHTS_CARD, NOTES_FILE), lambda path, _: weights_facts(path)),
}
