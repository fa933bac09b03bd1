"""Pools and paddings for maps whose original cells lie several cells apart, exact up to the last border cell."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from fullconv.geometry.fields import Field


@dataclass(frozen=True)
class SpacedWindow:
    """A window along one axis, laid over a map in which the cells of the original map lie `spacing` apart.

    Cell i of the original is cell `spacing·i` of the map, so the original has ⌈size / spacing⌉ cells. Result cell o of
    the original becomes cell `spacing·stride/step · o`.

    Args:
        kernel, stride, padding, dilation, ceil_mode: of the original.
        spacing: cells of the map from one cell of the original to the next.
        step: stride that remains.

    >>> SpacedWindow(3, 2, ceil_mode=True, spacing=2).after(7), SpacedWindow(3, 2, spacing=2).cells(7)
    (2, 3)
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    ceil_mode: bool = False
    spacing: int = 1
    step: int = 1

    @property
    def before(self) -> int:
        """Cells of padding at the start."""
        return self.spacing * self.padding

    @property
    def taps(self) -> int:
        """Cells of the map from one cell that the window reads to the next."""
        return self.spacing * self.dilation

    @property
    def _span(self) -> int:
        return self.taps * (self.kernel - 1) + 1

    def original(self, size: int) -> int:
        """Cells of the original where the map has `size`."""
        return -(-size // self.spacing)

    def cells(self, size: int) -> int:
        """Cells of the result: all full windows and, where the original rounds up, those up to its last one."""
        full = (size + 2 * self.before - self._span) // self.step + 1
        if not self.ceil_mode:
            return full
        original = self.original(size)
        rest = original + 2 * self.padding - self.dilation * (self.kernel - 1) - 1
        last = -(-rest // self.stride)
        if last * self.stride >= original + self.padding:  # a window must not start in the padding at the end
            last -= 1
        return max(full, self.spacing * self.stride // self.step * last + 1)

    def after(self, size: int) -> int:
        """Cells of padding at the end; negative where the last ones are not read."""
        return self.step * (self.cells(size) - 1) + self._span - size - self.before

    def reads(self, field: Field) -> Field:
        """What the result's cells read."""
        return field.window(self.kernel, stride=self.step, padding=self.before, dilation=self.taps)


class SpacedPool2d(nn.Module):
    """A pool over (N, C, H, W) maps; a SpacedWindow for rows and one for columns."""

    def __init__(self, rows: SpacedWindow, cols: SpacedWindow) -> None:
        super().__init__()
        self.rows, self.cols = rows, cols

    def over(self, rows: SpacedWindow, cols: SpacedWindow) -> SpacedPool2d:
        """The same pool with other windows."""
        other = copy.copy(self)
        other.rows, other.cols = rows, cols
        return other

    def reads(self, field: Field) -> Field:
        return self.rows.reads(field)

    def reads_cols(self, field: Field) -> Field:
        return self.cols.reads(field)

    def padded(self, maps: torch.Tensor, value: float) -> torch.Tensor:
        height, width = maps.shape[-2:]
        amounts = (self.cols.before, self.cols.after(width), self.rows.before, self.rows.after(height))
        return F.pad(maps, amounts, value=value) if any(amounts) else maps

    def extra_repr(self) -> str:
        return f"rows={self.rows}, cols={self.cols}"


class SpacedMaxPool2d(SpacedPool2d):
    """Max-pooling with dilation, any padding and exact rounding up.

    >>> window = SpacedWindow(2, 2, ceil_mode=True, spacing=1, step=1)
    >>> SpacedMaxPool2d(window, window)(torch.arange(5.0).expand(1, 1, 5, 5))[0, 0, 0]
    tensor([1., 2., 3., 4., 4.])
    """

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        rows, cols = self.rows, self.cols
        pooled = F.max_pool2d(
            self.padded(maps, -torch.inf),
            (rows.kernel, cols.kernel),
            (rows.step, cols.step),
            dilation=(rows.taps, cols.taps),
        )
        if maps.shape[-2] < rows.taps or maps.shape[-1] < cols.taps:  # windows between the cells of a tiny map
            pooled = pooled.masked_fill(pooled == -torch.inf, 0)
        return pooled


class SpacedAvgPool2d(SpacedPool2d):
    """Average pooling with dilation: sums of shifted slices over the number of cells that count.

    Args:
        rows, cols: the windows.
        count_include_pad, divisor_override: as in `torch.nn.AvgPool2d`.

    >>> window = SpacedWindow(2, 2, spacing=2)
    >>> SpacedAvgPool2d(window, window)(torch.arange(5.0).expand(1, 1, 5, 5))[0, 0, 0]
    tensor([1., 2., 3.])
    """

    def __init__(
        self,
        rows: SpacedWindow,
        cols: SpacedWindow,
        *,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(rows, cols)
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        padded = self.padded(maps, 0.0)
        sums = _sums(_sums(padded, self.rows, -2), self.cols, -1)
        if self.divisor_override is not None:
            return sums / self.divisor_override
        height, width = maps.shape[-2:]
        per_row, per_col = self._counts(self.rows, height, maps), self._counts(self.cols, width, maps)
        return sums / (per_row[:, None] * per_col)

    def _counts(self, window: SpacedWindow, size: int, maps: torch.Tensor) -> torch.Tensor:
        """How many cells count in each window along one axis."""
        places = torch.arange(-window.before, size + window.after(size), device=maps.device)
        if self.count_include_pad:
            counting = places < window.spacing * (window.original(size) + window.padding)
        else:
            counting = (places >= 0) & (places < size)
        return _sums(counting.to(maps.dtype), window, -1).clamp(min=1)


def _sums(padded: torch.Tensor, window: SpacedWindow, dim: int) -> torch.Tensor:
    length = padded.shape[dim] - window.taps * (window.kernel - 1)
    total = padded.narrow(dim, 0, length)
    for tap in range(1, window.kernel):
        total = total + padded.narrow(dim, tap * window.taps, length)
    every = slice(None, None, window.step)
    return total[..., every] if dim == -1 else total[..., every, :]


class SpacedLPPool2d(SpacedPool2d):
    """Power-average pooling with dilation, partial windows scaled up as in `torch.nn.functional.lp_pool2d`."""

    def __init__(self, rows: SpacedWindow, cols: SpacedWindow, *, norm_type: float) -> None:
        super().__init__(rows, cols)
        self.norm_type = norm_type

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        means: torch.Tensor = SpacedAvgPool2d(self.rows, self.cols)(maps.pow(self.norm_type))
        return (means * (self.rows.kernel * self.cols.kernel)).pow(1 / self.norm_type)


class SpacedPad2d(nn.Module):
    """Reflection or replication, within each of the interleaved maps on its own.

    Args:
        mode: "reflect" or "replicate".
        left, right, top, bottom: cells of the original to add, as in `torch.nn.functional.pad`.
        spacing: (rows, columns) cells of the map from one cell of the original to the next.

    >>> pad = SpacedPad2d("reflect", 1, 1, 0, 0, spacing=(1, 2))
    >>> pad(torch.arange(5.0).expand(1, 1, 1, 5))
    tensor([[[[2., 3., 0., 1., 2., 3., 4., 1., 2.]]]])
    """

    def __init__(self, mode: str, left: int, right: int, top: int, bottom: int, *, spacing: tuple[int, int]) -> None:
        super().__init__()
        self.mode = mode
        self.amounts = ((top, bottom), (left, right))
        self.spacing = spacing

    def reads(self, field: Field) -> Field:
        return field.moved(-self.spacing[0] * self.amounts[0][0])

    def reads_cols(self, field: Field) -> Field:
        return field.moved(-self.spacing[1] * self.amounts[1][0])

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        for dim, amounts, spacing in zip((-2, -1), self.amounts, self.spacing, strict=True):
            if any(amounts):
                maps = maps.index_select(dim, self._indices(maps, dim, amounts, spacing))
        return maps

    def _indices(self, maps: torch.Tensor, dim: int, amounts: tuple[int, int], spacing: int) -> torch.Tensor:
        size = maps.shape[dim]
        places = torch.arange(-spacing * amounts[0], size + spacing * amounts[1], device=maps.device)
        phase = places % spacing
        count = (size - phase + spacing - 1) // spacing
        cells = _PLACES[self.mode]((places - phase) // spacing, count.clamp(min=1))
        return (cells * spacing + phase).clamp(max=size - 1)

    def extra_repr(self) -> str:
        return f"{self.mode}, {self.amounts}, spacing={self.spacing}"


def _reflected(places: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    last = count - 1
    return (last - (last - places.abs()).abs()).clamp(min=0)


def _replicated(places: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    return places.clamp(min=0).minimum(count - 1)


_PLACES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "reflect": _reflected,
    "replicate": _replicated,
}
