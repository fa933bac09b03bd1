"""Shift-and-stitch: a coarse network run on every shift of the image, its outputs interlaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, product
from math import floor
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.fields import Field
from fullconv.geometry.geometry import geometry_of

Pair = tuple[int, int]


def shift_and_stitch(
    net: nn.Module,
    images: torch.Tensor,
    *,
    stride: int | Pair = 1,
    grid: Literal["cells", "pixels"] = "cells",
    batch: int = 16,
) -> torch.Tensor:
    """The dense result of a coarse network: run on every shift of the image within its output stride, interlaced.

    Slow, as many runs as the output stride squared, but nothing inside the network need be known: an oracle for
    `rarefy`, and a way to predict. Around a shifted image lie zeros, the mean colour of normalised images; the image
    that is not shifted meets the network's own border.

    Args:
        net: takes (N, C, H, W) images, returns (N, K, h, w); in evaluation.
        images: (N, C, H, W) floats.
        stride: wanted of the result, a divisor of the network's output stride; (rows, columns) if they differ.
        grid: where the cells of the result lie. "cells": cell o lies on pixel `stride·o + centre`, where the centre is
            that of the network's own cell 0 (`geometry_of(net).output.rows.center`); of k = output stride / stride
            cells along an axis one is the network's own: `result[..., ::k, ::k]` is `net(images)`. "pixels": cell o
            lies on pixel `stride·o` itself, or half a pixel after it where the centre is a half, so that stride 1
            gives one cell for each pixel.
        batch: shifted images in one run.

    Returns:
        (N, K, k·h, k·w) for "cells"; for "pixels" (N, K, ⌈H / stride⌉, ⌈W / stride⌉).

    Raises:
        NetworkError: the stride is no divisor of the output stride, or the result has no rows and columns.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 3.2.

    >>> net = nn.MaxPool2d(2)
    >>> shift_and_stitch(net, torch.tensor([[[[1.0, 4.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]]]]))
    tensor([[[[4., 4., 3., 3.],
              [0., 0., 0., 0.]]]])
    """
    if images.dim() != 4:
        raise NetworkError(f"images of shape {tuple(images.shape)} are no (N, C, H, W) batch")
    output = geometry_of(net, input_size=(images.shape[2], images.shape[3]), channels=images.shape[1]).output
    if output is None:
        raise NetworkError("the network's result has no rows and columns: nothing to stitch")
    wanted = (stride, stride) if isinstance(stride, int) else stride
    size = (images.shape[2], images.shape[3])
    rows, cols = (_Shifts.of(field, s, grid) for field, s in zip((output.rows, output.cols), wanted, strict=True))
    cells, least = _cells(net, images, (rows, cols), grid)
    stitched: torch.Tensor | None = None
    for chosen in _batches(rows, cols, max(1, batch // len(images))):
        window = tuple(axis.size(n, k) for axis, n, k in zip((rows, cols), least, chosen[0], strict=True))
        shifted = [_window(images, (rows.start(i), cols.start(j)), (window[0], window[1])) for i, j in chosen]
        parts = _maps(net(torch.cat(shifted))).chunk(len(chosen))
        if stitched is None:
            shape = (cells[0] * rows.count, cells[1] * cols.count)
            stitched = parts[0].new_zeros(*parts[0].shape[:2], *shape)
        for (i, j), part in zip(chosen, parts, strict=True):
            top, left = rows.dropped(i), cols.dropped(j)
            own = part[..., top : top + cells[0], left : left + cells[1]]
            stitched[..., i :: rows.count, j :: cols.count] = own
    assert stitched is not None
    if grid == "cells":
        return stitched
    return stitched[..., : -(-size[0] // wanted[0]), : -(-size[1] // wanted[1])]


@dataclass(frozen=True)
class _Shifts:
    """The shifts along one axis: number k yields the cells `first + step·k + step·count·o` pixels after cell 0.

    A shifted image begins before the image, never inside it, so that no pixel is lost; the cells that lie too far
    before are dropped.

    Args:
        step: pixels from one shift to the next: the wanted stride.
        count: how many there are.
        first: where the first cell lies.
    """

    step: int
    count: int
    first: int

    @classmethod
    def of(cls, field: Field, wanted: int, grid: str) -> _Shifts:
        times = field.stride / wanted if wanted >= 1 else Fraction(1, 2)
        if times.denominator != 1:
            raise NetworkError(
                f"stride {wanted} is no divisor of the network's output stride, {field.stride}",
                remedy="shifts make it smaller by whole factors",
            )
        return cls(wanted, int(times), -floor(field.center) if grid == "pixels" else 0)

    @property
    def total(self) -> int:
        """The network's own stride."""
        return self.step * self.count

    def dropped(self, index: int) -> int:
        """Cells of a shifted image that lie before the first wanted one."""
        return max(0, -(-(self.first + self.step * index) // self.total))

    def start(self, index: int) -> int:
        """Where a shifted image begins: at pixel 0 or before."""
        return self.first + self.step * index - self.total * self.dropped(index)

    def size(self, least: int, index: int) -> int:
        """Of a shifted image, where `least` pixels suffice for the wanted cells."""
        return least + self.total * self.dropped(index)


def _cells(net: nn.Module, images: torch.Tensor, axes: tuple[_Shifts, _Shifts], grid: str) -> tuple[Pair, Pair]:
    """(cells per shift, pixels that suffice for them and for the whole image)."""
    size = (images.shape[2], images.shape[3])
    if grid == "cells":
        h, w = _maps(net(images[:1])).shape[-2:]
        return (h, w), size
    wanted = (-(-size[0] // axes[0].total), -(-size[1] // axes[1].total))
    height, width = (side - min(0, axis.first) for side, axis in zip(size, axes, strict=True))
    while True:
        try:
            h, w = _maps(net(_window(images[:1], (0, 0), (height, width)))).shape[-2:]
        except RuntimeError:
            if max(height, width) > _LARGEST * max(size) + axes[0].total + axes[1].total:
                raise
            h = w = 0  # too small for a network without padding
        missing = (max(0, wanted[0] - h), max(0, wanted[1] - w))
        if missing == (0, 0):
            return wanted, (height, width)
        height, width = (side + n * axis.total for side, n, axis in zip((height, width), missing, axes, strict=True))


_LARGEST = 8
"""Times the image's side: where a network still takes no image of that size, its error is another one."""


def _window(images: torch.Tensor, start: Pair, size: Pair) -> torch.Tensor:
    """A window that begins `start` pixels from the corner of the image, zero around it."""
    height, width = images.shape[2], images.shape[3]
    return F.pad(images, (-start[1], start[1] + size[1] - width, -start[0], start[0] + size[0] - height))


def _batches(rows: _Shifts, cols: _Shifts, length: int) -> Iterator[list[Pair]]:
    """Shifts whose images have one size, several at a time."""
    places = sorted(
        product(range(rows.count), range(cols.count)),
        key=lambda place: (rows.dropped(place[0]), cols.dropped(place[1])),
    )
    for _, alike in groupby(places, key=lambda place: (rows.dropped(place[0]), cols.dropped(place[1]))):
        chosen = list(alike)
        for start in range(0, len(chosen), length):
            yield chosen[start : start + length]


def _maps(result: Any) -> torch.Tensor:
    if isinstance(result, torch.Tensor) and result.dim() == 4:
        return result
    raise NetworkError("the network does not return (N, K, h, w) maps")
