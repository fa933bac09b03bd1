"""The fully convolutional network: scores at several strides, summed from coarse to fine, brought to the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import torch
from torch import fx, nn

from fullconv.networks.checkpointing import Checkpointable, stages_of
from fullconv.networks.compact import convolution
from fullconv.networks.taps import Tap
from fullconv.networks.upsampling import AlignedUpsampling, PadToFit, TransposedUpsampling, Upsampling

PIXELS = (1, Fraction(0))


class ScoreFusion(nn.Module):
    """The paper's skips: a 1×1 score layer per tap, summed from coarse to fine (section 4.2).

    Score layers start at zero, so that an untrained network says every class is equally likely. Layers are kept from
    coarse to fine, so that those of an FCN-32s have the same names in an FCN-16s, which can start from it.

    Args:
        taps: finest first.
        classes: how many scores.
        upsampling: how coarse scores reach finer ones.
        at_once: scale what finer taps yield by 0.01, 0.0001 …, so that all strides can be trained together.
    """

    def __init__(
        self, taps: tuple[Tap, ...], classes: int, upsampling: Upsampling = "bilinear", *, at_once: bool = False
    ) -> None:
        super().__init__()
        self.nodes = tuple(tap.node for tap in reversed(taps))
        self.scales = tuple(0.01**level if at_once else 1.0 for level in range(len(taps)))
        self.scores = nn.ModuleList(nn.Conv2d(tap.channels, classes, 1) for tap in reversed(taps))
        self.upsampling = between(taps, upsampling, [classes] * (len(taps) - 1))
        _zero(self.scores)

    def forward(self, maps: dict[str, torch.Tensor]) -> torch.Tensor:
        skips = [
            score(maps[node] if scale == 1 else maps[node] * scale)
            for node, score, scale in zip(self.nodes, self.scores, self.scales, strict=True)
        ]
        total: torch.Tensor = skips[0]
        for fine, up in zip(skips[1:], self.upsampling, strict=True):
            total = fine + up(total, _size(fine))
        return total


class FeatureFusion(nn.Module):
    """Skips that carry features: each tap is brought to a common width, summed from coarse to fine, and refined by a
    3×3 convolution at every stride; one score layer, zero at the start, reads the finest sum.

    Thin things gain most, since a decision at the finest stride sees what the coarse strides know. (Lin et al. 2017,
    Feature Pyramid Networks, section 3, for the sum of features.)

    Args:
        width: channels of the sums; half as many at stride 2, where cells are many.
    """

    def __init__(self, taps: tuple[Tap, ...], classes: int, width: int, upsampling: Upsampling = "bilinear") -> None:
        super().__init__()
        self.nodes = tuple(tap.node for tap in reversed(taps))
        sums = [width // 2 if tap.stride <= 2 else width for tap in taps]
        finer = [sums[0], *sums[:-1]]
        entering = [*sums[:-1], finer[-1]]
        laterals = [nn.Conv2d(tap.channels, channels, 1) for tap, channels in zip(taps, entering, strict=True)]
        refinements = [convolution(before, after) for before, after in zip(sums[:-1], finer[:-1], strict=True)]
        self.laterals = nn.ModuleList(reversed(laterals))
        self.refinements = nn.ModuleList(reversed(refinements))
        self.upsampling = between(taps, upsampling, entering[1:])
        self.score = nn.Conv2d(sums[0], classes, 1)
        _zero(self.score)

    def forward(self, maps: dict[str, torch.Tensor]) -> torch.Tensor:
        skips = [lateral(maps[node]) for node, lateral in zip(self.nodes, self.laterals, strict=True)]
        total: torch.Tensor = skips[0]
        for fine, up, refine in zip(skips[1:], self.upsampling, self.refinements, strict=True):
            total = refine(fine + up(total, _size(fine)))
        scores: torch.Tensor = self.score(total)
        return scores


class FCN(Checkpointable):
    """FCN-32s/16s/8s/4s on a classifier.

    Takes (N, channels, H, W) float images of any size, normalised; returns (N, classes, H, W) scores.

    Args:
        features: images → feature map per tap.
        head: feature maps → scores at the finest tap.
        finest: that tap.
        fitting: pads images to a size that the features take.
        to_pixels: scores at the finest tap → scores at the pixels.
        channels: bands of the images.
    """

    def __init__(
        self,
        features: fx.GraphModule,
        head: nn.Module,
        finest: Tap,
        fitting: PadToFit,
        to_pixels: AlignedUpsampling,
        *,
        channels: int,
    ) -> None:
        super().__init__()
        self.features = features
        self.head = head
        self.stride = finest.stride
        self.image_channels = channels
        self.fitting = fitting
        self.to_pixels = to_pixels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels: torch.Tensor = self.to_pixels(self.cells(images), _size(self.fitting(images)))
        return pixels[..., : images.shape[-2], : images.shape[-1]]

    def cells(self, images: torch.Tensor) -> torch.Tensor:
        """Scores at the finest tap, one per cell, before they are brought to the pixels."""
        features = stages_of(self.features) if self.in_stages else self.features
        scores: torch.Tensor = self.head(features(self.fitting(images)))
        return scores

    @property
    def trunk(self) -> fx.GraphModule:
        return self.features


def between(taps: tuple[Tap, ...], kind: Upsampling, channels: Sequence[int]) -> nn.ModuleList:
    """Upsampling from each tap to the next finer one, coarsest pair first.

    Args:
        taps: finest first.
        channels: of what is brought up, finest pair first.
    """
    grids = [(tap.stride, tap.center) for tap in taps]
    pairs = zip(pairwise(grids), channels, strict=True)
    steps = [upsampling_of(kind, coarse, fine, count) for (fine, coarse), count in pairs]
    return nn.ModuleList(reversed(steps))


def upsampling_of(
    kind: Upsampling, coarse: tuple[int, Fraction], fine: tuple[int, Fraction], channels: int
) -> AlignedUpsampling:
    """Interpolation or a transposed convolution; grids of one stride need neither."""
    if kind == "bilinear" or coarse[0] == fine[0]:
        return AlignedUpsampling(coarse, fine)
    return TransposedUpsampling(coarse, fine, channels, kind)


def _zero(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def _size(maps: torch.Tensor) -> tuple[int, int]:
    return maps.shape[-2], maps.shape[-1]
