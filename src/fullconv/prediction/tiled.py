"""Large images tile by tile, with the result of the whole image: every tile is computed with all that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fullconv.errors import PlanError
from fullconv.prediction.model import Model
from fullconv.store.package import Geometry

TILE = 1024
"""Pixels of a tile's side."""


@dataclass(frozen=True)
class Tile:
    """A part of an image and what must be computed for it.

    Args:
        rows, cols: (first, end) pixels that it gives.
        window_rows, window_cols: (first, end) pixels that these read; the first are multiples of the total stride.
    """

    rows: tuple[int, int]
    cols: tuple[int, int]
    window_rows: tuple[int, int]
    window_cols: tuple[int, int]

    @property
    def place(self) -> tuple[slice, slice]:
        """Where it lies in the image."""
        return slice(*self.rows), slice(*self.cols)

    @property
    def window(self) -> tuple[slice, slice]:
        """What the network is given."""
        return slice(*self.window_rows), slice(*self.window_cols)

    @property
    def inside(self) -> tuple[slice, slice]:
        """Where it lies in the window."""
        (top, bottom), (left, right) = self.rows, self.cols
        above, before = self.window_rows[0], self.window_cols[0]
        return slice(top - above, bottom - above), slice(left - before, right - before)


def tiles_of(size: tuple[int, int], geometry: Geometry, *, side: int = TILE) -> list[Tile]:
    """The tiles of an image, from top left to bottom right.

    Args:
        size: (height, width) of the image.
        geometry: of a network with a reach and a total stride.
        side: of a tile; brought to a multiple of the total stride.

    Raises:
        PlanError: the network reads the whole image; the sentence says by which module.

    >>> geometry = Geometry(stride=8, total_stride=32, reach=(118, 127, 118, 127))
    >>> [tile.window_rows for tile in tiles_of((3000, 64), geometry)]
    [(0, 1183), (864, 2207), (1888, 3000)]
    """
    if geometry.reach is None or geometry.total_stride is None:
        why = f" ({geometry.obstacles[0]})" if geometry.obstacles else ""
        raise PlanError(f"the network reads the whole image{why}", where="tiles", remedy="predict smaller images")
    stride = geometry.total_stride
    up, down, left, right = geometry.reach
    step = max(stride, side // stride * stride)
    rows = _spans(size[0], step, stride, up, down)
    cols = _spans(size[1], step, stride, left, right)
    return [Tile(row, col, window_row, window_col) for row, window_row in rows for col, window_col in cols]


def score_tile(model: Model, pixels: npt.NDArray[Any], tile: Tile) -> torch.Tensor:
    """The scores of one tile: memory is that of its window.

    Args:
        model: that takes images at their own size.
        pixels: (H, W, C) of the whole image, as `Model.checked` gives them.
        tile: one of `tiles_of` its size.

    Returns:
        (classes, h, w) float32, as they are in the scores of the whole image.

    Raises:
        PlanError: the model resizes images.
    """
    if not takes_tiles(model, pixels.shape[:2]):
        raise PlanError("the model resizes its images", where="tiles", remedy="predict smaller images")
    scores = model.scores(np.ascontiguousarray(pixels[tile.window]))
    return scores[(slice(None), *tile.inside)]


def takes_tiles(model: Model, size: tuple[int, ...]) -> bool:
    """Whether images of a size reach the network as they are."""
    return model.card.resize.size(size[0], size[1]) == (size[0], size[1])


def _spans(
    length: int, step: int, stride: int, before: int, after: int
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(first, end) of every tile along one axis, and of the window that it reads.

    Where layers without padding leave no cells at an image's ends the outermost cell is repeated, and read up to one
    total stride further in.
    """
    found = []
    for first in range(0, length, step):
        end = min(length, first + step)
        window = max(0, first - before - stride) // stride * stride, min(length, end + after + stride)
        found.append(((first, end), window))
    return found
