"""Who uses what was uploaded: an upload goes only when no dataset, no run and no open job has anything in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fullconv.data.description import FILE_NAME, DatasetDescription
from fullconv.data.image_index import ImageIndex
from fullconv.data.stored_index import open_index
from fullconv.errors import DataError
from fullconv.files import read_document
from fullconv.plain_yaml import refuse_references
from fullconv.workbench.security.descriptions import LARGEST
from fullconv.workbench.storable import LONGEST_TEXT
from fullconv.workbench.stored import StoredPrediction, all_stored
from fullconv.workbench.tables import OPEN
from fullconv.workbench.workbench import Workbench


def uploads_folder(bench: Workbench) -> Path:
    """Where uploaded archives are unpacked, each in a folder of its own."""
    return bench.home.root.resolve() / "uploads"


def uploads_among(bench: Workbench, places: Iterable[Path]) -> set[Path]:
    """The folders of the uploads that some paths lie in."""
    uploads = uploads_folder(bench)
    found = set()
    for place in places:
        if place.is_relative_to(uploads) and place != uploads:
            found.add(uploads / place.relative_to(uploads).parts[0])
    return found


def used_uploads(bench: Workbench) -> set[Path] | None:
    """The uploads that a dataset, a run or an open job uses.

    Returns:
        None where something cannot be read: it may use any of them.
    """
    try:
        bench.catalogue.refresh()
        return uploads_among(bench, _used(bench))
    except Exception:  # whatever is wrong with a file, what it names may not be deleted
        return None


def dataset_places(bench: Workbench, name: str) -> set[Path]:
    """The folders that a dataset's files lie in.

    Raises:
        DataError, StorageError: it cannot be read.
    """
    found = open_index(bench.home, name)
    return _places(bench.home.dataset(name), found.head.root, found.index)


def _used(bench: Workbench) -> Iterator[Path]:
    for directory in _datasets(bench):
        yield from dataset_places(bench, directory.name)
    for entry in bench.catalogue.entries("run"):
        if entry.problem is not None:
            raise DataError(entry.problem, where=entry.name, remedy="mend or delete it")
        if len(entry.dataset or "") >= LONGEST_TEXT:
            raise DataError("names its dataset by a very long path", where=entry.name, remedy="delete it")
        for path in (entry.dataset, entry.facts.get("weights")):
            yield from _named(path)
    for job in bench.queue.jobs(states=OPEN, limit=10_000):
        for text in _texts(job.payload):
            yield from _named(text)
    for _, asked in all_stored(bench.home, StoredPrediction):
        if not asked.done:
            yield from _named(asked.source)


def _datasets(bench: Workbench) -> Iterator[Path]:
    """From the disk, since the catalogue may be a moment late."""
    if bench.home.datasets.is_dir():
        for directory in bench.home.datasets.iterdir():
            if not directory.name.startswith(".") and (directory / FILE_NAME).is_file():
                yield directory


def _named(text: str | None) -> Iterator[Path]:
    """A path and, where it is a description of a dataset, the files that this names."""
    if not text or not text.startswith(os.sep) or "\0" in text:
        return
    path = Path(os.path.realpath(text))
    yield path
    description = path / FILE_NAME if path.is_dir() else path
    if description.suffix in (".yaml", ".yml") and description.is_file():
        refuse_references(description, largest=LARGEST, error=DataError)
        found = read_document(description, DatasetDescription)
        yield from _places(description.parent, found.root, ImageIndex.of_description(found))


def _places(directory: Path, root: str, index: ImageIndex) -> set[Path]:
    """Real folders of all files; many share one, so that each is looked up once."""
    top = directory / root
    folders = {(top / file).parent for files in (index.images, *index.labels) for file in files}
    return {Path(os.path.realpath(folder)) for folder in folders}


def _texts(value: Any) -> Iterator[str]:
    """All texts in a job's payload."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
