"""What people write beside a dataset, a run or a model: tags and a note. It lies in the thing's own directory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fullconv.errors import StorageError
from fullconv.files import read_document, write_document

FILE = "notes.yaml"
_TAG = re.compile(r"[^\n\r\t,\ud800-\udfff]{1,40}")


def _clean_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
    for tag in found:
        if not _TAG.fullmatch(tag):
            raise ValueError(f"{tag[:60]!r} cannot be a tag; use 40 characters at most, no comma")
    return found


class Annotations(BaseModel):
    """Tags and a note.

    Args:
        tags: short words to find things by, 20 at most.
        note: free text.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"example": {"tags": ["paper", "day"], "note": "From the car, in June."}},
    )

    format: Literal[1] = 1
    tags: Annotated[tuple[str, ...], Field(max_length=20), AfterValidator(_clean_tags)] = ()
    note: str = Field(default="", max_length=20_000)


def read_annotations(directory: Path) -> Annotations:
    """Tags and note of a directory; none where nothing was written.

    Raises:
        StorageError: the file is damaged.
    """
    path = directory / FILE
    return read_document(path, Annotations, StorageError) if path.is_file() else Annotations()


def write_annotations(directory: Path, annotations: Annotations) -> None:
    """Write tags and note, or nothing at all.

    Raises:
        StorageError: there is no such directory, or it cannot be written.
    """
    if not directory.is_dir():
        raise StorageError("no such folder", where=directory, remedy="look at the list again")
    write_document(directory / FILE, annotations)
