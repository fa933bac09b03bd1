"""Pictures of samples for pages and REST: image, labels, borders and overlay, in any size, kept on disk when small."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from fullconv.data.classes import ClassTable
from fullconv.data.images import read_image
from fullconv.data.inspection import SampleDecoder, available_cores, stamp_of
from fullconv.data.pictures import class_borders, display_rgb, overlay
from fullconv.data.scan import Sample
from fullconv.errors import DataError, StorageError
from fullconv.files import write_atomically

Layer = Literal["image", "overlay", "labels", "outline"]
MEDIA: dict[Layer, str] = {
    "image": "image/jpeg",
    "overlay": "image/jpeg",
    "labels": "image/png",
    "outline": "image/png",
}
SMALL = 640
"""Longest side of pictures that are kept on disk."""
KEPT_BYTES = 2 * 2**30
"""Of pictures on disk, all datasets together; the oldest go when there are more."""
_LOOK_EVERY = 1000
_VERSION = 1


class Wanted(BaseModel):
    """How a sample is to be shown.

    Args:
        layer: "image"; "overlay" of labels on the image; "labels" in the colours of their classes and "outline", their
            borders alone, both transparent elsewhere, to be laid over the image.
        size: longest side in pixels; smaller images are not enlarged.
        opacity: of an overlay's colours. outline: whether an overlay has borders.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: Layer = "overlay"
    size: int = Field(default=1024, ge=16, le=4096)
    opacity: float = Field(default=0.5, ge=0, le=1)
    outline: bool = True


@dataclass(frozen=True)
class Picture:
    """An image file.

    Args:
        content: of the file. media_type: of it. tag: differs for every other content.
    """

    content: bytes
    media_type: str
    tag: str


@dataclass
class Drawing:
    """Draws in threads of its own, so that many pictures keep nothing else waiting.

    Args:
        cache: folder in which each dataset has one for its pictures.
    """

    cache: Path
    pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max(2, available_cores()), thread_name_prefix="drawing")
    )
    _written: int = 0
    _pruning: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        """Draw no more."""
        self.pool.shutdown(wait=False, cancel_futures=True)

    def tag(self, sample: Sample, version: str, wanted: Wanted) -> str:
        """What a picture's content depends on, in short.

        Args:
            version: of the classes and their colours.
        """
        parts = (str(sample.image), stamp_of(sample), version, wanted.model_dump_json(), str(_VERSION))
        return hashlib.blake2b("\n".join(parts).encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()

    def picture(
        self, sample: Sample, decoder: SampleDecoder, version: str, wanted: Wanted, *, folder: str | None = None
    ) -> Picture:
        """A picture, from the disk where it was drawn before.

        Args:
            folder: of the dataset, below `cache`; nothing is kept without one.

        Raises:
            DataError: image or label cannot be read.
        """
        tag = self.tag(sample, version, wanted)
        media = MEDIA[wanted.layer]
        if folder is None or wanted.size > SMALL:
            return Picture(draw(sample, decoder, wanted), media, tag)
        path = self.cache / folder / "pictures" / tag[:2] / f"{tag}.{media.rpartition('/')[2]}"
        with suppress(OSError):
            return Picture(path.read_bytes(), media, tag)
        content = draw(sample, decoder, wanted)
        with suppress(StorageError):  # a full or read-only disk is no reason not to show it
            write_atomically(path, content)
            self._prune_sometimes()
        return Picture(content, media, tag)

    def _prune_sometimes(self) -> None:
        self._written += 1
        if self._written % _LOOK_EVERY == 0 and self._pruning.acquire(blocking=False):
            try:
                prune(self.cache, KEPT_BYTES)
            finally:
                self._pruning.release()


def table_version(classes: ClassTable) -> str:
    """Changes with the classes and their colours: part of the addresses of pictures."""
    return hashlib.blake2b(classes.model_dump_json().encode(), digest_size=6).hexdigest()


def draw(sample: Sample, decoder: SampleDecoder, wanted: Wanted) -> bytes:
    """A picture of a sample as a JPEG or PNG file.

    Raises:
        DataError: image or label cannot be read, or they differ in size.
    """
    return drawn_layer(
        lambda: read_image(sample.image), lambda: decoder.label(sample), decoder.classes, wanted, where=sample.key
    )


def drawn_layer(
    image: Callable[[], npt.NDArray[Any]],
    labels: Callable[[], npt.NDArray[Any]],
    classes: ClassTable,
    wanted: Wanted,
    *,
    where: str,
) -> bytes:
    """One layer of a picture as a JPEG or PNG file; what it does not show is not asked for.

    Args:
        image: gives (H, W, C) pixels. labels: gives (H, W) indices of the classes.
        where: name of the image, for the message.

    Raises:
        DataError: image and labels differ in size.
    """
    if wanted.layer == "image":
        return _jpeg(_shrunk(image(), wanted.size))
    there = labels()
    size = _fitting(there.shape[0], there.shape[1], wanted.size)
    if wanted.layer == "overlay":
        pixels = image()
        if pixels.shape[:2] != there.shape:
            raise DataError("image and label differ in size", where=where, remedy="look at the problems")
        below = _shrunk(pixels, wanted.size)
        return _jpeg(overlay(below, _nearest(there, size), classes, opacity=wanted.opacity, outline=wanted.outline))
    there = _nearest(there, size)
    if wanted.layer == "outline":
        there = np.where(class_borders(there), there, classes.ignore_index)
    return _transparent_png(there, classes)


def prune(folder: Path, limit: int) -> None:
    """Delete the oldest pictures below a folder until they take three quarters of what they may.

    Args:
        limit: bytes; nothing is done below.
    """
    found = []
    for path in folder.glob("*/pictures/*/*"):
        with suppress(OSError):
            stat = path.stat()
            found.append((stat.st_mtime, stat.st_size, path))
    total = sum(size for _, size, _ in found)
    if total <= limit:
        return
    for _, size, path in sorted(found):
        path.unlink(missing_ok=True)
        total -= size
        if total <= limit * 3 // 4:
            return


def _fitting(height: int, width: int, longest: int) -> tuple[int, int]:
    """(height, width) with the same proportions and no side above `longest`."""
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _shrunk(image: npt.NDArray[Any], longest: int) -> npt.NDArray[np.uint8]:
    rgb = display_rgb(image)
    height, width = _fitting(rgb.shape[0], rgb.shape[1], longest)
    if (height, width) == rgb.shape[:2]:
        return rgb
    resized = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(resized)


def _nearest(labels: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    if size == labels.shape:
        return labels
    rows, columns = (
        ((np.arange(wanted) + 0.5) * there / wanted).astype(np.intp)
        for wanted, there in zip(size, labels.shape, strict=True)
    )
    return np.ascontiguousarray(labels[rows[:, None], columns])


def _jpeg(rgb: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, format="JPEG", quality=88, subsampling=0)
    return stream.getvalue()


def _transparent_png(labels: npt.NDArray[Any], classes: ClassTable) -> bytes:
    """Labels in the colours of their classes; ignored pixels are transparent."""
    stream = io.BytesIO()
    if classes.ignore_index == 255:
        picture = Image.fromarray(labels.astype(np.uint8))
        palette = np.full((256, 3), 255, dtype=np.uint8)
        palette[: len(classes)] = classes.colors
        picture.putpalette(palette.tobytes())
        picture.save(stream, format="PNG", transparency=255, compress_level=4)
    else:
        table = np.zeros((classes.ignore_index + 1, 4), dtype=np.uint8)
        table[: len(classes), :3], table[: len(classes), 3] = classes.colors, 255
        Image.fromarray(table[labels]).save(stream, format="PNG", compress_level=4)
    return stream.getvalue()
