"""The images that layers can be shown for, by one line of text: shapes, an image of a dataset, a path, an upload."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from fullconv.errors import DataError
from fullconv.prediction.model import Model
from fullconv.workbench.held_images import TOKEN
from fullconv.workbench.layers.shapes import shapes_for
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.security.paths import allowed_path
from fullconv.workbench.security.pictures import checked_image, read_checked
from fullconv.workbench.workbench import Workbench

SHAPES = "shapes"
_REMEDY = "say shapes, dataset:NAME:KEY, path:/folder/photo.jpg or upload:TOKEN"


@dataclass(frozen=True)
class Located:
    """An image that may be looked at.

    Args:
        title: for people. tag: another one for another content.
        load: reads it as a model takes it: (H, W, C). decoded_bytes: what its pixels will take.
    """

    title: str
    tag: str
    load: Callable[[Model], npt.NDArray[Any]]
    decoded_bytes: Callable[[], int] = lambda: 0


def locate(bench: Workbench, image: str) -> Located:
    """Find an image; opening a dataset for the first time may take seconds.

    Args:
        image: "shapes", "dataset:NAME:KEY", "path:/folder/photo.jpg" or "upload:TOKEN".

    Raises:
        DataError: none of these.
        NotThere: there is no such dataset, image, file or upload.
        Forbidden: the path lies outside the allowed folders.
    """
    kind, _, rest = image.partition(":")
    if kind == SHAPES and not rest:
        return Located("simple shapes", SHAPES, _shapes)
    if kind == "dataset" and ":" in rest:
        name, _, key = rest.partition(":")
        return _of_dataset(bench, name, key)
    if kind == "path" and rest:
        return _of_file(bench, allowed_path(bench.settings, rest, kind="file", where="image"), None)
    if kind == "upload" and TOKEN.fullmatch(rest):
        upload = bench.held_images.get(rest)
        return _of_file(bench, upload.path, upload.name)
    raise DataError("is no image", where="image", remedy=_REMEDY)


def _shapes(model: Model) -> npt.NDArray[Any]:
    return shapes_for(model.card.network.channels, model.card.image_dtype, model.card.normalization)


def _of_dataset(bench: Workbench, name: str, key: str) -> Located:
    opened = bench.datasets.open(name)
    try:
        number = opened.index.keys.index(key)
    except ValueError:
        raise NotThere(f"{name} has no image {key!r}", where="image", remedy="look at its list of images") from None
    return _of_file(bench, opened.sample(number).image, f"{key} of {name}")


def _of_file(bench: Workbench, path: Path, title: str | None) -> Located:
    shown = title or path.name
    try:
        found = path.stat()
    except OSError:
        raise NotThere("there is no such file", where="image", remedy="choose another image") from None
    marks = f"{path}\n{found.st_mtime_ns}\n{found.st_size}"
    tag = hashlib.blake2b(marks.encode("utf-8", "surrogateescape"), digest_size=9).hexdigest()

    def load(model: Model) -> npt.NDArray[Any]:
        return model.checked(read_checked(path, bench.settings.limits, where=shown), where=shown)

    return Located(shown, tag, load, lambda: checked_image(path, bench.settings.limits, where=shown).nbytes)
