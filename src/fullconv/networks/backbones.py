"""Classifiers as backbones: where in the torchvision graph each stride ends, and where its cells lie on the image."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import cast

import torch
import torchvision
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from fullconv.errors import NetworkError
from fullconv.networks.compact import CompactNet


@dataclass(frozen=True)
class Tap:
    """The deepest layer of a backbone at one stride.

    Args:
        node: its name in the traced graph.
        stride: pixels from one cell to the next.
        center: pixel coordinate of the centre of cell 0 (layer arithmetic: `i = s·o + (k − 1)/2 − p`, composed).
    """

    node: str
    stride: int
    center: Fraction


@dataclass(frozen=True)
class Backbone:
    """A classifier without its classifying end.

    Args:
        name: torchvision's name, or "compact".
        taps: deepest layer per stride, finest first.
        minimum_size: the smallest image side that leaves one cell at the coarsest tap.
    """

    name: str
    taps: tuple[Tap, ...]
    minimum_size: int

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple(tap.stride for tap in self.taps)

    def build(self, channels: int = 3) -> nn.Module:
        """The classifier with random weights (no download), reading `channels` bands.

        >>> BACKBONES["resnet18"].build(channels=4).conv1.weight.shape
        torch.Size([64, 4, 7, 7])
        """
        if self.name == "compact":
            return CompactNet(channels)
        classifier: nn.Module = torchvision.models.get_model(self.name, weights=None)
        if channels != 3:
            name, old = first_convolution(classifier)
            new = nn.Conv2d(
                channels,
                old.out_channels,
                kernel_size=cast(tuple[int, int], old.kernel_size),
                stride=cast(tuple[int, int], old.stride),
                padding=cast(tuple[int, int], old.padding),
                bias=old.bias is not None,
            )
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
            classifier.set_submodule(name, new)
        return classifier

    def features(self, classifier: nn.Module, taps: tuple[Tap, ...]) -> nn.Module:
        """The part of the classifier that computes these taps: image → {node: feature map}."""
        extractor: nn.Module = create_feature_extractor(classifier, return_nodes={tap.node: tap.node for tap in taps})
        return extractor


def first_convolution(classifier: nn.Module) -> tuple[str, nn.Conv2d]:
    """Name and module of the layer that reads the image."""
    return next((name, module) for name, module in classifier.named_modules() if isinstance(module, nn.Conv2d))


@lru_cache
def feature_widths(backbone: Backbone) -> dict[str, int]:
    """Channels of the feature map at each tap, from shapes alone (meta device: nothing is computed).

    >>> feature_widths(BACKBONES["vgg16"])["features.30"]
    512
    """
    with torch.device("meta"):
        maps = backbone.features(backbone.build().eval(), backbone.taps)(torch.empty(1, 3, 128, 128))
    return {node: int(value.shape[1]) for node, value in maps.items()}


def _taps(nodes: dict[int, str], center: dict[int, Fraction | int]) -> tuple[Tap, ...]:
    return tuple(Tap(node, stride, Fraction(center[stride])) for stride, node in nodes.items())


def _padded(nodes: dict[int, str]) -> tuple[Tap, ...]:
    """Odd kernels padded by half: cell 0 sits on pixel 0 at every stride."""
    return _taps(nodes, dict.fromkeys(nodes, 0))


def _resnet(name: str) -> Backbone:
    nodes = {2: "relu", 4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}
    return Backbone(name, _padded(nodes), minimum_size=1)


def _vgg(name: str, last: tuple[int, int, int, int, int]) -> Backbone:
    """Pools of 2/2 put cell 0 in the middle of its block: (stride − 1)/2."""
    nodes = {2**level: f"features.{index}" for level, index in enumerate(last, 1)}
    return Backbone(name, _taps(nodes, {s: Fraction(s - 1, 2) for s in nodes}), minimum_size=32)


BACKBONES: dict[str, Backbone] = {
    entry.name: entry
    for entry in (
        # conv 11/4 pad 2, then unpadded pools 3/2: centres 3, 7, 15, 31.
        Backbone(
            "alexnet",
            _taps(
                {4: "features.1", 8: "features.4", 16: "features.11", 32: "features.12"}, {4: 3, 8: 7, 16: 15, 32: 31}
            ),
            minimum_size=63,
        ),
        _vgg("vgg16", (8, 15, 22, 29, 30)),
        _vgg("vgg16_bn", (12, 22, 32, 42, 43)),
        # conv 7/2 without padding (centre 3), then pools 3/2 that round up: centres 5, 9, 17.
        Backbone(
            "squeezenet1_0",
            _taps({2: "features.1", 4: "features.5", 8: "features.10", 16: "features.12"}, {2: 3, 4: 5, 8: 9, 16: 17}),
            minimum_size=21,
        ),
        Backbone(
            "squeezenet1_1",
            _taps({2: "features.1", 4: "features.4", 8: "features.7", 16: "features.12"}, {2: 1, 4: 3, 8: 7, 16: 15}),
            minimum_size=17,
        ),
        Backbone(
            "mobilenet_v2",
            _padded({2: "features.1", 4: "features.3", 8: "features.6", 16: "features.13", 32: "features.18"}),
            minimum_size=1,
        ),
        Backbone(
            "compact",
            _padded({2: "features.0", 4: "features.1", 8: "features.2", 16: "features.3", 32: "features.5"}),
            minimum_size=1,
        ),
        _resnet("resnet18"),
        _resnet("resnet34"),
        _resnet("resnet50"),
    )
}


def find_backbone(name: str) -> Backbone:
    """The backbone of that name.

    Raises:
        NetworkError: there is none; the sentence lists those there are.
    """
    if name not in BACKBONES:
        raise NetworkError(f"no backbone is named {name!r}", remedy=f"choose one of {', '.join(sorted(BACKBONES))}")
    return BACKBONES[name]
