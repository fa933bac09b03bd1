"""Late fusion: two whole networks, each reading its own bands of the image, whose scores are summed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.meta_values import bands_of

if TYPE_CHECKING:
    from fullconv.networks.reference import AnyFCN


class LateFusion(nn.Module):
    """Two FCNs side by side: colour and depth, say, each with a network of its own, fused by the sum of their scores.

    Takes (N, first bands + second bands, H, W) float images; returns (N, classes, H, W) scores. Score layers of both
    start at zero, so the sums do too. Early fusion is one network whose first layer reads all bands: `channels=4`.

    Args:
        first: reads the first bands, as many as its own first convolution takes.
        second: reads the bands after those; it must yield as many classes, the backbone may be another.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 5 (NYUDv2: "late fusion" of RGB and HHA).

    >>> from fullconv.networks.building import fcn
    >>> color, depth = (fcn("squeezenet1_1", classes=40, channels=bands) for bands in (3, 1))
    >>> net = LateFusion(color, depth).eval()
    >>> net(torch.zeros(1, 4, 97, 61)).shape
    torch.Size([1, 40, 97, 61])
    """

    def __init__(self, first: AnyFCN, second: AnyFCN) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.bands = (bands_of(first), bands_of(second))
        self.image_channels = sum(self.bands)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        split = self.bands[0]
        scores: torch.Tensor = self.first(images[:, :split]) + self.second(images[:, split:])
        return scores

    @property
    def stride(self) -> int:
        """Of the finest scores of both."""
        return min(self.first.stride, self.second.stride)

    @property
    def features(self) -> nn.ModuleDict:
        """The layers of both that a classifier's weights fill."""
        return nn.ModuleDict({"first": self.first.features, "second": self.second.features})

    @property
    def head(self) -> nn.ModuleDict:
        """The layers of both that are new."""
        return nn.ModuleDict({"first": self.first.head, "second": self.second.head})

    def extra_repr(self) -> str:
        return f"bands={self.bands}"


def late_fusion(tower: Callable[[int], AnyFCN], channels: int, *, first: int = 3) -> LateFusion:
    """Two networks of one kind, the bands of an image divided between them.

    Args:
        tower: makes a network for so many bands.
        channels: bands of the images.
        first: how many of them the first network reads; the second reads the rest.

    Raises:
        NetworkError: one of the two would have no band to read.

    >>> from fullconv.networks.building import fcn
    >>> late_fusion(lambda bands: fcn("squeezenet1_1", classes=2, channels=bands), 4).bands
    (3, 1)
    """
    if not 0 < first < channels:
        raise NetworkError(
            f"late fusion after band {first} leaves one of its two networks no band of {channels}",
            remedy="give images with more bands, or take a network without -late in its name",
        )
    return LateFusion(tower(first), tower(channels - first))
