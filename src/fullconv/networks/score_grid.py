"""The grid on which a network scores: where its cells lie on the image, and what they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import torch
from torch import nn

from fullconv.geometry.fields import Field
from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.meta_values import bands_of


class CellScores(nn.Module):
    """A network up to its scores, one per cell of the score grid; networks without such a grid score every pixel.

    >>> from fullconv.networks.catalogue import build_network
    >>> cells = CellScores(build_network("fcn8s-squeezenet1_1", classes=4)).eval()
    >>> cells(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 4, 7, 11])
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.image_channels = bands_of(net)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = getattr(self.net, "cells", self.net)(images)
        return scores


@dataclass(frozen=True)
class ScoreGrid:
    """Where the cells of a score map lie on the image.

    Args:
        rows, cols: position and field of every cell; pixel i has its centre at i.
        is_local: whether a cell reads nothing beyond its field.
        total_stride: (rows, columns) pixels by which an image may be shifted so that all maps shift by whole cells.

    >>> from fullconv.networks.catalogue import build_network
    >>> grid = ScoreGrid.of(build_network("fcn8s-squeezenet1_1", classes=4))
    >>> grid.rows.stride, grid.total_stride
    (Fraction(8, 1), (16, 16))
    """

    rows: Field
    cols: Field
    is_local: bool
    total_stride: tuple[int, int]

    @classmethod
    def of(cls, net: nn.Module) -> ScoreGrid:
        """The grid of a network in evaluation or training.

        Raises:
            NetworkError: the network cannot be followed.
        """
        training = [module for module in net.modules() if module.training]
        try:
            geometry = geometry_of(CellScores(net).eval())
        finally:
            for module in training:
                module.training = True
        pixels = Field.image()
        if geometry.output is None:  # global: every cell reads the whole image, whatever its place
            return cls(pixels, pixels, False, geometry.total_stride)
        return cls(geometry.output.rows, geometry.output.cols, geometry.is_local, geometry.total_stride)

    def labels(self, labels: torch.Tensor, size: tuple[int, int], *, ignore: int) -> torch.Tensor:
        """The label of the pixel under the centre of every cell; `ignore` where that lies outside.

        A centre between two pixels takes the first of them.

        Args:
            labels: (N, H, W) of the image.
            size: (rows, columns) of the score map.
            ignore: the label that counts nowhere.

        Returns:
            (N, rows, columns).
        """
        for axis, (field, count) in enumerate(zip((self.rows, self.cols), size, strict=True), 1):
            places = _centers(field, count)
            side = labels.shape[axis]
            outside = torch.tensor([not 0 <= place < side for place in places], device=labels.device)
            inside = torch.tensor([min(max(place, 0), side - 1) for place in places], device=labels.device)
            labels = labels.index_select(axis, inside)
            shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
            labels = labels.masked_fill(outside.view(shape), ignore)
        return labels

    def inside(self, size: tuple[int, int], image: tuple[int, int]) -> torch.Tensor:
        """Cells of a score map of this size whose whole field lies inside the image: (rows, columns), bool."""
        rows, cols = (
            torch.tensor([_within(field.extent(cell), side) for cell in range(count)], dtype=torch.bool)
            for field, count, side in zip((self.rows, self.cols), size, image, strict=True)
        )
        return rows[:, None] & cols[None, :]

    def middle(self, size: tuple[int, int], image: tuple[int, int]) -> tuple[int, int]:
        """The cell of a score map of this size whose centre is nearest to the middle of the image."""
        found = []
        for field, count, side in zip((self.rows, self.cols), size, image, strict=True):
            aim = Fraction(side - 1, 2)
            found.append(min(range(count), key=lambda cell: abs(field.center + field.stride * cell - aim)))
        return found[0], found[1]

    def middle_pixel(self, image: tuple[int, int]) -> tuple[int, int]:
        """The pixel under the centre of the cell nearest to the middle of an image: the one whose label it has.

        >>> from fullconv.networks.catalogue import build_network
        >>> ScoreGrid.of(build_network("fcn32s-compact", classes=4)).middle_pixel((64, 96))
        (32, 32)
        """
        beyond = ceil(max(abs(self.rows.center), abs(self.cols.center))) + 1
        many = ceil((image[0] + beyond) / self.rows.stride), ceil((image[1] + beyond) / self.cols.stride)
        row, col = self.middle(many, image)
        places = _centers(self.rows, row + 1)[-1], _centers(self.cols, col + 1)[-1]
        return min(max(places[0], 0), image[0] - 1), min(max(places[1], 0), image[1] - 1)

    @property
    def field(self) -> tuple[int, int]:
        """(height, width) of the receptive field of a cell, of the phase that reads most."""
        return self.rows.size, self.cols.size

    @property
    def patch(self) -> tuple[int, int]:
        """(height, width) of the smallest patch in which the whole field of a cell lies.

        Cells lie where the layers put them, so that a patch of the size of the field need not hold any field.

        >>> from fullconv.networks.catalogue import build_network
        >>> grid = ScoreGrid.of(build_network("fcn-alexnet-reference", classes=4))
        >>> grid.field, grid.patch
        ((355, 355), (383, 383))
        """
        return _holding(self.rows), _holding(self.cols)


def _centers(field: Field, count: int) -> Sequence[int]:
    return [ceil(field.center + field.stride * cell - Fraction(1, 2)) for cell in range(count)]


def _holding(field: Field) -> int:
    """Pixels of the shortest patch in which the whole extent of a cell lies."""
    cells = field.before + field.phases * 2 if field.stride >= 1 else 0
    ends = [extent[1] + 1 for cell in range(cells) if (extent := field.extent(cell)) and extent[0] >= 0]
    return min(ends, default=field.size)


def _within(extent: tuple[int, int] | None, side: int) -> bool:
    return extent is None or (extent[0] >= 0 and extent[1] < side)
