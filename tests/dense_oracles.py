"""What a rarefied network is held against: the original at its own cells, and the original on shifted images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def naive_stitch(net: nn.Module, images: torch.Tensor, total: int, stride: int, beyond: float = 0.0) -> torch.Tensor:
    """Shift-and-stitch as the paper has it: images shifted right and down by every amount, outputs interlaced.

    `beyond` is what lies around the image. An image that lies `total − i` further down has its cell 1 where an image
    that lies i further up would have its cell 0.
    """
    rows = []
    for i in range(0, total, stride):
        cols = []
        for j in range(0, total, stride):
            shifted = F.pad(images, (total - j, j, total - i, i), value=beyond)
            cols.append(net(shifted)[..., 1:, 1:])
        rows.append(torch.stack(cols, dim=-1).flatten(-2))
    return torch.stack(rows, dim=-2).flatten(-3, -2)


def randomized(net: nn.Module, seed: int = 0) -> nn.Module:
    """Weights of a size that keeps the signal alive, and batch norms that do something."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / fan) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.1, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
    return net.eval()


def spread(maps: torch.Tensor) -> float:
    """By how much the values of a channel differ from place to place: the scale that differences are held against."""
    return float((maps - maps.mean(dim=(-2, -1), keepdim=True)).abs().max())
