"""Shift-and-stitch as a way to predict: coarse scores of every shift of the image instead of upsampled ones."""

from __future__ import annotations

import torch
from torch import nn

from fullconv.errors import PlanError
from fullconv.networks.fcn import FCN
from fullconv.surgery.stitching import shift_and_stitch


class CoarseScores(nn.Module):
    """A fully convolutional network up to its finest scores, before they are brought to the pixels."""

    def __init__(self, net: FCN) -> None:
        super().__init__()
        self.fitting, self.features, self.head = net.fitting, net.features, net.head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → (N, classes, h, w)."""
        scores: torch.Tensor = self.head(self.features(self.fitting(images)))
        return scores


def stitched_scores(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) normalised images → (N, classes, H, W): each pixel gets scores computed for its own place.

    Slow: the network runs once per shift within its output stride, 64 times for stride 8.

    Raises:
        PlanError: the network has no coarse scores to stitch.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 3.2.

    >>> from fullconv.networks.building import fcn
    >>> net = fcn("squeezenet1_1", classes=2, stride=2).eval()
    >>> stitched_scores(net, torch.zeros(1, 3, 37, 41)).shape
    torch.Size([1, 2, 37, 41])
    """
    if not isinstance(net, FCN):
        raise PlanError(
            f"{type(net).__name__} has no coarse scores to stitch",
            where="shift-and-stitch",
            remedy="use a network named fcn8s-…, or predict without it",
        )
    return shift_and_stitch(CoarseScores(net).eval(), images, grid="pixels")
