"""Random networks that only go down, with their own record of what padding reaches: an oracle that knows no geometry.

Every block can be asked to pad with NaN instead of zeros and to fill up the partial windows of ceil mode with NaN. A
result that is not NaN then was computed from the image alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import nn

CHANNELS = 4
_TAINT = [False]


@contextmanager
def tainted_padding() -> Iterator[None]:
    """Inside it, whatever reads beyond the border of a map yields NaN."""
    _TAINT[0] = True
    try:
        yield
    finally:
        _TAINT[0] = False


def _missing(size: int, window: int, stride: int, padding: int) -> int:
    """Cells that the last window of ceil mode reads after the padding: torch's rule, written from its documentation."""
    last = -(-(size + 2 * padding - window) // stride)
    if last * stride >= size + padding:
        last -= 1
    return max(0, last * stride + window - size - 2 * padding)


class Conv(nn.Module):
    def __init__(self, **settings: object) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, **settings)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not _TAINT[0] or self.conv.padding in (0, (0, 0)):
            return self.conv(x)
        conv = self.conv
        spans = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        if conv.padding == "same":
            amounts = [(span // 2, span - span // 2) for span in spans]
        else:
            amounts = [(p, p) for p in conv.padding]
        x = F.pad(x, (*amounts[1], *amounts[0]), value=float("nan"))
        return F.conv2d(x, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)


class Pool(nn.Module):
    """Max, average or power average."""

    def __init__(
        self, kind: str, kernel: int, stride: int, padding: int, dilation: int, ceil: bool, include: bool
    ) -> None:
        super().__init__()
        self.settings = (kernel, stride, padding, dilation if kind == "max" else 1, ceil)
        if kind == "max":
            self.pool: nn.Module = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil)
        elif kind == "avg":
            self.pool = nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil, count_include_pad=include)
        else:
            self.pool = nn.LPPool2d(2, kernel, stride, ceil_mode=ceil)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not _TAINT[0]:
            return self.pool(x)
        kernel, stride, padding, dilation, ceil = self.settings
        window = dilation * (kernel - 1) + 1
        more = [_missing(size, window, stride, padding) if ceil else 0 for size in x.shape[-2:]]
        bad = F.pad(torch.zeros_like(x), (padding, padding + more[1], padding, padding + more[0]), value=1.0)
        read = F.max_pool2d(bad, kernel, stride, dilation=dilation)
        return self.pool(x.nan_to_num(0)) + torch.where(read + _struck(x, self) > 0, float("nan"), 0.0)


def _struck(x: torch.Tensor, block: Pool) -> torch.Tensor:
    """Where a NaN in the map is read; average pools in torch carry it along, but so much is not promised of max."""
    kernel, stride, padding, dilation, ceil = block.settings
    return F.max_pool2d(x.isnan().float(), kernel, stride, padding, dilation, ceil_mode=ceil)


class Pad(nn.Module):
    def __init__(self, amounts: tuple[int, int, int, int], mode: str) -> None:
        super().__init__()
        self.amounts, self.mode = amounts, mode
        self.cropped = max(0, *(-amount for amount in amounts))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if _TAINT[0]:
            return F.pad(x, self.amounts, value=float("nan"))
        return F.pad(x, self.amounts, mode=self.mode)


class Thin(nn.Module):
    def __init__(self, start: int, end: int, step: int) -> None:
        super().__init__()
        self.start, self.end, self.step, self.cropped = start, end, step, max(start, end)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        start, end, step = self.start, self.end, self.step
        return x[..., start : height - end : step, start : width - end : step]


class Blocks(nn.Module):
    """Space to depth by view and permute, of a map cut to whole blocks; then channels mixed and brought back."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.cropped = size, size - 1
        self.mix = nn.Conv2d(CHANNELS * size * size, CHANNELS, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s = self.size
        x = x[:, :, : x.shape[2] // s * s, : x.size(3) // s * s]
        n, c, h, w = x.shape
        x = x.view(n, c, h // s, s, w // s, s).permute(0, 3, 5, 1, 2, 4)
        return self.mix(x.reshape(n, c * s * s, h // s, w // s))


class Unshuffle(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.cropped = size, size - 1
        self.mix = nn.Conv2d(CHANNELS * size * size, CHANNELS, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, :, : x.shape[2] // self.size * self.size, : x.shape[3] // self.size * self.size]
        return self.mix(F.pixel_unshuffle(x, self.size))


class ChannelShuffle(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.size()
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


class CellNorm(nn.Module):
    """Layer norm over channels of flattened cells, as in nets that think of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(CHANNELS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        return self.norm(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(n, c, h, w)


class Branches(nn.Module):
    """Two ways of one stride that meet, cut to the smaller size at the far end."""

    def __init__(self, first: nn.Module, second: nn.Module, how: str) -> None:
        super().__init__()
        self.first, self.second, self.how = first, second, how
        self.mix = nn.Conv2d(2 * CHANNELS, CHANNELS, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.first(x), self.second(x)
        b, a = b[..., : a.shape[2], : a.shape[3]], a[..., : b.shape[2], : b.shape[3]]
        return self.mix(torch.cat([a, b], dim=1)) if self.how == "cat" else a + b


def _window(draw: st.DrawFn, stride: int) -> nn.Module:
    kind = draw(st.sampled_from(("conv", "conv", "same", "reflect", "max", "max", "avg", "lp")))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    dilation, padding = draw(st.sampled_from((1, 1, 2))), (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    groups = draw(st.sampled_from((1, 2, CHANNELS)))
    if kind == "same" and stride == 1:
        return Conv(kernel_size=kernel, padding="same", dilation=dilation, groups=groups)
    if kind in ("conv", "same", "reflect"):
        mode = draw(st.sampled_from(("reflect", "replicate"))) if kind == "reflect" else "zeros"
        return Conv(
            kernel_size=kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, padding_mode=mode
        )
    side = max(2, kernel[0])
    ceil, include = draw(st.booleans()), draw(st.booleans())
    return Pool(kind, side, stride, 0 if kind == "lp" else draw(st.integers(0, side // 2)), dilation, ceil, include)


def _block(draw: st.DrawFn, stride: int) -> nn.Module:
    kind = draw(st.sampled_from(("window", "window", "window", "thin", "pad", "blocks", "unshuffle", "still")))
    if (
        kind == "window"
        or (kind in ("pad", "still") and stride > 1)
        or (kind in ("blocks", "unshuffle") and stride < 2)
    ):
        return _window(draw, stride)
    if kind == "thin":
        return Thin(draw(st.integers(0, 2)), draw(st.integers(0, 2)), stride)
    if kind == "pad":
        mode = draw(st.sampled_from(("constant", "reflect", "replicate")))
        least = -1 if mode == "constant" else 0
        return Pad(tuple(draw(st.integers(least, 2)) for _ in range(4)), mode)  # type: ignore[arg-type]
    if kind in ("blocks", "unshuffle"):
        return Blocks(stride) if kind == "blocks" else Unshuffle(stride)
    return draw(
        st.sampled_from((ChannelShuffle, CellNorm, nn.Hardswish, lambda: nn.BatchNorm2d(CHANNELS).eval(), nn.Tanh))
    )()


def _cropped(block: nn.Module) -> int:
    """Cells that a block may cut off at one end."""
    return max((part.cropped for part in block.modules() if hasattr(part, "cropped")), default=0)


@st.composite
def strided_nets(draw: st.DrawFn) -> tuple[nn.Module, int]:
    """Two to six blocks of strides 1 to 3, 12 in all at most, some of them with two branches.

    The number is how many pixels at each end of an image crops may take away: padding that comes after them begins
    inside the image, elsewhere for each shift.
    """
    blocks: list[nn.Module] = []
    total, cropped = 1, 0
    for _ in range(draw(st.integers(2, 6))):
        stride = draw(st.sampled_from([s for s in (1, 1, 2, 2, 3) if total * s <= 12]))
        block = _block(draw, stride)
        if draw(st.integers(0, 2)) == 0:
            block = Branches(block, _block(draw, stride), draw(st.sampled_from(("add", "cat"))))
        blocks.append(block)
        cropped += total * _cropped(block)
        total *= stride
    return nn.Sequential(*blocks).eval(), cropped
