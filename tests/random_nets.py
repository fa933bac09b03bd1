"""Random small networks that a Hypothesis test draws: chains and branches of everything that is local."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import nn

Block = tuple[nn.Module, Fraction]
"""A module and its stride: cells read per cell of the result."""


class Resize(nn.Module):
    def __init__(self, factor: int, mode: str) -> None:
        super().__init__()
        self.factor, self.mode = factor, mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=self.factor, mode=self.mode)


class Pad(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.amounts = (before, after, before, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, self.amounts)


class Crop(nn.Module):
    def __init__(self, start: int, end: int) -> None:
        super().__init__()
        self.start, self.end = start, end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, self.start : x.shape[2] - self.end, self.start : x.shape[3] - self.end]


class Thin(nn.Module):
    def __init__(self, start: int, step: int) -> None:
        super().__init__()
        self.start, self.step = start, step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[..., self.start :: self.step, self.start :: self.step]


class SpaceToDepth(nn.Module):
    """By view and permute, as many networks write it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        x = x[:, :, : h // 2 * 2, : w // 2 * 2]
        n, c, h, w = x.shape
        x = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)
        return x.mean(dim=1, keepdim=True)


class Shuffle(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(torch.cat([x, x, x, x], dim=1), 2)


class Branches(nn.Module):
    """Two ways of one stride that meet, cut to the smaller size at the far end."""

    def __init__(self, first: nn.Module, second: nn.Module, how: str) -> None:
        super().__init__()
        self.first, self.second, self.how = first, second, how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.first(x), self.second(x)
        b, a = b[..., : a.shape[2], : a.shape[3]], a[..., : b.shape[2], : b.shape[3]]
        if self.how == "cat":
            return torch.cat([a, b], dim=1).mean(1, keepdim=True)
        return a + b if self.how == "add" else a * b


def _windows(draw: st.DrawFn) -> Block:
    stride = draw(st.sampled_from((1, 1, 1, 2, 2, 3)))
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    padding = draw(st.integers(0, 3))
    dilation = draw(st.sampled_from((1, 1, 2, 3)))
    kind = draw(st.sampled_from(("conv", "conv", "max", "avg", "same")))
    if kind == "same":
        return nn.Conv2d(1, 1, kernel, padding="same", dilation=dilation), Fraction(1)
    if kind == "conv":
        return nn.Conv2d(1, 1, kernel, stride=stride, padding=padding, dilation=dilation), Fraction(stride)
    ceil, side = draw(st.booleans()), max(2, kernel[0])
    padding = min(padding, side // 2)
    if kind == "max":
        return nn.MaxPool2d(side, stride, padding, dilation=dilation, ceil_mode=ceil), Fraction(stride)
    return nn.AvgPool2d(side, stride, padding, ceil_mode=ceil), Fraction(stride)


def _upward(draw: st.DrawFn) -> Block:
    factor = draw(st.sampled_from((2, 2, 4)))
    kind = draw(st.sampled_from(("transposed", "nearest", "bilinear", "bicubic", "shuffle")))
    if kind == "shuffle":
        return Shuffle(), Fraction(1, 2)
    if kind != "transposed":
        return Resize(factor, kind), Fraction(1, factor)
    stride, kernel = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    dilation = draw(st.sampled_from((1, 1, 2)))
    padding = draw(st.integers(0, min(2, (kernel - 1) * dilation)))
    return nn.ConvTranspose2d(1, 1, kernel, stride=stride, padding=padding, dilation=dilation), Fraction(1, stride)


def _still(draw: st.DrawFn) -> Block:
    choice: Callable[[], Block] = draw(
        st.sampled_from(
            (
                lambda: (Pad(draw(st.integers(0, 3)), draw(st.integers(0, 3))), Fraction(1)),
                lambda: (Crop(draw(st.integers(0, 3)), draw(st.integers(0, 3))), Fraction(1)),
                lambda: (Thin(draw(st.integers(0, 2)), 2), Fraction(2)),
                lambda: (SpaceToDepth(), Fraction(2)),
                lambda: (nn.BatchNorm2d(1).eval(), Fraction(1)),
                lambda: (nn.Hardswish(), Fraction(1)),
            )
        )
    )
    return choice()


@st.composite
def nets(draw: st.DrawFn) -> nn.Module:
    """Up to five blocks, some of them with two branches, of a stride between 1/4 and 8."""
    blocks: list[nn.Module] = []
    stride = Fraction(1)
    for _ in range(draw(st.integers(1, 5))):
        block, step = draw(st.sampled_from((_windows, _windows, _upward, _still)))(draw)
        if draw(st.integers(0, 3)) == 0:
            other, other_step = draw(st.sampled_from((_windows, _still)))(draw)
            if other_step == step:
                block = Branches(block, other, draw(st.sampled_from(("add", "mul", "cat"))))
        if Fraction(1, 4) <= stride * step <= 8:
            blocks.append(block)
            stride *= step
    return nn.Sequential(*blocks).eval()
