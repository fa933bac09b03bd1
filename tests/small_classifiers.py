"""Small classifiers whose heads are written in the ways people write them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS, SIDE = 6, 4
"""Of the map that the body leaves of an image of native size."""

NATIVE = 25
"""The smallest size that leaves such a map: a window in which no pixel is unread."""
STRIDE = 4


def unpadded_body() -> nn.Module:
    """(N, 3, 25, 25) → (N, 6, 4, 4) with stride 4, without a zero of padding."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(8, CHANNELS, 2),
        nn.SiLU(),
    )


class Classifier(nn.Module):
    """A body, and a head that is one function of its map and some layers."""

    def __init__(self, body: nn.Module, head: Callable[..., torch.Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.layers = nn.ModuleDict(layers)
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images), **self.layers)


def _linear(count: int = CHANNELS, classes: int = 5) -> nn.Linear:
    return nn.Linear(count, classes)


HEADS: dict[str, Callable[[], tuple[Callable[..., torch.Tensor], dict[str, nn.Module]]]] = {
    "flatten": lambda: (lambda x, fc: fc(x.flatten(1)), {"fc": _linear(CHANNELS * SIDE**2)}),
    "view with two layers": lambda: (
        lambda x, fc, last: last(F.dropout(F.relu(fc(x.view(x.size(0), -1))), training=False)),
        {"fc": _linear(CHANNELS * SIDE**2, 7), "last": _linear(7)},
    ),
    "rows before channels": lambda: (
        lambda x, fc: fc(x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)),
        {"fc": _linear(CHANNELS * SIDE**2)},
    ),
    "columns before rows": lambda: (
        lambda x, fc: fc(torch.flatten(x.transpose(2, 3), 1)),
        {"fc": _linear(CHANNELS * SIDE**2)},
    ),
    "adaptive pooling": lambda: (
        lambda x, pool, flat, norm, fc: fc(norm(flat(pool(x)))),
        {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "norm": nn.BatchNorm1d(CHANNELS), "fc": _linear()},
    ),
    "adaptive pooling to the size that is there": lambda: (
        lambda x, pool, fc: fc(torch.flatten(pool(x), 1)),
        {"pool": nn.AdaptiveAvgPool2d(SIDE), "fc": _linear(CHANNELS * SIDE**2)},
    ),
    "mean": lambda: (lambda x, fc: fc(x.mean((2, 3))), {"fc": _linear()}),
    "mean, one axis after the other": lambda: (lambda x, fc: fc(x.mean(3).mean(2)), {"fc": _linear()}),
    "mean of flattened cells": lambda: (lambda x, fc: fc(x.flatten(2).mean(-1)), {"fc": _linear()}),
    "mean with channels last": lambda: (lambda x, fc: fc(x.permute(0, 2, 3, 1).mean((1, 2))), {"fc": _linear()}),
    "maximum": lambda: (lambda x, fc: fc(x.amax((2, 3))), {"fc": _linear()}),
    "sum": lambda: (lambda x, fc: fc(x.sum(dim=(-2, -1)) / 16), {"fc": _linear()}),
    "pooling of the size of the map": lambda: (lambda x, fc: fc(F.avg_pool2d(x, SIDE)[:, :, 0, 0]), {"fc": _linear()}),
    "pooling of whatever size": lambda: (lambda x, fc: fc(F.max_pool2d(x, x.shape[2:]).flatten(1)), {"fc": _linear()}),
    "mean and maximum joined": lambda: (
        lambda x, fc: fc(torch.cat([F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)], 1).flatten(1)),
        {"fc": _linear(2 * CHANNELS)},
    ),
    "mean and maximum added": lambda: (
        lambda x, fc: fc(0.5 * (x.mean((2, 3)) + x.amax((2, 3)))),
        {"fc": _linear()},
    ),
    "generalized mean": lambda: (
        lambda x, fc: fc(F.adaptive_avg_pool2d(x.clamp(min=1e-4).pow(3), 1).pow(1 / 3).flatten(1)),
        {"fc": _linear()},
    ),
    "convolution after pooling": lambda: (
        lambda x, conv, fc: fc(F.hardswish(conv(F.adaptive_avg_pool2d(x, 1))).flatten(1)),
        {"conv": nn.Conv2d(CHANNELS, 9, 1), "fc": _linear(9)},
    ),
    "convolution before pooling": lambda: (
        lambda x, conv: F.adaptive_avg_pool2d(conv(x).relu(), 1).flatten(1),
        {"conv": nn.Conv2d(CHANNELS, 5, 1)},
    ),
    "layer norm": lambda: (
        lambda x, norm, fc: fc(norm(x.mean((2, 3)))),
        {"norm": nn.LayerNorm(CHANNELS), "fc": _linear()},
    ),
    "root mean square norm": lambda: (
        lambda x, fc: fc((x := x.mean((2, 3), keepdim=True)).mul(x.pow(2).mean(1, keepdim=True).rsqrt()).flatten(1)),
        {"fc": _linear()},
    ),
    "cosine": lambda: (lambda x, fc: F.linear(F.normalize(x.mean((2, 3))), fc.weight), {"fc": _linear()}),
    "softmax": lambda: (lambda x, fc: fc(x.mean((2, 3))).softmax(-1), {"fc": _linear()}),
    "squeezed": lambda: (lambda x, fc: fc(F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)), {"fc": _linear()}),
    "halves exchanged": lambda: (
        lambda x, fc: fc(torch.cat(x.mean((2, 3)).chunk(2, dim=1)[::-1], dim=1)),
        {"fc": _linear()},
    ),
    "two windows of adaptive pooling": lambda: (
        lambda x, fc: fc(F.adaptive_avg_pool2d(x, 2).flatten(1)),
        {"fc": _linear(CHANNELS * 4)},
    ),
    "channels last, viewed": lambda: (
        lambda x, fc: fc(x.permute(0, 2, 3, 1).contiguous().view(x.size(0), -1)),
        {"fc": _linear(CHANNELS * SIDE**2)},
    ),
    "one layer twice": lambda: (
        lambda x, fc, mid, last: last(mid(mid(fc(x.flatten(1))).relu())),
        {"fc": _linear(CHANNELS * SIDE**2, 7), "mid": _linear(7, 7), "last": _linear(7)},
    ),
    "one layer on two orders": lambda: (
        lambda x, fc: fc(x.flatten(1)) + fc(x.permute(0, 3, 1, 2).flatten(1)),
        {"fc": _linear(CHANNELS * SIDE**2)},
    ),
    "one layer on a window and on its scores": lambda: (
        lambda x, fc: fc(fc(x.flatten(1)).relu()),
        {"fc": _linear(CHANNELS * SIDE**2, CHANNELS * SIDE**2)},
    ),
    "part of a layer's weights": lambda: (
        lambda x, fc: F.linear(fc(x.flatten(1)), fc.weight[:5, 3:10]),
        {"fc": _linear(CHANNELS * SIDE**2, 7)},
    ),
    "convolution of the size of the map, a layer behind it": lambda: (
        lambda x, conv, fc: fc(conv(x).relu().flatten(1)),
        {"conv": nn.Conv2d(CHANNELS, 9, SIDE), "fc": _linear(9)},
    ),
    "pooling beyond the edges of the map": lambda: (
        lambda x, fc: fc(
            torch.cat([F.max_pool2d(x, 5, ceil_mode=True), F.avg_pool2d(x, 6, 6, 1, False, False)], 1).flatten(1)
        ),
        {"fc": _linear(2 * CHANNELS)},
    ),
    "pooling of flattened cells": lambda: (
        lambda x, pool, fc: fc(pool(x.flatten(2)).flatten(1)),
        {"pool": nn.AdaptiveMaxPool1d(1), "fc": _linear()},
    ),
    "enlarged map": lambda: (
        lambda x, conv, fc: fc(F.pixel_shuffle(conv(x), 2).flatten(1)),
        {"conv": nn.Conv2d(CHANNELS, 8, 1), "fc": _linear(2 * 4 * SIDE**2)},
    ),
    "coarse branch beside a fine one": lambda: (
        lambda x, fc: fc((F.interpolate(F.max_pool2d(x, 2), scale_factor=2) + x).flatten(1)),
        {"fc": _linear(CHANNELS * SIDE**2)},
    ),
    "one slope": lambda: (
        lambda x, slope, fc: fc(slope(x.flatten(1))),
        {"slope": nn.PReLU(), "fc": _linear(CHANNELS * SIDE**2)},
    ),
    "scaled by a parameter": lambda: (
        lambda x, scale, fc: fc(x.mean((2, 3)) * scale.weight[0]),
        {"scale": nn.Linear(CHANNELS, 1), "fc": _linear()},
    ),
}


def classifier(head: str, body: nn.Module | None = None, *, seed: int = 0) -> nn.Module:
    """A classifier with random weights and statistics, in evaluation."""
    torch.manual_seed(seed)
    function, layers = HEADS[head]()
    net = Classifier(unpadded_body() if body is None else body, function, **layers).eval()
    randomize(net)
    return net


def randomize(net: nn.Module) -> None:
    """Statistics of batch norm, and parameters that initialization left constant, get values."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
                parameter += 0.1 * torch.randn(parameter.shape)
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.8, 1.2)
