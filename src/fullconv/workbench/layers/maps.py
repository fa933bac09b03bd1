"""A layer's result as maps: one picture of numbers per channel, whatever order its dimensions have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fullconv.geometry.states import Plane

Maps = npt.NDArray[np.float32]
"""(channels, rows, columns)."""
BINS = 40


def maps_of(value: torch.Tensor, plane: Plane | None) -> torch.Tensor:
    """(channels, rows, columns) of a layer's result for one image.

    Args:
        value: the result, with the batch of one.
        plane: which of its dimensions are rows and columns; where there is none, the last two are taken for them, and
            a vector becomes one channel per number.

    >>> maps_of(torch.zeros(1, 5, 7, 16), None).shape
    torch.Size([5, 7, 16])
    >>> maps_of(torch.zeros(1, 4096), None).shape
    torch.Size([4096, 1, 1])
    """
    if plane is not None and len(plane.tags) == value.ndim:
        tags = list(plane.tags)
        if tags.count("rows") == 1 and tags.count("cols") == 1:
            return value.movedim((tags.index("rows"), tags.index("cols")), (-2, -1)).flatten(0, -3)
        if tags.count("cells") == 1 and plane.widths is not None:
            cells = value.movedim(tags.index("cells"), -1)
            return cells.reshape(*cells.shape[:-1], -1, plane.widths[0]).flatten(0, -3)
    if value.ndim == 2:
        return value.flatten()[:, None, None]
    return value.flatten(0, -3)


@dataclass(frozen=True)
class Summary:
    """A layer's numbers in short.

    Args:
        mean, std, least, greatest: of all numbers.
        zeros: share of them that are exactly zero, 0 to 1.
        constant: channels that hold one number everywhere.
        channels, rows, columns: of the maps.
        histogram: how many numbers lie in each of 40 equal parts from `least` to `greatest`.
        broken: numbers that are not finite; they count nowhere else.
    """

    mean: float
    std: float
    least: float
    greatest: float
    zeros: float
    constant: int
    channels: int
    rows: int
    columns: int
    histogram: tuple[int, ...]
    broken: int


def summarized(maps: torch.Tensor) -> Summary:
    """Sum up maps (channels, rows, columns).

    >>> found = summarized(torch.tensor([[[0.0, 2.0]], [[1.0, 1.0]]]))
    >>> found.mean, found.least, found.greatest, found.zeros, found.constant, found.histogram[0], found.histogram[-1]
    (1.0, 0.0, 2.0, 0.25, 1, 1, 1)
    """
    values = maps.detach().float()
    known = values.isfinite()
    broken = int(values.numel() - known.sum())
    finite = values[known] if broken else values.flatten()
    channels, rows, columns = values.shape
    least, greatest = (float(end) for end in finite.aminmax()) if finite.numel() else (0.0, 0.0)
    std, mean = torch.std_mean(finite, correction=0) if finite.numel() else (torch.zeros(()), torch.zeros(()))
    by_channel = values.flatten(1)
    counts = torch.histc(finite, BINS, least, greatest) if greatest > least else _all_in_the_middle(finite.numel())
    return Summary(
        mean=float(mean),
        std=float(std),
        least=least,
        greatest=greatest,
        zeros=float((finite == 0).sum()) / max(1, finite.numel()),
        constant=int((by_channel.amin(1) == by_channel.amax(1)).sum()),
        channels=channels,
        rows=rows,
        columns=columns,
        histogram=tuple(int(count) for count in counts.tolist()),
        broken=broken,
    )


def _all_in_the_middle(count: int) -> torch.Tensor:
    counts = torch.zeros(BINS)
    counts[BINS // 2] = count
    return counts


@dataclass(frozen=True)
class ChannelSummary:
    """One channel's numbers in short."""

    mean: float
    std: float
    least: float
    greatest: float


def channel_summaries(maps: Maps) -> list[ChannelSummary]:
    """Of each of (channels, rows, columns); what is not finite is left out.

    >>> channel_summaries(np.array([[[0, 2]]], dtype=np.float32))
    [ChannelSummary(mean=1.0, std=1.0, least=0.0, greatest=2.0)]
    """
    found = []
    for values in maps.reshape(len(maps), -1).astype(np.float64):
        finite = values[np.isfinite(values)]
        if not len(finite):
            finite = np.zeros(1)
        found.append(
            ChannelSummary(float(finite.mean()), float(finite.std()), float(finite.min()), float(finite.max()))
        )
    return found
