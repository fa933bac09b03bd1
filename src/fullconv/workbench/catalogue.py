"""The catalogue: what datasets, runs, models and weights there are, read from their directories, kept in a database.

The directories hold the truth. `refresh` looks at the time stamps of the files that matter and reads again what
changed, so that what the shell did is seen here a moment later; `rebuild` forgets everything and reads all.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, delete
from sqlmodel import col, select

from fullconv.data.description import FILE_NAME as DATASET_FILE
from fullconv.data.description import DatasetDescription
from fullconv.errors import FullconvError, PackageError, PlanError
from fullconv.files import read_document
from fullconv.store.package import CARD, read_card
from fullconv.store.stored_weights import CARD as WEIGHTS_CARD
from fullconv.store.stored_weights import FILE as WEIGHTS_FILE
from fullconv.store.stored_weights import read_weights_card
from fullconv.training.runs import PLAN_FILE
from fullconv.training.settings.experiment import Experiment
from fullconv.training.status import FILE as STATUS_FILE
from fullconv.training.status import read_status
from fullconv.workbench.annotations import FILE as NOTES_FILE
from fullconv.workbench.annotations import read_annotations
from fullconv.workbench.database import reading, writing
from fullconv.workbench.tables import CatalogueEntry
from fullconv.workspace import Workspace

Kind = Literal["dataset", "run", "model", "weights"]
SCORES = Path("report") / "scores.json"


@dataclass(frozen=True)
class _Place:
    """Where things of a kind lie.

    Args:
        folder: that holds their directories.
        mark: a directory with this file is one.
        matter: files whose change means reading again.
        read: makes an entry of a directory.
    """

    folder: Callable[[Workspace], Path]
    mark: str
    matter: tuple[str, ...]
    read: Callable[[Path], dict[str, Any]]


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

    def refresh(self) -> int:
        """Read again what changed on disk since the last time.

        Returns:
            How many entries are new, changed or gone.
        """
        with self._lock:
            return sum(self._refresh(kind) for kind in _PLACES)

    def rebuild(self) -> dict[str, int]:
        """Forget the catalogue and read all directories.

        Returns:
            Entries by kind.
        """
        with self._lock:
            with writing(self.engine) as session:
                session.connection().execute(delete(CatalogueEntry))
            for kind in _PLACES:
                self._refresh(kind)
        with reading(self.engine) as session:
            kinds = session.exec(select(CatalogueEntry.kind)).all()
        return {kind: kinds.count(kind) for kind in _PLACES}

    def entries(self, kind: Kind) -> list[CatalogueEntry]:
        """All things of a kind, the newest first."""
        with reading(self.engine) as session:
            query = select(CatalogueEntry).where(CatalogueEntry.kind == kind)
            return list(session.exec(query.order_by(col(CatalogueEntry.created).desc(), CatalogueEntry.name)).all())

    def _refresh(self, kind: Kind) -> int:
        place = _PLACES[kind]
        found = {path.name: (path, _stamp(path, place.matter)) for path in _directories(place, self.home)}
        with reading(self.engine) as session:
            query = select(CatalogueEntry.name, CatalogueEntry.stamp, CatalogueEntry.state)
            rows = session.exec(query.where(CatalogueEntry.kind == kind)).all()
        # A run that goes on may have lost its process, which no file tells.
        known = {name: "" if state == "running" else stamp for name, stamp, state in rows}
        fresh = [_entry(kind, path, stamp) for name, (path, stamp) in found.items() if known.get(name) != stamp]
        gone = [name for name in known if name not in found]
        if fresh or gone:
            with writing(self.engine) as session:
                for name in gone:
                    old = session.get(CatalogueEntry, (kind, name))
                    if old is not None:
                        session.delete(old)
                for entry in fresh:
                    session.merge(entry)
        return len(fresh) + len(gone)


def _directories(place: _Place, home: Workspace) -> Iterable[Path]:
    with suppress(FileNotFoundError), os.scandir(place.folder(home)) as listed:
        for item in listed:
            if not item.name.startswith(".") and item.is_dir() and Path(item.path, place.mark).is_file():
                yield Path(item.path)


def _stamp(directory: Path, matter: tuple[str, ...]) -> str:
    """Changes with every change of one of the files."""
    marks = []
    for name in matter:
        try:
            found = (directory / name).stat()
            marks.append(f"{found.st_mtime_ns}.{found.st_size}")
        except OSError:
            marks.append("-")
    return " ".join(marks)


def _entry(kind: Kind, directory: Path, stamp: str) -> CatalogueEntry:
    entry = CatalogueEntry(kind=kind, name=directory.name, stamp=stamp, created=_made(directory))
    try:
        values = _PLACES[kind].read(directory)
        notes = read_annotations(directory)
    except FullconvError as problem:
        entry.problem = str(problem)
        return entry
    entry.tags = "\n" + "".join(f"{tag}\n" for tag in notes.tags)
    entry.facts = values.pop("facts") | {"note": notes.note}
    for name, value in values.items():
        setattr(entry, name, value)
    return entry


def _made(directory: Path) -> str:
    """When a directory was made, as far as the file system tells."""
    with suppress(OSError):
        return datetime.fromtimestamp(directory.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return ""


def _dataset(directory: Path) -> dict[str, Any]:
    description = read_document(directory / DATASET_FILE, DatasetDescription)
    classes = description.edits.apply(description.table())
    statistics = description.statistics
    return {
        "created": description.created,
        "facts": {
            "images": statistics.images,
            "splits": {split: counts.images for split, counts in statistics.splits.items()},
            "classes": [{"name": entry.name, "color": list(entry.color)} for entry in classes.classes],
            "label_format": description.label_format.kind,
            "channels": description.channels,
            "dtype": description.dtype,
            "root": description.root,
            "problems": len(description.problems),
        },
    }


def _run(directory: Path) -> dict[str, Any]:
    status = read_status(directory)
    plan = read_document(directory / PLAN_FILE, Experiment, PlanError)
    scores: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        scores = json.loads((directory / SCORES).read_text(encoding="utf-8"))["scores"]
    model = None
    with suppress(PackageError):
        card = read_card(directory / "model")
        model = card.scores[0].split if card.scores else ""
    return {
        "created": _begun(directory, status.heartbeat),
        "state": status.shown,
        "dataset": plan.dataset,
        "network": plan.network,
        "group": plan.group,
        "mean_iou": scores.get("mean_iou"),
        "pixel_accuracy": scores.get("pixel_accuracy"),
        "best_mean_iou": status.best_mean_iou,
        "facts": {
            "epoch": status.epoch,
            "epochs": status.epochs,
            "progress": status.progress,
            "seconds_left": status.seconds_left,
            "warnings": list(status.warnings),
            "error": status.error,
            "mean_accuracy": scores.get("mean_accuracy"),
            "frequency_weighted_iou": scores.get("frequency_weighted_iou"),
            "split": model,
            "weights": plan.weights,
            "seed": plan.seed,
            "regime": plan.regime.kind,
        },
    }


def _begun(directory: Path, heartbeat: str) -> str:
    with suppress(OSError):
        return datetime.fromtimestamp((directory / PLAN_FILE).stat().st_mtime, UTC).isoformat(timespec="seconds")
    return heartbeat


def _model(directory: Path) -> dict[str, Any]:
    card = read_card(directory)
    best = card.scores[0] if card.scores else None
    tables = card.classes if isinstance(card.classes, dict) else {"": card.classes}
    return {
        "created": next((entry.when for entry in card.history), "") or _made(directory),
        "dataset": best.dataset if best else None,
        "network": card.network.name,
        "mean_iou": best.mean_iou if best else None,
        "pixel_accuracy": best.pixel_accuracy if best else None,
        "facts": {
            "split": best.split if best else None,
            "licence": card.licence,
            "classes": [entry.name for table in tables.values() for entry in table.classes],
            "stride": card.geometry.stride,
            "reach": card.geometry.reach,
            "channels": card.network.channels,
            "dtype": card.image_dtype,
            "made_with": card.made_with,
        },
    }


def _weights(directory: Path) -> dict[str, Any]:
    card, file = read_weights_card(directory), directory / WEIGHTS_FILE
    if not file.is_file():
        raise PackageError("its weights are gone", where=file, remedy="delete it, and upload them again")
    return {
        "created": card.added,
        "facts": {
            "source": card.source,
            "tensors": card.tensors,
            "values": card.values,
            "licence": card.licence,
            "bytes": file.stat().st_size,
        },
    }


_PLACES: dict[Kind, _Place] = {
    "dataset": _Place(lambda home: home.datasets, DATASET_FILE, (DATASET_FILE, NOTES_FILE), _dataset),
    "run": _Place(lambda home: home.runs, STATUS_FILE, (STATUS_FILE, PLAN_FILE, str(SCORES), NOTES_FILE), _run),
    "model": _Place(lambda home: home.models, CARD, (CARD, NOTES_FILE), _model),
    "weights": _Place(lambda home: home.models, WEIGHTS_CARD, (WEIGHTS_CARD, NOTES_FILE), _weights),
}
