"""Depthwise convolutions with a stride, computed in float32 under bfloat16 autocast on a CPU.

oneDNN has no fast bfloat16 backward pass for them: in FCN-8s on MobileNetV2 four such layers take a sixth of a training
step, and less than half of that in float32, conversions included.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn


class _Float32Convolution(nn.Conv2d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        with torch.autocast(input.device.type, enabled=False):
            wide = F.conv2d(
                input.float(), self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
            )
        return wide.to(input.dtype)


@contextmanager
def strided_depthwise_in_float32(net: nn.Module, *, wanted: bool = True) -> Iterator[None]:
    """While it lasts, depthwise convolutions of `net` with a stride compute in float32; their parameters stay theirs.

    Args:
        net: changed in place and changed back.
        wanted: whether to do anything (bfloat16 on a CPU).

    >>> net = nn.Sequential(nn.Conv2d(4, 4, 3, stride=2, groups=4))
    >>> with strided_depthwise_in_float32(net):
    ...     type(net[0]).__name__
    '_Float32Convolution'
    >>> type(net[0]).__name__
    'Conv2d'
    """
    found = [module for module in net.modules() if wanted and _is_strided_depthwise(module)]
    for module in found:
        module.__class__ = _Float32Convolution
    try:
        yield
    finally:
        for module in found:
            module.__class__ = nn.Conv2d


def _is_strided_depthwise(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.padding_mode == "zeros"
        and module.groups == module.in_channels > 1
        and max(module.stride) > 1
    )
