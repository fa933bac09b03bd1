"""Shift-and-stitch: a coarse network run on every shift of the image, its outputs interlaced."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
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
    """The dense result of a coarse network: run on the image shifted by 0, 1, … output stride − 1 pixels.

    Slow, as many runs as the output stride squared, but nothing about the network need be known: an oracle for
    `rarefy`, and a way to predict. Beyond its border the image is zero, which is the mean colour of normalised images.

    Args:
        net: takes (N, C, H, W) images, returns (N, K, h, w); in evaluation.
        images: (N, C, H, W) floats.
        stride: wanted of the result, a divisor of the network's output stride; (rows, columns) if they differ.
        grid: where the cells of the result lie. "cells": cell o lies on pixel `stride·o + centre`, where the centre is
            that of the network's own cell 0 (`geometry_of(net).output.rows.center`), and every `output stride / stride`
            cells comes one of the network's own. "pixels": cell o lies on pixel `stride·o` itself, or half a pixel
            after it where the centre is a half, so that stride 1 gives one cell for each pixel.
        batch: shifted images in one run.

    Returns:
        (N, K, k·h, k·w) for "cells", with k = output stride / stride; for "pixels" (N, K, ⌈H / stride⌉, ⌈W / stride⌉).

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
    rows, cols = (_Shifts.of(field, s, grid) for field, s in zip((output.rows, output.cols), wanted, strict=True))
    count: Pair | None = None
    if grid == "pixels":
        count = (rows.needed(images.shape[2]), cols.needed(images.shape[3]))
    size = _size_for(net, images, rows, cols, count)
    stitched: torch.Tensor | None = None
    places = list(product(range(rows.count), range(cols.count)))
    for chosen in _batches(places, max(1, batch // len(images))):
        shifted = torch.cat([_shifted(images, (rows.pixels(i), cols.pixels(j)), size) for i, j in chosen])
        parts = _maps(net(shifted)).chunk(len(chosen))
        if stitched is None:
            n, k, h, w = parts[0].shape
            stitched = parts[0].new_zeros(n, k, h * rows.count, w * cols.count)
        for (i, j), part in zip(chosen, parts, strict=True):
            stitched[..., i :: rows.count, j :: cols.count] = part
    assert stitched is not None
    if count is None:
        return stitched
    return stitched[..., : -(-images.shape[2] // wanted[0]), : -(-images.shape[3] // wanted[1])]


class _Shifts:
    """The shifts along one axis.

    Args:
        step: pixels from one shift to the next: the wanted stride.
        count: how many there are.
        first: pixels that the first one cuts off; negative where it adds some.
    """

    def __init__(self, step: int, count: int, first: int) -> None:
        self.step, self.count, self.first = step, count, first

    @classmethod
    def of(cls, field: Field, wanted: int, grid: str) -> _Shifts:
        times = field.stride / wanted if wanted >= 1 else Fraction(1, 2)
        if times.denominator != 1:
            raise NetworkError(
                f"stride {wanted} is no divisor of the network's output stride, {field.stride}",
                remedy="shifts make it smaller by whole factors",
            )
        return cls(wanted, int(times), -floor(field.center) if grid == "pixels" else 0)

    def pixels(self, index: int) -> int:
        return self.first + self.step * index

    def needed(self, size: int) -> int:
        """Cells of the network for each shift, so that every pixel of the image gets one."""
        return -(-size // (self.step * self.count))


def _size_for(net: nn.Module, images: torch.Tensor, rows: _Shifts, cols: _Shifts, count: Pair | None) -> Pair:
    """The size of shifted images at which the network yields as many cells as are needed."""
    height, width = images.shape[2], images.shape[3]
    while count is not None:
        try:
            h, w = _maps(net(_shifted(images[:1], (rows.first, cols.first), (height, width)))).shape[-2:]
        except RuntimeError:
            if max(height, width) > 4 * max(images.shape[2:]) + 4096:
                raise
            h = w = 0  # too small for a network without padding
        missing = (max(0, count[0] - h), max(0, count[1] - w))
        if missing == (0, 0):
            break
        height += missing[0] * rows.step * rows.count
        width += missing[1] * cols.step * cols.count
    return height, width


def _shifted(images: torch.Tensor, by: Pair, size: Pair) -> torch.Tensor:
    """A window of the image, zero beyond its border, that begins `by` pixels from its corner."""
    height, width = images.shape[2], images.shape[3]
    return F.pad(images, (-by[1], by[1] + size[1] - width, -by[0], by[0] + size[0] - height))


def _batches(places: list[Pair], length: int) -> Iterator[list[Pair]]:
    for start in range(0, len(places), length):
        yield places[start : start + length]


def _maps(result: Any) -> torch.Tensor:
    if isinstance(result, torch.Tensor) and result.dim() == 4:
        return result
    raise NetworkError("the network does not return (N, K, h, w) maps")
