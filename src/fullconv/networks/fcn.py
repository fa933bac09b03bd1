"""The fully convolutional network: scores at several strides, summed from coarse to fine, brought to the pixels."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from fullconv.errors import NetworkError
from fullconv.networks.backbones import find_backbone, minimum_side
from fullconv.networks.compact import convolution
from fullconv.networks.taps import Tap
from fullconv.networks.upsampling import AlignedUpsampling, PadToMinimum

PIXELS = (1, Fraction(0))


class ScoreFusion(nn.Module):
    """The paper's skips: a 1×1 score layer per tap, summed from coarse to fine (section 4.2).

    Score layers start at zero, so that an untrained network says every class is equally likely.
    """

    def __init__(self, taps: tuple[Tap, ...], classes: int) -> None:
        super().__init__()
        self.nodes = tuple(tap.node for tap in taps)
        self.scores = nn.ModuleList(nn.Conv2d(tap.channels, classes, 1) for tap in taps)
        self.upsampling = _between(taps)
        _zero(self.scores)

    def forward(self, maps: dict[str, torch.Tensor]) -> torch.Tensor:
        skips = [score(maps[node]) for node, score in zip(self.nodes, self.scores, strict=True)]
        total: torch.Tensor = skips.pop()
        for fine, up in zip(reversed(skips), reversed(self.upsampling), strict=True):
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

    def __init__(self, taps: tuple[Tap, ...], classes: int, width: int) -> None:
        super().__init__()
        self.nodes = tuple(tap.node for tap in taps)
        sums = [width // 2 if tap.stride <= 2 else width for tap in taps]
        finer = [sums[0], *sums[:-1]]
        entering = [*sums[:-1], finer[-1]]
        self.laterals = nn.ModuleList(
            nn.Conv2d(tap.channels, channels, 1) for tap, channels in zip(taps, entering, strict=True)
        )
        self.refinements = nn.ModuleList(
            convolution(before, after) for before, after in zip(sums[:-1], finer[:-1], strict=True)
        )
        self.upsampling = _between(taps)
        self.score = nn.Conv2d(sums[0], classes, 1)
        _zero(self.score)

    def forward(self, maps: dict[str, torch.Tensor]) -> torch.Tensor:
        skips = [lateral(maps[node]) for node, lateral in zip(self.nodes, self.laterals, strict=True)]
        total: torch.Tensor = skips.pop()
        levels = zip(reversed(skips), reversed(self.upsampling), reversed(self.refinements), strict=True)
        for fine, up, refine in levels:
            total = refine(fine + up(total, _size(fine)))
        scores: torch.Tensor = self.score(total)
        return scores


class FCN(nn.Module):
    """FCN-32s/16s/8s/4s on a classifier.

    Takes (N, channels, H, W) float images of any size, normalised; returns (N, classes, H, W) scores.

    Args:
        features: images → feature map per tap.
        head: feature maps → scores at the finest tap.
        finest: that tap.
        minimum: smallest side that the features take; smaller images are padded.
    """

    def __init__(self, features: nn.Module, head: nn.Module, finest: Tap, minimum: int) -> None:
        super().__init__()
        self.features = features
        self.head = head
        self.stride = finest.stride
        self.at_least = PadToMinimum(minimum)
        self.to_pixels = AlignedUpsampling((finest.stride, finest.center), PIXELS)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        padded = self.at_least(images)
        pixels: torch.Tensor = self.to_pixels(self.head(self.features(padded)), _size(padded))
        return pixels[..., : images.shape[-2], : images.shape[-1]]


def fcn(
    backbone: str,
    *,
    classes: int,
    stride: int = 8,
    channels: int = 3,
    fusion: Literal["scores", "features"] = "scores",
    width: int = 64,
) -> FCN:
    """A fully convolutional network on a classifier, with random weights.

    Args:
        backbone: torchvision's name, such as "vgg16" or "mobilenet_v2", or "compact".
        classes: how many scores each pixel gets.
        stride: of the finest skip: 32 (none), 16, 8, 4 or 2, where the backbone has it.
        channels: bands of the images.
        fusion: what the skips carry: class scores, as in the paper, or features.
        width: channels of fused features.

    Returns:
        A network for (N, channels, H, W) images; see `networks.weights` for pretrained parameters.

    Raises:
        NetworkError: the backbone is unknown or has no layer of that stride.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 4.

    >>> net = fcn("mobilenet_v2", classes=11, stride=4).eval()
    >>> net(torch.zeros(1, 3, 97, 61)).shape
    torch.Size([1, 11, 97, 61])
    """
    source = find_backbone(backbone)
    taps = tuple(tap for tap in source.taps if tap.stride >= stride)
    if not taps or taps[0].stride != stride:
        offered = ", ".join(str(value) for value in source.strides)
        raise NetworkError(f"{backbone} has no layer of stride {stride}", remedy=f"choose one of {offered}")
    extractor = source.features(source.build(channels), taps)
    head = ScoreFusion(taps, classes) if fusion == "scores" else FeatureFusion(taps, classes, width)
    return FCN(extractor, head, taps[0], minimum_side(backbone, taps[-1].node))


def _between(taps: tuple[Tap, ...]) -> nn.ModuleList:
    """Upsampling from each tap to the next finer one, finest pair first."""
    grids = [(tap.stride, tap.center) for tap in taps]
    return nn.ModuleList(AlignedUpsampling(coarse, fine) for fine, coarse in pairwise(grids))


def _zero(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def _size(maps: torch.Tensor) -> tuple[int, int]:
    return maps.shape[-2], maps.shape[-1]
