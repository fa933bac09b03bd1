"""A convolution with a large kernel as one matrix product over unfolded windows, which is what a linear layer was."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

LARGEST_UNFOLDED = 2**28
"""Bytes of windows up to which they are unfolded at once; larger maps are convolved as usual."""


class WindowProduct(nn.Conv2d):
    """An `nn.Conv2d` in all but the arithmetic: on a CPU its windows are unfolded and multiplied with the weights.

    Former fully connected layers have few, large windows; as one matrix product they take two thirds of the time of
    a convolution (benchmarks/dense_vs_patches.py). The sums are those of the convolution in another order.

    >>> layer = WindowProduct(256, 4096, 6)
    >>> sum(parameter.numel() for parameter in layer.parameters())
    37752832
    """

    traced_whole = True

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → (N, K, h, w), as the convolution does."""
        if isinstance(self.padding, str):
            return super().forward(input)
        height, width = (
            (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for side, pad, dilation, kernel, stride in zip(
                input.shape[-2:], self.padding, self.dilation, self.kernel_size, self.stride, strict=True
            )
        )
        values = input.shape[0] * self.weight[0].numel() * height * width
        if input.device.type != "cpu" or height < 1 or width < 1 or values * input.element_size() > LARGEST_UNFOLDED:
            return super().forward(input)
        windows = F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)
        sums = self.weight.flatten(1) @ windows
        if self.bias is not None:
            sums = sums + self.bias[:, None]
        return sums.view(*sums.shape[:2], height, width)
