"""What a layer multiplies with, as tiles: in colour, as patches of weights, as their strength, or as a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fullconv.surgery.window_product import WindowProduct
from fullconv.workbench.layers.network import SeenLayer
from fullconv.workbench.layers.tiles import Tiles, as_colors, scaled, scaled_about_zero

FilterView = Literal["colour", "weights", "strength", "inputs", "matrix"]
LARGEST_MATRIX = 1024
"""Rows and columns of a matrix that is shown weight by weight; of larger ones several share a cell."""
FULLY_CONNECTED = ("fc6", "fc7")
"""Names under which the reference nets keep what was fully connected."""


@dataclass(frozen=True, eq=False)
class Filters:
    """Tiles of a layer's weights.

    Args:
        view: "colour": a tile per filter, what it wants of red, green and blue. "weights": a tile per filter that reads
            one channel. "strength": a tile per filter, the root of the sum of the squared weights of all channels that
            it reads. "inputs": the filter `of` alone, a tile per channel that it reads. "matrix": one tile, a row per
            filter and a column per channel.
        explanation: the same for people.
        numbers: (tiles, rows, columns), or (tiles, 3, rows, columns) in colour.
        shape: of all weights: outputs, inputs of a group, rows, columns.
        of: the filter that is shown alone.
        fully_connected: the layer was fully connected before it became a convolution.
    """

    view: FilterView
    explanation: str
    numbers: npt.NDArray[np.float32]
    shape: tuple[int, ...]
    of: int | None
    fully_connected: bool

    @property
    def count(self) -> int:
        return len(self.numbers)

    @property
    def cells(self) -> tuple[int, int]:
        return int(self.numbers.shape[-2]), int(self.numbers.shape[-1])

    @property
    def palette(self) -> str:
        return "activation" if self.view == "strength" else "weight"

    def tiles(self, first: int, count: int) -> Tiles:
        """A part of the tiles, scaled one by one."""
        part = self.numbers[first : first + count]
        if self.view == "colour":
            return as_colors(part)
        return scaled(part) if self.view == "strength" else scaled_about_zero(part)


def filters_of(seen: SeenLayer, of: int | None = None) -> Filters | None:
    """The weights of a layer; none where it multiplies with none.

    Args:
        seen: a layer.
        of: number of the filter to show alone.

    >>> from fullconv.workbench.layers.network import seen_network
    >>> net = seen_network(nn.Conv2d(3, 8, 5).eval(), torch.zeros(1, 3, 16, 16))
    >>> found = filters_of(net.layers[0])
    >>> found.view, found.count, found.cells
    ('colour', 8, (5, 5))
    """
    if seen.weight is None:
        return None
    weight = seen.weight.detach().float().cpu()
    if weight.ndim == 2:
        weight = weight[:, :, None, None]
    outputs, inputs, rows, columns = weight.shape
    shape = (outputs, inputs, rows, columns)
    connected = was_fully_connected(seen)
    said = (
        f"Fully connected before it became a convolution: each of {outputs} neurons has a weight for every cell of "
        f"{inputs} maps of {rows}×{columns}. "
        if connected
        else ""
    )
    if of is not None:
        values = weight[of]
        if inputs == 3 and (rows, columns) != (1, 1):
            text = f"Filter {of}: one tile for each of red, green and blue; white is zero, red above it, blue below."
        else:
            text = f"Filter {of}: one tile per channel that it reads, in their order; white is zero."
        return Filters("inputs", said + text, values.numpy(), shape, of, connected)
    if (rows, columns) == (1, 1):
        text = "One row per filter, one column per channel that it reads; white is zero, red above it, blue below."
        matrix = _strongest(weight[:, :, 0, 0])
        if matrix.shape != (outputs, inputs):
            text += " Neighbours share a cell, which shows the largest of them."
        return Filters("matrix", said + text, matrix[None].numpy(), shape, None, connected)
    if inputs == 3:
        text = "One tile per filter: the colours that it answers to most; grey is zero."
        return Filters("colour", said + text, weight.numpy(), shape, None, connected)
    if inputs == 1:
        text = "One tile per filter, which reads one channel; white is zero, red above it, blue below."
        return Filters("weights", said + text, weight[:, 0].numpy(), shape, None, connected)
    text = (
        f"One tile per filter: how strong its weights are at each place, all {inputs} channels together (root of the "
        "sum of squares). Choose a filter to see its weights channel by channel."
    )
    return Filters("strength", said + text, weight.square().sum(1).sqrt().numpy(), shape, None, connected)


def was_fully_connected(seen: SeenLayer) -> bool:
    """Whether a layer is what became of a fully connected one; a 1×1 one as well."""
    if isinstance(seen.module, WindowProduct):
        return True
    return isinstance(seen.module, nn.Conv2d) and seen.name.rpartition(".")[2] in FULLY_CONNECTED


def _strongest(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix, or of every block of it the weight of the largest amount."""
    for dim in (0, 1):
        share = -(-matrix.shape[dim] // LARGEST_MATRIX)
        if share == 1:
            continue
        missing = -matrix.shape[dim] % share
        padded = nn.functional.pad(matrix, (0, 0, 0, missing) if dim == 0 else (0, missing))
        sides = (-1, share, padded.shape[1]) if dim == 0 else (padded.shape[0], -1, share)
        blocks = padded.reshape(sides)
        matrix = blocks.gather(dim + 1, blocks.abs().argmax(dim + 1, keepdim=True)).squeeze(dim + 1)
    return matrix
