"""A layer's result as maps: one picture of numbers per channel, whatever order its dimensions have."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, isfinite

import numpy as np
import numpy.typing as npt
import torch

from fullconv.geometry.states import Plane

Maps = npt.NDArray[np.float32]
"""(channels, rows, columns)."""
BINS = 40
SAMPLE = 200_000
"""Numbers of a layer that its histogram counts, about."""


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
        histogram: how many numbers lie in each of 40 equal parts from `least` to `greatest`; of large layers some
            200,000 are counted, evenly spread.
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
    values = maps.detach().float().contiguous()
    channels, rows, columns = values.shape
    by_channel = values.flatten(1)
    lows, highs = by_channel.amin(1), by_channel.amax(1)
    least, greatest = float(lows.min()), float(highs.max())
    finite, broken = by_channel, 0
    if not isfinite(least) or not isfinite(greatest):
        finite = by_channel[by_channel.isfinite()][None]
        broken = by_channel.numel() - finite.numel()
        if not finite.numel():
            finite = torch.zeros(1, 1)
        least, greatest = (float(end) for end in finite.aminmax())
    mean, std = _mean_and_deviation(finite)
    counts = torch.histc(_spread(finite), BINS, least, greatest) if greatest > least else _all_in_the_middle(finite)
    return Summary(
        mean=mean,
        std=std,
        least=least,
        greatest=greatest,
        zeros=1 - int(finite.count_nonzero()) / finite.numel(),
        constant=int((lows == highs).sum()),
        channels=channels,
        rows=rows,
        columns=columns,
        histogram=tuple(int(count) for count in counts.tolist()),
        broken=broken,
    )


def _mean_and_deviation(values: torch.Tensor) -> tuple[float, float]:
    """Of all of (channels, numbers): several times faster than `torch.std_mean` on a processor."""
    means = values.mean(1, dtype=torch.float32)
    squares = (values - means[:, None]).square_().sum(1).double()
    mean = means.double().mean()
    variance = squares.mean() / values.shape[1] + (means.double() - mean).square().mean()
    return float(mean), float(variance.sqrt())


def _spread(values: torch.Tensor) -> torch.Tensor:
    """Numbers evenly spread over all: every n-th, where n has nothing in common with the length of a row."""
    flat = values.flatten()
    step = max(1, flat.numel() // SAMPLE)
    while step > 1 and gcd(step, values.shape[1]) > 1:
        step += 1
    return flat[::step].contiguous()


def _all_in_the_middle(values: torch.Tensor) -> torch.Tensor:
    counts = torch.zeros(BINS)
    counts[BINS // 2] = values.numel()
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
