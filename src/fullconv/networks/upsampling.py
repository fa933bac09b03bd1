"""Upsampling by a whole factor that lands exactly on the pixels of the finer grid: interpolated or learned."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.fields import Field

Upsampling = Literal["bilinear", "frozen", "learned", "learned-random", "learned-dense", "learned-dense-random"]
"""By interpolation; by transposed convolutions that stay bilinear; by ones that are trained.

Those start bilinear or, with "-random", at random; each class has a kernel of its own or, with "-dense", each pair of
classes has one, so that the scores of one class can change those of another.
"""


def bilinear_kernel(size: int) -> torch.Tensor:
    """(size, size) weights that interpolate linearly by a factor of size // 2, rounded up.

    >>> bilinear_kernel(4)[1]
    tensor([0.1875, 0.5625, 0.5625, 0.1875])

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 3.3; Caffe's bilinear filler.
    """
    factor = (size + 1) // 2
    center = factor - 1 if size % 2 else factor - 0.5
    line = 1 - (torch.arange(size) - center).abs() / factor
    return line[:, None] * line[None, :]


def transposed_convolution(
    channels: int, kernel: int, stride: int, *, padding: int = 0, kind: Upsampling = "frozen"
) -> nn.ConvTranspose2d:
    """Upsampling of scores by a transposed convolution without bias.

    Args:
        channels: of the scores.
        kernel: side of the kernels.
        stride: the factor.
        padding: cells cut off at every end.
        kind: whether the kernels are trained, whether there is one per channel or per pair, and how they start. Dense
            kernels that start bilinear are zero between different channels. Random ones keep the variance of scores.

    Raises:
        NetworkError: "bilinear" is interpolation, which has no kernels.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 3.3.

    >>> transposed_convolution(21, 64, 32).weight.requires_grad
    False
    >>> transposed_convolution(21, 4, 2, kind="learned-dense").weight.shape
    torch.Size([21, 21, 4, 4])
    """
    if kind == "bilinear":
        raise NetworkError("bilinear interpolation is no transposed convolution", remedy="say frozen or learned")
    dense = "-dense" in kind
    layer = nn.ConvTranspose2d(channels, channels, kernel, stride, padding, groups=1 if dense else channels, bias=False)
    with torch.no_grad():
        if kind.endswith("-random"):
            summed = (channels if dense else 1) * ceil(kernel / stride) ** 2
            nn.init.normal_(layer.weight, std=summed**-0.5)
        else:
            layer.weight.zero_()
            own = list(range(channels))
            layer.weight[own, own if dense else 0] = bilinear_kernel(kernel).to(layer.weight)
    layer.requires_grad_(kind != "frozen")
    return layer


class AlignedUpsampling(nn.Module):
    """Scores on a coarse grid → the same scores on a finer grid, cell centres where they belong.

    Cell o of a grid with stride s and first centre c sits on pixel `s·o + c`. The coarse grid is interpolated by the
    factor `coarse stride / fine stride` and then shifted by a whole number of fine cells; beyond the outermost
    coarse centre the nearest value is repeated.

    Args:
        coarse: (stride, first centre) of the incoming grid, pixels.
        fine: (stride, first centre) of the grid to reach; (1, 0) is the image itself.

    Raises:
        NetworkError: the two grids do not line up by a whole or half cell.

    >>> up = AlignedUpsampling((2, Fraction(0)), (1, Fraction(0)))
    >>> up(torch.tensor([[[[0.0, 2.0, 4.0]]]]), (1, 6))
    tensor([[[[0., 1., 2., 3., 4., 4.]]]])
    """

    def __init__(self, coarse: tuple[int, Fraction], fine: tuple[int, Fraction]) -> None:
        super().__init__()
        self.factor, remainder = divmod(coarse[0], fine[0])
        offset = (coarse[1] - fine[1]) / fine[0]
        half = Fraction(self.factor - 1, 2)
        self.corners = offset.denominator == 1
        shift = offset if self.corners else offset - half
        if remainder or shift.denominator != 1:
            raise NetworkError(f"a grid of stride {coarse[0]} does not line up with one of stride {fine[0]}")
        self.shift = int(shift)

    def forward(self, scores: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """(N, C, h, w) → (N, C, *size)."""
        if self.factor > 1:
            scores = self.grown(scores)
        bottom, right = (wanted - have - self.shift for wanted, have in zip(size, scores.shape[-2:], strict=True))
        if (self.shift, bottom, right) == (0, 0, 0):
            return scores
        for axis, missing in ((-2, bottom), (-1, right)):
            scores = _extended(scores, axis, before=self.shift, after=missing)
        return scores

    def grown(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores on a grid finer by the factor, before the shift."""
        if not self.corners:
            return F.interpolate(scores, scale_factor=self.factor, mode="bilinear", align_corners=False)
        height, width = ((side - 1) * self.factor + 1 for side in scores.shape[-2:])
        return F.interpolate(scores, size=(height, width), mode="bilinear", align_corners=True)

    def reads(self, field: Field) -> Field:
        """What the finer cells read, for the geometry of whole networks."""
        if self.factor > 1:
            field = self.grown_reads(field)
        return field.moved(-self.shift)

    def grown_reads(self, field: Field) -> Field:
        """What the cells read before the shift."""
        first = Fraction(0) if self.corners else Fraction(1 - self.factor, 2 * self.factor)
        return field.interpolated(self.factor, first)

    def extra_repr(self) -> str:
        return f"factor={self.factor}, shift={self.shift}"


class TransposedUpsampling(AlignedUpsampling):
    """The same by a transposed convolution.

    It adds zeros where the grid ends, so the outermost half cell fades, as in the paper's nets.

    Args:
        coarse, fine: as there.
        channels: of the scores.
        kind: see `transposed_convolution`.

    >>> up = TransposedUpsampling((8, Fraction(7, 2)), (4, Fraction(3, 2)), channels=21)
    >>> up.kernels.weight.shape, up.kernels.weight.requires_grad
    (torch.Size([21, 1, 4, 4]), True)

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 3.3.
    """

    def __init__(
        self, coarse: tuple[int, Fraction], fine: tuple[int, Fraction], channels: int, kind: Upsampling = "learned"
    ) -> None:
        super().__init__(coarse, fine)
        size = 2 * self.factor - (1 if self.corners else self.factor % 2)
        padding = self.factor - 1 if self.corners else self.factor // 2
        self.kernels = transposed_convolution(channels, size, self.factor, padding=padding, kind=kind)

    def grown(self, scores: torch.Tensor) -> torch.Tensor:
        grown: torch.Tensor = self.kernels(scores)
        return grown

    def grown_reads(self, field: Field) -> Field:
        return field.spread(self.kernels.kernel_size[0], stride=self.factor, padding=int(self.kernels.padding[0]))


class PadToFit(nn.Module):
    """Zeros below and to the right of images that the network cannot take; others pass as they are.

    Args:
        minimum: smallest side that it takes.
        multiple: of which sides must be multiples: 1, or a stride where branches are halved in different ways.

    >>> PadToFit(32, 32)(torch.zeros(1, 3, 97, 20)).shape
    torch.Size([1, 3, 128, 32])
    """

    def __init__(self, minimum: int, multiple: int = 1) -> None:
        super().__init__()
        self.minimum = minimum
        self.multiple = multiple

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        below, right = (self._missing(side) for side in images.shape[-2:])
        return F.pad(images, (0, right, 0, below)) if below or right else images

    def _missing(self, side: int) -> int:
        least = max(self.minimum, side)
        return least + -least % self.multiple - side

    def reads(self, field: Field) -> Field:
        """Cells stay where they are."""
        return field

    def extra_repr(self) -> str:
        return f"minimum={self.minimum}, multiple={self.multiple}"


def _extended(scores: torch.Tensor, axis: int, *, before: int, after: int) -> torch.Tensor:
    """Repeat the outermost cells along an axis, or cut cells off where a number is negative.

    Narrow and concatenate: their backward pass is several times faster than that of replication padding.
    """
    start, length = max(0, -before), scores.shape[axis]
    scores = scores.narrow(axis, start, length - start - max(0, -after))
    parts = [scores]
    if before > 0:
        parts.insert(0, scores.narrow(axis, 0, 1).expand(*_repeated(scores, axis, before)))
    if after > 0:
        parts.append(scores.narrow(axis, scores.shape[axis] - 1, 1).expand(*_repeated(scores, axis, after)))
    return torch.cat(parts, dim=axis) if len(parts) > 1 else scores


def _repeated(scores: torch.Tensor, axis: int, count: int) -> list[int]:
    shape = list(scores.shape)
    shape[axis] = count
    return shape
