"""From a unit to the pixels that it reads and from a pixel to the units that read it: arithmetic, no network needed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fullconv.geometry.fields import Field

Span = tuple[int, int]
"""First and last of a row of pixels or cells, both of them included."""


@dataclass(frozen=True)
class Axis:
    """Rows or columns of an image that was resized before the network got it.

    Args:
        pixels: of the image itself. seen: of what the network gets.

    >>> Axis(100, 50).pixels_of((0, 0)), Axis(100, 100).pixels_of((3, 5))
    ((0, 2), (3, 5))
    """

    pixels: int
    seen: int

    @property
    def scale(self) -> Fraction:
        """Pixels of the image per pixel that the network gets."""
        return Fraction(self.pixels, self.seen)

    def pixels_of(self, span: Span) -> Span:
        """Pixels of the image that pixels of the resized one are made of."""
        lows, highs = self._made_of
        return int(lows[span[0]]), int(highs[span[1]])

    def seen_with(self, pixel: int) -> Span | None:
        """Pixels of the resized image that a pixel of the image goes into; none goes into where many are left out."""
        lows, highs = self._made_of
        found = np.flatnonzero((lows <= pixel) & (pixel <= highs))
        return (int(found[0]), int(found[-1])) if len(found) else None

    def place(self, position: float) -> float:
        """Where a position in the resized image (pixel i has its centre at i) lies in the image itself."""
        return (position + 0.5) * float(self.scale) - 0.5

    @property
    def _made_of(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        return _made_of(self.pixels, self.seen)


@lru_cache(maxsize=64)
def _made_of(pixels: int, seen: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last pixel of the image for every pixel of the resized one: linear interpolation with antialiasing."""
    if pixels == seen:
        own = np.arange(pixels)
        return own, own
    lows, highs, _ = extents(Field.image().resized(Fraction(seen, pixels), taps=2, antialias=True), seen)
    return lows.clip(0, pixels - 1), highs.clip(0, pixels - 1)


@lru_cache(maxsize=4096)
def extents(field: Field, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """What cells 0 to count − 1 read: first and last pixel of each, and which of them read anything.

    Pixels are those of an image without end.

    >>> lows, highs, reads = extents(Field.image().window(3, stride=2, padding=1), 3)
    >>> lows.tolist(), highs.tolist(), bool(reads.all())
    ([-1, 1, 3], [1, 3, 5], True)
    """
    reads = np.array([low is not None for low in field.lows])
    lows = np.array([low or 0 for low in field.lows], dtype=np.int64)
    highs = np.array([high or 0 for high in field.highs], dtype=np.int64)
    cells = np.arange(count)
    turns, phases = np.divmod(cells, field.phases)
    shifts = turns * int(field.stride * field.phases)
    return lows[phases] + shifts, highs[phases] + shifts, reads[phases]


@dataclass(frozen=True)
class Read:
    """What a unit reads along rows or columns.

    Args:
        pixels: of the image; none where it reads nothing but padding.
        seen: pixels that the network gets, clipped to those there are.
        before, after: pixels beyond the image's two ends, where padding stands.
        centre: of the unit on the image; pixel i has its centre at i.
    """

    pixels: Span | None
    seen: Span | None
    before: int
    after: int
    centre: float


def read_by(field: Field, cell: int, axis: Axis) -> Read:
    """What a unit reads along rows or columns.

    Args:
        field: of the layer, along them.
        cell: number of the unit's row or column.
        axis: of the image.

    >>> read_by(Field.image().window(3, stride=2, padding=1), 0, Axis(10, 10))
    Read(pixels=(0, 1), seen=(0, 1), before=1, after=0, centre=0.0)
    """
    centre = axis.place(float(field.stride * cell + field.center))
    extent = field.extent(cell)
    if extent is None:
        return Read(None, None, 0, 0, centre)
    first, last = max(0, extent[0]), min(axis.seen - 1, extent[1])
    inside = (first, last) if first <= last else None
    pixels = None if inside is None else axis.pixels_of(inside)
    return Read(pixels, inside, max(0, -extent[0]), max(0, extent[1] - axis.seen + 1), centre)


def units_reading(field: Field, count: int, pixel: int, axis: Axis) -> list[Span]:
    """Cells that read a pixel of the image, as runs of neighbours; in most layers it is one run or none.

    Args:
        field: of the layer, along rows or columns.
        count: cells that it has there.
        pixel: row or column of the image.
        axis: of the image.

    >>> units_reading(Field.image().window(3, stride=2, padding=1), 5, 3, Axis(10, 10))
    [(1, 2)]
    """
    seen = axis.seen_with(pixel)
    if seen is None:
        return []
    lows, highs, reads = extents(field, count)
    found = np.flatnonzero(reads & (lows <= seen[1]) & (highs >= seen[0]))
    if not len(found):
        return []
    runs = np.split(found, np.flatnonzero(np.diff(found) > 1) + 1)
    return [(int(run[0]), int(run[-1])) for run in runs]
