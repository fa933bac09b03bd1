"""Maps as tiles in rows: every channel scaled to what a palette can show, many of them as one picture."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image

Scale = Literal["channel", "layer"]
Tiles = npt.NDArray[np.uint8]
"""(tiles, rows, columns) places in a palette, or (tiles, rows, columns, 3) colours."""
PALETTES = {"activation": "viridis", "weight": "RdBu_r"}
GREATEST = 254
"""The last place in a palette; the one after it is the gap between tiles, which is transparent."""
_GAP_PLACE = 255
_ENDS = (1.0, 99.0)
_SAMPLE = 10_000


@dataclass(frozen=True)
class Sheet:
    """Where tiles lie on a picture, in rows from the top left.

    Args:
        count: tiles. across: of them in a row.
        cell_rows, cell_columns: cells of one tile.
        height, width: pixels of one tile. gap: pixels between two.

    >>> sheet = Sheet.of(5, (10, 20), across=3, longest=40)
    >>> sheet.width, sheet.picture_size, sheet.corner(4)
    (40, (124, 42), (42, 22))
    >>> sheet.cell_at(43.0, 22.5), sheet.cell_at(41.0, 0.0)
    ((4, 0, 0), None)
    """

    count: int
    across: int
    cell_rows: int
    cell_columns: int
    height: int
    width: int
    gap: int = 2

    @classmethod
    def of(cls, count: int, cells: tuple[int, int], *, across: int, longest: int) -> Sheet:
        """Tiles of one size: cells become squares of whole pixels where there is room, else several share a pixel.

        Args:
            count: tiles. cells: (rows, columns) of each.
            across: tiles in a row, at most.
            longest: pixels of a tile's longer side, about.
        """
        larger = max(cells)
        factor = longest // larger if larger <= longest else longest / larger
        height, width = (max(1, round(side * factor)) for side in cells)
        return cls(count, max(1, min(across, count)), *cells, height, width)

    @property
    def down(self) -> int:
        return ceil(self.count / self.across)

    @property
    def picture_size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return (
            self.across * (self.width + self.gap) - self.gap,
            max(1, self.down * (self.height + self.gap) - self.gap),
        )

    def corner(self, tile: int) -> tuple[int, int]:
        """(x, y) of a tile's top left pixel."""
        row, column = divmod(tile, self.across)
        return column * (self.width + self.gap), row * (self.height + self.gap)

    def cell_at(self, x: float, y: float) -> tuple[int, int, int] | None:
        """(tile, row, column) of the cell at a place of the picture; none in a gap and beyond the last tile."""
        column, row = int(x // (self.width + self.gap)), int(y // (self.height + self.gap))
        left, top = x - column * (self.width + self.gap), y - row * (self.height + self.gap)
        tile = row * self.across + column
        inside = 0 <= left < self.width and 0 <= top < self.height
        if not inside or not 0 <= column < self.across or not 0 <= tile < self.count:
            return None
        return tile, int(top * self.cell_rows / self.height), int(left * self.cell_columns / self.width)

    def box(self, tile: int, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[float, float, float, float]:
        """(x, y, width, height) of a block of cells of a tile, first and last included.

        >>> Sheet.of(2, (4, 4), across=2, longest=8).box(1, (0, 1), (3, 3))
        (16.0, 0.0, 2.0, 4.0)
        """
        x, y = self.corner(tile)
        across, down = self.width / self.cell_columns, self.height / self.cell_rows
        return (
            x + columns[0] * across,
            y + rows[0] * down,
            (columns[1] - columns[0] + 1) * across,
            (rows[1] - rows[0] + 1) * down,
        )


def scaled(maps: npt.NDArray[Any], scale: Scale = "channel") -> Tiles:
    """Numbers as places in a palette: the 1st percentile and what is less is 0, the 99th and what is more 254.

    Args:
        maps: (channels, rows, columns).
        scale: the percentiles are those of each channel, or of all of them together, so that they can be compared. A
            channel of one number is 0.

    >>> scaled(np.array([[[0.0, 1.0, 2.0]], [[7.0, 7.0, 7.0]]])).tolist()
    [[[0, 127, 254]], [[0, 0, 0]]]
    """
    if not len(maps):
        return np.zeros(maps.shape, dtype=np.uint8)
    values = np.nan_to_num(maps.astype(np.float32), posinf=0.0, neginf=0.0)
    flat = values.reshape(len(values), -1)
    step = max(1, flat.shape[1] // _SAMPLE)
    sample = flat[:, ::step]
    if scale == "layer":
        low, high = np.percentile(sample, _ENDS)
        lows, highs = np.full(len(flat), low), np.full(len(flat), high)
        least, greatest = np.full(len(flat), flat.min()), np.full(len(flat), flat.max())
    else:
        lows, highs = np.percentile(sample, _ENDS, axis=1)
        least, greatest = flat.min(axis=1), flat.max(axis=1)
    narrow = highs <= lows  # a few cells differ, the percentiles do not
    lows, highs = np.where(narrow, least, lows), np.where(narrow, greatest, highs)
    spread = np.where(highs > lows, highs - lows, 1.0)
    shown = (values - lows[:, None, None]) / spread[:, None, None] * GREATEST
    return np.asarray(np.floor(shown.clip(0, GREATEST) + 0.5).astype(np.uint8))


def scaled_about_zero(weights: npt.NDArray[Any]) -> Tiles:
    """Weights as places in a palette with zero in its middle: the largest of a tile, by amount, is at an end.

    >>> scaled_about_zero(np.array([[[-2.0, 0.0, 1.0]]])).tolist()
    [[[0, 127, 191]]]
    """
    return _about_zero(weights, GREATEST)


def as_colors(weights: npt.NDArray[Any]) -> Tiles:
    """Weights on red, green and blue as colours, with grey for zero.

    Args:
        weights: (filters, 3, rows, columns).

    Returns:
        (filters, rows, columns, 3).
    """
    return np.asarray(_about_zero(weights, 255).transpose(0, 2, 3, 1))


def _about_zero(weights: npt.NDArray[Any], end: int) -> Tiles:
    values = np.nan_to_num(weights.astype(np.float32), posinf=0.0, neginf=0.0)
    largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True, initial=0.0)
    shown = values / np.where(largest > 0, largest, 1.0) * (end / 2) + end / 2
    return np.asarray(np.floor(shown.clip(0, end) + 0.5).astype(np.uint8))


def sheet_png(tiles: Tiles, sheet: Sheet, palette: str = "activation") -> bytes:
    """Tiles on one picture as a PNG file; gaps are transparent.

    Args:
        tiles: as many as the sheet holds.
        sheet: where they lie.
        palette: "activation": dark is little, bright is much; "weight": blue is below zero, white zero, red above.
    """
    colored = tiles.ndim == 4
    width, height = sheet.picture_size
    picture = np.full((height, width), _GAP_PLACE, dtype=np.uint8)
    if colored:
        picture = np.zeros((height, width, 4), dtype=np.uint8)
    for number, tile in enumerate(tiles):
        x, y = sheet.corner(number)
        drawn = _resized(tile, sheet.height, sheet.width)
        if colored:
            picture[y : y + sheet.height, x : x + sheet.width, :3] = drawn
            picture[y : y + sheet.height, x : x + sheet.width, 3] = 255
        else:
            picture[y : y + sheet.height, x : x + sheet.width] = drawn
    return _png(picture, palette)


def map_png(tile: Tiles, palette: str = "activation") -> bytes:
    """One map as a PNG file with a pixel for every cell."""
    return _png(tile, palette)


def _png(picture: Tiles, palette: str) -> bytes:
    image = Image.fromarray(picture)
    options: dict[str, Any] = {}
    if picture.ndim == 2:
        image.putpalette(_palette(palette))
        options["transparency"] = _GAP_PLACE
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=4, **options)
    return stream.getvalue()


def _resized(tile: Tiles, height: int, width: int) -> Tiles:
    """Cells as squares, or the mean of those that share a pixel."""
    if tile.shape[:2] == (height, width):
        return tile
    how = Image.Resampling.NEAREST if height >= tile.shape[0] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(tile).resize((width, height), how))


@cache
def _palette(name: str) -> bytes:
    places = np.linspace(0, 1, GREATEST + 1)
    colors = np.round(np.asarray(colormaps[PALETTES[name]](places))[:, :3] * 255).astype(np.uint8)
    return colors.tobytes() + bytes(3)
