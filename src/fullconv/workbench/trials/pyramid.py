"""An image and its labels in halves, quarters and so on, kept on disk, from which tiles are cut.

Level 0 is the smallest. A tile of the image is a picture; a tile of labels is a PNG file whose red and green hold the
class (red + 256 · green, 65535 where there is none) and whose blue holds how sure the network is of it, 0 to 255, with
a frame of `FRAME` more pixels of its neighbours, so that outlines can be drawn up to its edge.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.data.pictures import display_rgb
from fullconv.files import disk_errors
from fullconv.workbench.refusals import NotThere

TILE = 512
FRAME = 8
NO_CLASS = 65535
Layer = Literal["image", "labels", "truth"]


@dataclass(frozen=True)
class Pyramid:
    """The levels of one image.

    Args:
        folder: that holds them.
        height, width: of the image.
        levels: how many.
        classes: of the model; higher labels are none.
    """

    folder: Path
    height: int
    width: int
    levels: int
    classes: int

    @classmethod
    def build(
        cls,
        folder: Path,
        image: npt.NDArray[Any],
        labels: npt.NDArray[Any],
        surest: npt.NDArray[np.uint8],
        truth: npt.NDArray[Any] | None,
        *,
        classes: int,
    ) -> Pyramid:
        """Write all levels.

        Args:
            folder: an empty one.
            image: (H, W, C).
            labels: (H, W) class indices. surest: (H, W) probability of each, 0 to 255.
            truth: (H, W) class indices of the model, any higher number where nothing is known.
            classes: of the model.

        Raises:
            StorageError: the disk is full.
        """
        height, width = labels.shape
        levels = level_count(height, width)
        shown = display_rgb(image)
        with disk_errors(folder):
            for level, picture in zip(range(levels - 1, -1, -1), _halved_picture(shown), strict=False):
                np.save(folder / f"image-{level}.npy", picture)
            for name, plane in (("labels", labels), ("surest", surest), ("truth", truth)):
                if plane is None:
                    continue
                for level in range(levels - 1, -1, -1):
                    np.save(folder / f"{name}-{level}.npy", np.ascontiguousarray(plane))
                    plane = plane[::2, ::2]
        return cls(folder, height, width, levels, classes)

    def tile(self, layer: Layer, level: int, column: int, row: int) -> bytes:
        """A tile as a PNG file; tiles at the right and lower edge may be smaller.

        Raises:
            NotThere: there is no such tile.
        """
        if not 0 <= level < self.levels:
            raise NotThere(f"there is no level {level}", where="tile", remedy=f"levels are 0 to {self.levels - 1}")
        if layer == "image":
            part = self._part("image", level, column, row, frame=0)
            return _png(Image.fromarray(np.ascontiguousarray(part)))
        part = self._part(layer, level, column, row, frame=FRAME)
        index = np.where(part < self.classes, part.astype(np.uint16), np.uint16(NO_CLASS))
        if layer == "labels":
            sure = self._part("surest", level, column, row, frame=FRAME)
        else:
            sure = np.full(part.shape, 255, dtype=np.uint8)
        packed = np.stack([index & 255, index >> 8, sure], axis=-1).astype(np.uint8)
        return _png(Image.fromarray(packed))

    @property
    def has_truth(self) -> bool:
        return (self.folder / "truth-0.npy").is_file()

    @property
    def size_on_disk(self) -> int:
        """Bytes; none where somebody cleaned the cache."""
        try:
            return sum(path.stat().st_size for path in self.folder.iterdir())
        except OSError:
            return 0

    def _part(self, name: str, level: int, column: int, row: int, *, frame: int) -> npt.NDArray[Any]:
        """The pixels of a tile and its frame; beyond the image its outermost pixels are repeated."""
        path = self.folder / f"{name}-{level}.npy"
        try:
            plane = np.load(path, mmap_mode="r")
        except (OSError, ValueError):
            raise NotThere(f"nothing is known of {name} here", where="tile", remedy="predict the image again") from None
        top, left = row * TILE, column * TILE
        if not (0 <= top < plane.shape[0] and 0 <= left < plane.shape[1]):
            raise NotThere("the image ends before this tile", where="tile", remedy="ask for one inside")
        bottom, right = min(top + TILE, plane.shape[0]), min(left + TILE, plane.shape[1])
        if not frame:
            return np.asarray(plane[top:bottom, left:right])
        rows = np.arange(top - frame, bottom + frame).clip(0, plane.shape[0] - 1)
        columns = np.arange(left - frame, right + frame).clip(0, plane.shape[1] - 1)
        return np.asarray(plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])[
            np.ix_(rows - rows[0], columns - columns[0])
        ]


def level_count(height: int, width: int) -> int:
    """Levels until all of an image fits into one tile.

    >>> level_count(360, 480), level_count(513, 100), level_count(4000, 6000)
    (1, 2, 5)
    """
    return max(0, (max(height, width) - 1) // TILE).bit_length() + 1


def _halved_picture(picture: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """The picture, half of it, a quarter … each pixel the mean of four."""
    shown = Image.fromarray(picture)
    yield picture
    while True:
        shown = shown.reduce(2)
        yield np.asarray(shown)


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return stream.getvalue()
