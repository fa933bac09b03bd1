"""Weight files in the workspace: start values for runs, beside the model packages and under names of the same kind."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fullconv.errors import PackageError, StorageError
from fullconv.files import disk_errors, read_document, staged_directory, write_document
from fullconv.store.tensor_files import tensor_shapes, values_in
from fullconv.workspace import checked_name

CARD = "weights.yaml"
FILE = "weights.safetensors"


class WeightsCard(BaseModel):
    """The contents of weights.yaml.

    Args:
        source: name of the file that it was made of.
        added: ISO 8601, UTC.
        tensors: how many. values: numbers in all of them.
        licence: of the weights, where it is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    source: str
    added: str
    tensors: int
    values: int
    licence: str | None = None


def keep_weights(directory: Path, path: Path, *, source: str, licence: str | None = None) -> WeightsCard:
    """Copy a safetensors file into a new folder; pickles, which can hold programs, are not taken.

    Args:
        directory: the folder to make.
        path: of the file.
        source: what the file is called.

    Raises:
        PackageError: it is no safetensors file, or a damaged one.
        StorageError: the folder exists, or cannot be written.
    """
    with staged_directory(directory) as folder, disk_errors(directory):
        shapes = tensor_shapes(path)
        shutil.copyfile(path, folder / FILE)
        card = WeightsCard(
            source=source,
            added=datetime.now(UTC).isoformat(timespec="seconds"),
            tensors=len(shapes),
            values=values_in(shapes),
            licence=licence,
        )
        write_document(folder / CARD, card)
    return card


def read_weights_card(directory: Path) -> WeightsCard:
    """The description of stored weights.

    Raises:
        PackageError: there are none, or the description is damaged.
    """
    return read_document(directory / CARD, WeightsCard, PackageError)


def find_weights(name: str, models: Path) -> Path | None:
    """The file of stored weights of that name, if there are any.

    >>> find_weights("imagenet-vgg16", Path("/nowhere")) is None
    True
    """
    try:
        path = models / checked_name(name) / FILE
    except StorageError:
        return None
    return path if path.is_file() else None
