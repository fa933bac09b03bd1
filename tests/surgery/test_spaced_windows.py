"""Pools and paddings of interleaved maps against torch's own on each of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from fullconv.geometry.geometry import Reach, geometry_of
from fullconv.geometry.measuring import measure_reach
from fullconv.surgery.spaced_windows import (
    SpacedAvgPool2d,
    SpacedLPPool2d,
    SpacedMaxPool2d,
    SpacedPad2d,
    SpacedWindow,
)


@st.composite
def window_pairs(draw: st.DrawFn) -> tuple[SpacedWindow, SpacedWindow]:
    """For rows and columns; torch wants padding of half a kernel at most, and one mode of rounding."""
    ceil_mode, padded = draw(st.booleans()), draw(st.booleans())
    windows = []
    for _ in range(2):
        kernel = draw(st.integers(1, 4))
        padding = draw(st.integers(0, kernel // 2)) if padded else 0
        stride, spacing = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        windows.append(SpacedWindow(kernel, stride, padding, ceil_mode=ceil_mode, spacing=spacing))
    return windows[0], windows[1]


def spaced(of: torch.Tensor, by: tuple[int, int]) -> torch.Tensor:
    """A map in which the given one lies spread out, with noise between."""
    height, width = of.shape[-2:]
    rows, cols = by
    wide = torch.randn(1, 1, rows * (height - 1) + 1 + (height % rows), cols * (width - 1) + 1 + (width % cols))
    wide[..., ::rows, ::cols] = of
    return wide


@settings(max_examples=150, deadline=None, derandomize=True)
@given(window_pairs(), st.booleans(), st.integers(1, 9), st.integers(1, 9), st.sampled_from(("max", "avg", "lp")))
def test_pools_equal_those_of_the_original_map(
    windows: tuple[SpacedWindow, SpacedWindow], include: bool, height: int, width: int, kind: str
) -> None:
    rows, cols = windows
    kernel, stride, padding = (rows.kernel, cols.kernel), (rows.stride, cols.stride), (rows.padding, cols.padding)
    own: Callable[[torch.Tensor], torch.Tensor]
    if kind == "max":
        own, pool = nn.MaxPool2d(kernel, stride, padding, ceil_mode=rows.ceil_mode), SpacedMaxPool2d(rows, cols)
    elif kind == "avg":
        own = nn.AvgPool2d(kernel, stride, padding, rows.ceil_mode, include)
        pool = SpacedAvgPool2d(rows, cols, count_include_pad=include)
    else:
        assume(padding == (0, 0))
        own, pool = nn.LPPool2d(2, kernel, stride, rows.ceil_mode), SpacedLPPool2d(rows, cols, norm_type=2)
    torch.manual_seed(0)
    original = torch.randn(1, 1, height, width)
    try:
        expected = own(original)
    except RuntimeError:  # too small
        assume(False)
    result = pool(spaced(original, (rows.spacing, cols.spacing)))
    cells = result[..., :: rows.spacing * rows.stride, :: cols.spacing * cols.stride]
    torch.testing.assert_close(cells, expected, atol=1e-6, rtol=0)
    assert result.isfinite().all()


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
@pytest.mark.parametrize("spacing", [(1, 1), (2, 3), (3, 1)])
@pytest.mark.parametrize("size", [(6, 6), (7, 9), (8, 11)])
def test_padding_of_each_interleaved_map(mode: str, spacing: tuple[int, int], size: tuple[int, int]) -> None:
    maps = torch.arange(float(size[0] * size[1])).reshape(1, 1, *size)
    padded = SpacedPad2d(mode, 1, 0, 0, 1, spacing=spacing)(maps)
    for i in range(spacing[0]):
        for j in range(spacing[1]):
            own = F.pad(maps[..., i :: spacing[0], j :: spacing[1]], (1, 0, 0, 1), mode=mode)
            assert torch.equal(padded[..., i :: spacing[0], j :: spacing[1]], own)


@pytest.mark.parametrize("kind", [SpacedMaxPool2d, SpacedAvgPool2d])
def test_their_geometry_is_measured(kind: type[nn.Module]) -> None:
    rows = SpacedWindow(3, 2, 1, ceil_mode=True, spacing=2)
    cols = SpacedWindow(2, 4, 0, ceil_mode=True, spacing=3, step=2)
    net = nn.Sequential(kind(rows, cols), nn.Conv2d(1, 1, 1))
    geometry = geometry_of(net)
    assert geometry.is_local
    assert geometry.reach == measure_reach(net, period=4) == Reach(2, 2, 0, 3)
