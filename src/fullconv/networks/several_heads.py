"""One backbone, several heads: every pixel gets scores for each of several sets of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import fx, nn

from fullconv.networks.checkpointing import Checkpointable, stages_of
from fullconv.networks.fcn import FCN
from fullconv.networks.taps import Tap
from fullconv.networks.upsampling import AlignedUpsampling, PadToFit


class SeveralHeads(Checkpointable):
    """An FCN with one head per set of classes, all on the same features: semantic and geometric classes, say.

    Takes (N, channels, H, W) float images of any size, normalised; returns a tuple of (N, classes, H, W) scores, one
    per head. A model package holds all heads and is loaded as a model of
    one of them.

    Args:
        features: images → feature map per tap.
        heads: feature maps → scores at the finest tap, one per set of classes.
        finest: that tap.
        fitting: pads images to a size that the features take.
        to_pixels: scores at the finest tap → scores at the pixels, one per head.
        channels: bands of the images.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 5 (SIFT Flow: 33 semantic and 3 geometric classes).

    >>> from fullconv.networks.building import fcn
    >>> net = fcn("squeezenet1_1", classes=(33, 3)).eval()
    >>> [scores.shape for scores in net(torch.zeros(1, 3, 97, 61))]
    [torch.Size([1, 33, 97, 61]), torch.Size([1, 3, 97, 61])]
    """

    def __init__(
        self,
        features: fx.GraphModule,
        heads: Sequence[nn.Module],
        finest: Tap,
        fitting: PadToFit,
        to_pixels: Sequence[AlignedUpsampling],
        *,
        channels: int,
    ) -> None:
        super().__init__()
        self.features = features
        self.head = nn.ModuleList(heads)
        self.finest = finest
        self.stride = finest.stride
        self.image_channels = channels
        self.fitting = fitting
        self.to_pixels = nn.ModuleList(to_pixels)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        height, width = images.shape[-2:]
        padded = self.fitting(images)
        size = (padded.shape[-2], padded.shape[-1])
        pairs = zip(self.cells(images), self.to_pixels, strict=True)
        return tuple(up(scores, size)[..., :height, :width] for scores, up in pairs)

    def cells(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Scores at the finest tap, one per cell and head, before they are brought to the pixels."""
        features = stages_of(self.features) if self.in_stages else self.features
        maps = features(self.fitting(images))
        return tuple(head(maps) for head in self.head)

    @property
    def trunk(self) -> fx.GraphModule:
        return self.features

    def only(self, number: int) -> FCN:
        """The FCN of one head, with the same parameters; it computes no other head.

        >>> from fullconv.networks.building import fcn
        >>> net = fcn("squeezenet1_1", classes=(33, 3)).eval()
        >>> net.only(1)(torch.zeros(1, 3, 97, 61)).shape
        torch.Size([1, 3, 97, 61])
        """
        to_pixels = cast(AlignedUpsampling, self.to_pixels[number])
        head, channels = self.head[number], self.image_channels
        return FCN(self.features, head, self.finest, self.fitting, to_pixels, channels=channels)
