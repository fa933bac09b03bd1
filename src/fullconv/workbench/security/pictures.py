"""Uploaded images: how large they are is read from their header, and what is too large is never decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from fullconv.data.images import ImageInfo, TooManyPixels, image_info, read_image
from fullconv.errors import DataError
from fullconv.workbench.refusals import TooLarge
from fullconv.workbench.settings import Limits

_REMEDY = "make it smaller, cut it into tiles, or use the shell"


def checked_image(path: Path, limits: Limits, *, where: str = "image") -> ImageInfo:
    """Size, bands and dtype of an image that may be decoded; only its header is read.

    Args:
        path: an uploaded file, or one in an allowed folder.
        where: the field or the file's own name, which the message shows in place of the path.

    Raises:
        TooLarge: more pixels or bytes than may be decoded, or than its few bytes can honestly hold.
        DataError: no image, or a damaged one.
    """
    try:
        info = image_info(path)
    except TooManyPixels as problem:
        raise TooLarge(problem.problem, where=where, remedy=_REMEDY) from None
    except DataError as problem:
        raise DataError(_without(problem.problem, path), where=where, remedy=problem.remedy) from None
    if info.height * info.width > limits.pixels:
        said = f"has {info.width}×{info.height} pixels, more than {limits.pixels / 1e6:.3g} million"
        raise TooLarge(said, where=where, remedy=_REMEDY)
    return info


def read_checked(path: Path, limits: Limits, *, where: str = "image") -> npt.NDArray[Any]:
    """Decode an image that may be decoded: (H, W, C) uint8, uint16 or float32, as `read_image`.

    Raises:
        TooLarge, DataError: as `checked_image`.
    """
    checked_image(path, limits, where=where)
    try:
        return read_image(path)
    except DataError as problem:
        raise DataError(_without(problem.problem, path), where=where, remedy=problem.remedy) from None


def _without(said: str, path: Path) -> str:
    """A decoder's words without the place of the upload on this machine."""
    return said.replace(str(path), "the file").replace(path.name, "the file")
