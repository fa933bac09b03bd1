"""Predictions of folders and evaluations as they lie in the workspace: a directory each, with a document that says what
was asked."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from fullconv.errors import FullconvError, StorageError
from fullconv.files import disk_errors, read_document, write_document
from fullconv.workbench.refusals import NotThere
from fullconv.workspace import Workspace, checked_name

RESULTS, UPLOADS, REPORT, SHARES = "results", "uploads", "report", "shares.csv"
PackageKind = Literal["model", "run"]
"""Where a package lies: in the store, or in its run."""


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: Literal[1] = 1
    model: str
    kind: PackageKind
    head: str | None = None
    created: str
    done: bool = False


class Failed(BaseModel):
    """An image that could not be predicted.

    Args:
        image: its path from the folder on. problem: why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str
    problem: str


class StoredPrediction(_Asked):
    """`predictions/<name>/prediction.yaml`: many images on a model.

    Args:
        model: its name. kind: of the store or of a run. head: that was asked.
        source: the folder; none where the images were uploaded.
        probabilities: were kept too.
        created: ISO 8601. done: it is finished.
        failed: images that could not be used.
    """

    source: str | None = None
    probabilities: bool = False
    failed: tuple[Failed, ...] = ()


class StoredEvaluation(_Asked):
    """`evaluations/<name>/evaluation.yaml`: a model against a dataset.

    Args:
        model: its name. kind: of the store or of a run. head: that was asked.
        dataset: its name. split: of it.
        created: ISO 8601. done: it is finished.
        images: how many. pixel_accuracy, mean_accuracy, mean_iou, frequency_weighted_iou: the scores.
    """

    dataset: str
    split: Literal["train", "val", "test"]
    images: int | None = None
    pixel_accuracy: float | None = None
    mean_accuracy: float | None = None
    mean_iou: float | None = None
    frequency_weighted_iou: float | None = None


Document = TypeVar("Document", StoredPrediction, StoredEvaluation)
_PLACES: dict[type[BaseModel], tuple[str, str]] = {
    StoredPrediction: ("predictions", "prediction.yaml"),
    StoredEvaluation: ("evaluations", "evaluation.yaml"),
}


def directory_of(home: Workspace, kind: type[Document], name: str) -> Path:
    """Where one lies.

    Raises:
        NotThere: there is none of that name.
    """
    folder, file = _PLACES[kind]
    try:
        directory = home.root / folder / checked_name(name)
    except StorageError:
        directory = None
    if directory is None or not (directory / file).is_file():
        raise NotThere(f"there is no {name[:100]!r}", where=folder, remedy=f"look at the list of {folder}")
    return directory


def read_stored(home: Workspace, kind: type[Document], name: str) -> Document:
    """What was asked, and what came of it.

    Raises:
        NotThere: there is none of that name.
        StorageError: its document is damaged.
    """
    return read_document(directory_of(home, kind, name) / _PLACES[kind][1], kind, StorageError)


def write_stored(home: Workspace, document: Document, name: str, **changes: Any) -> Document:
    """Write a document anew, with changes."""
    changed = document.model_copy(update=changes)
    folder, file = _PLACES[type(document)]
    write_document(home.root / folder / checked_name(name) / file, changed)
    return changed


def add_stored(home: Workspace, document: Document, title: str) -> str:
    """A new directory, named by the time and a title.

    Returns:
        Its name.

    Raises:
        StorageError: the workspace cannot be written.
    """
    folder, _ = _PLACES[type(document)]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{datetime.now():%Y%m%d-%H%M%S}-{title}")[:80]
    number = 1
    with disk_errors(home.root / folder):
        (home.root / folder).mkdir(parents=True, exist_ok=True)
        while True:
            name = stem if number == 1 else f"{stem}-{number}"
            try:
                (home.root / folder / name).mkdir()
                break
            except FileExistsError:
                number += 1
    try:
        write_stored(home, document, name)
    except BaseException:
        (home.root / folder / name).rmdir()  # without its document nothing finds it any more
        raise
    return name


def all_stored(home: Workspace, kind: type[Document]) -> list[tuple[str, Document]]:
    """Names and documents of all that can be read, the newest first."""
    folder, file = _PLACES[kind]
    found = []
    for path in sorted((home.root / folder).glob(f"[!.]*/{file}"), reverse=True):
        with suppress(FullconvError):
            found.append((path.parent.name, read_stored(home, kind, path.parent.name)))
    return found


def now() -> str:
    """ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
