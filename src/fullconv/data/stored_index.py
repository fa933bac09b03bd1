"""The index of a dataset in the workspace's cache: opened in milliseconds where `dataset.yaml` takes seconds."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fullconv.data.dataset import Dataset
from fullconv.data.description import FILE_NAME, DatasetDescription, DatasetHead
from fullconv.data.examination import Examination
from fullconv.data.image_index import ImageIndex
from fullconv.errors import DataError, StorageError
from fullconv.files import read_document
from fullconv.workspace import Workspace


@dataclass(frozen=True, eq=False)
class StoredIndex:
    """A dataset as far as its images need not be opened.

    Args:
        head: what `dataset.yaml` says of the whole.
        index: its images.
        stamp: of the `dataset.yaml` that both were read from.
    """

    head: DatasetHead
    index: ImageIndex
    stamp: str


def index_folder(home: Workspace, name: str) -> Path:
    """Where what is known of a dataset's images is kept; it may be deleted at any time."""
    return home.cache / "datasets" / home.dataset(name).name


def open_index(home: Workspace, name: str) -> StoredIndex:
    """The index of a dataset as it is now: from the cache, else from `dataset.yaml`.

    What was counted for files that are still the same is taken over; the rest is for `count_images`.

    Raises:
        DataError: there is no such dataset, or a wrong field in it.
    """
    path = home.dataset(name) / FILE_NAME
    stamp = stamp_of_file(path)
    if not stamp:
        raise DataError("no such dataset", where=name, remedy=f"look into {home.datasets}")
    kept = ImageIndex.read(index_folder(home, name) / "index.npz")
    if kept is not None:
        found = _stored(*kept)
        if found is not None and found.stamp == stamp:
            return found
    description = read_document(path, DatasetDescription)
    index = ImageIndex.of_description(description)
    if kept is not None:
        index = index.with_counts_of(kept[0])
    fresh = StoredIndex(description.head(), index, stamp)
    with suppress(StorageError):  # a full or read-only disk is no reason not to look
        keep_index(home, name, fresh)
    return fresh


def keep_index(home: Workspace, name: str, stored: StoredIndex) -> None:
    """Write an index into the cache.

    Raises:
        StorageError: the disk is full or the workspace not writable.
    """
    about = {"stamp": stored.stamp, "head": stored.head.model_dump(mode="json")}
    stored.index.write(index_folder(home, name) / "index.npz", json.dumps(about))


def keep_examined(home: Workspace, dataset: Dataset, examination: Examination) -> None:
    """Write the index of a dataset that was just made of an examination and saved, with everything counted.

    Raises:
        StorageError: the disk is full or the workspace not writable.
    """
    head = DatasetDescription.of(dataset, root=str(dataset.root)).head()
    stamp = stamp_of_file(home.dataset(dataset.name) / FILE_NAME)
    keep_index(home, dataset.name, StoredIndex(head, ImageIndex.of_examination(examination), stamp))


def stamp_of_file(path: Path) -> str:
    """Changes with every change of a file; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_mtime_ns:x}-{found.st_size}"


def _stored(index: ImageIndex, about: str) -> StoredIndex | None:
    try:
        told = json.loads(about)
        return StoredIndex(DatasetHead.model_validate(told["head"]), index, str(told["stamp"]))
    except (ValueError, KeyError, TypeError, ValidationError):
        return None
