"""What a classifier computes from one window of the image, kept for all windows at once: a map with a layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import fx

from fullconv.geometry.meta_values import BATCH


class Refused(Exception):
    """Raised while a head is converted: this operation has no dense form; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Windows:
    """A tensor of the classifier, for every window of the image.

    The classifier's value for the window at cell (y, x) consists of the values that the dense map has there, in a
    `window` of its cells, all channels. `layout` says which of them goes where in the classifier's tensor. Operations
    that only move values about change the layout and cost nothing.

    Args:
        node: the dense map, (N, channels, h, w).
        channels: of the map.
        window: (rows, columns) of cells; (1, 1) once they are pooled or multiplied with weights.
        layout: of the shape of the classifier's tensor for a batch of two, index into channels × rows × columns; the
            second image counts on from the first.
    """

    node: fx.Node
    channels: int
    window: tuple[int, int]
    layout: torch.Tensor

    @classmethod
    def of_map(cls, node: fx.Node, channels: int, window: tuple[int, int]) -> Windows:
        """A map of the classifier whose rows and columns at native size are the window."""
        return cls(node, channels, window, _count(channels, *window))

    @classmethod
    def of_channels(cls, node: fx.Node, shape: Sequence[int]) -> Windows:
        """A value of this shape (batch first) per window, in the channels of the map."""
        return cls(node, prod(shape[1:]), (1, 1), _count(*shape[1:]))

    @property
    def size(self) -> int:
        """Values per window."""
        return self.channels * prod(self.window)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the classifier's tensor, batch first."""
        return tuple(self.layout.shape)

    @property
    def order(self) -> torch.Tensor:
        """The layout of one image, flattened."""
        return self.layout[0].flatten()

    @property
    def complete(self) -> bool:
        """Whether every value of the window is there, each once."""
        order = self.order
        return order.numel() == self.size and bool((order.sort().values == torch.arange(self.size)).all())

    @property
    def in_order(self) -> bool:
        """Whether the values lie as in the map: channels, then rows, then columns."""
        return self.complete and bool((self.order == torch.arange(self.size)).all())

    @property
    def per_channel(self) -> bool:
        """Whether the second dimension of the classifier's tensor is that of the channels."""
        return self.in_order and len(self.shape) > 1 and self.shape[1] == self.channels

    def laid(self, layout: torch.Tensor) -> Windows:
        """The same values in another layout.

        Raises:
            Refused: values of different images change places.
        """
        same = layout.shape[:1] == (BATCH,) and bool((layout[1] - layout[0] == self.size).all())
        if not same:
            raise Refused("it mixes the images of a batch")
        return Windows(self.node, self.channels, self.window, layout)

    def on(self, node: fx.Node) -> Windows:
        """The same layout on another map."""
        return Windows(node, self.channels, self.window, self.layout)

    def places(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Per value of the first image: its channel, and its place in the window."""
        cells = prod(self.window)
        return self.layout[0] // cells, self.layout[0] % cells


def _count(*shape: int) -> torch.Tensor:
    return torch.arange(BATCH * prod(shape)).reshape(BATCH, *shape)


@dataclass(frozen=True)
class Pooling:
    """How a reduction of a classifier's tensor looks in the dense network.

    Args:
        kernel: of the sliding pool; None where there is nothing to pool.
        window: that is left to be read.
        layout: of the result.
    """

    kernel: tuple[int, int] | None
    window: tuple[int, int]
    layout: torch.Tensor


def pooling(windows: Windows, dims: Sequence[int], *, keepdim: bool) -> Pooling:
    """A reduction over all rows, all columns, or both, of every channel.

    Raises:
        Refused: it reduces something else.
    """
    shape = windows.shape
    reduced = sorted(dim % len(shape) for dim in dims)
    kept = [dim for dim in range(1, len(shape)) if dim not in reduced]
    if 0 in reduced:
        raise Refused("it reduces over the images of the batch")
    left = tuple(1 if dim in reduced else shape[dim] for dim in range(1, len(shape)))
    after = left if keepdim else tuple(shape[dim] for dim in kept)
    count = prod(shape[dim] for dim in reduced)
    if count == 1:
        return Pooling(None, windows.window, windows.layout.reshape(BATCH, *after))

    def gathered(values: torch.Tensor) -> torch.Tensor:
        order = [dim - 1 for dim in (*kept, *reduced)]
        return values.permute(order).reshape(-1, count)

    channels, places = (gathered(values) for values in windows.places())
    rows, cols = windows.window
    if not bool((channels == channels[:, :1]).all()):
        raise Refused("it reduces over channels")
    y, x = places // cols, places % cols
    one_row, one_col = bool((y == y[:, :1]).all()), bool((x == x[:, :1]).all())
    if count == rows * cols and _covers(places, count):
        kernel, window, chosen = (rows, cols), (1, 1), channels[:, 0]
    elif one_row and count == cols and _covers(x, cols):
        kernel, window, chosen = (1, cols), (rows, 1), channels[:, 0] * rows + y[:, 0]
    elif one_col and count == rows and _covers(y, rows):
        kernel, window, chosen = (rows, 1), (1, cols), channels[:, 0] * cols + x[:, 0]
    else:
        raise Refused("it reduces over a part of the map")
    first = chosen.reshape(after)
    return Pooling(kernel, window, torch.stack([first, first + windows.channels * prod(window)]))


def _covers(indices: torch.Tensor, count: int) -> bool:
    return bool((indices.sort(dim=1).values == torch.arange(count)).all())


def moved(value: Any, function: Any) -> Any:
    """Move the values of windows about: the function is applied to the layout, and may yield several.

    >>> graph = fx.Graph()
    >>> windows = Windows.of_map(graph.placeholder("x"), 2, (1, 2))
    >>> moved(windows, lambda layout: layout.flatten(1)).shape
    (2, 4)
    """
    result = function(value.layout.contiguous())  # a view of the classifier is one of any memory
    if isinstance(result, list | tuple):
        return tuple(value.laid(part) for part in result)
    return value.laid(result)
