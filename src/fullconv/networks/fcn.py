"""The fully convolutional network: scores at several strides, summed from coarse to fine, brought to the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from fullconv.errors import NetworkError
from fullconv.networks.backbones import Tap, feature_widths, find_backbone
from fullconv.networks.upsampling import AlignedUpsampling

PIXELS = (1, Fraction(0))


class FCN(nn.Module):
    """FCN-32s/16s/8s/4s on a classifier: one 1×1 score layer per skip, fused by sum (paper, section 4.2).

    Takes (N, channels, H, W) float images of any size, normalised; returns (N, classes, H, W) scores. Score layers
    start at zero, so that an untrained network says every class is equally likely.
    """

    def __init__(self, features: nn.Module, taps: tuple[Tap, ...], widths: dict[str, int], classes: int, minimum: int):
        super().__init__()
        self.features = features
        self.nodes = tuple(tap.node for tap in taps)
        self.minimum_size = minimum
        self.stride = taps[0].stride
        self.scores = nn.ModuleList(nn.Conv2d(widths[tap.node], classes, 1) for tap in taps)
        grids = [PIXELS, *((tap.stride, tap.center) for tap in taps)]
        self.upsampling = nn.ModuleList(AlignedUpsampling(coarse, fine) for fine, coarse in pairwise(grids))
        for parameter in self.head_parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        size = (images.shape[-2], images.shape[-1])
        short = [max(0, self.minimum_size - side) for side in size]
        if any(short):
            images = F.pad(images, (0, short[1], 0, short[0]))
        maps = self.features(images)
        skips = [score(maps[node]) for node, score in zip(self.nodes, self.scores, strict=True)]
        total = skips[-1]
        for level in range(len(skips) - 2, -1, -1):
            fine = skips[level]
            total = fine + self.upsampling[level + 1](total, (fine.shape[-2], fine.shape[-1]))
        pixels: torch.Tensor = self.upsampling[0](total, (images.shape[-2], images.shape[-1]))
        return pixels[..., : size[0], : size[1]]

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that no classifier brings along."""
        return self.scores.parameters()


def fcn(backbone: str, *, classes: int, stride: int = 8, channels: int = 3) -> FCN:
    """A fully convolutional network on a classifier, with random weights.

    Args:
        backbone: torchvision's name, such as "vgg16" or "mobilenet_v2".
        classes: how many scores each pixel gets.
        stride: of the finest skip: 32 (none), 16, 8 or 4, where the backbone has it.
        channels: bands of the images.

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
    return FCN(extractor, taps, feature_widths(source, taps), classes, source.minimum_size)
