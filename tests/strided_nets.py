"""Small networks with strides, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

C = 4


class Call(nn.Module):
    """A network written as a function of the image and of some layers."""

    def __init__(self, forward: Callable[..., torch.Tensor], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.function = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def conv(kernel: int | tuple[int, int] = 3, stride: int | tuple[int, int] = 1, **settings: object) -> nn.Conv2d:
    return nn.Conv2d(C, C, kernel, stride, **settings)  # type: ignore[arg-type]
