"""Network names, from the shell to the package: `fcn8s-vgg16` is an FCN with stride 8 on a VGG16."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from fullconv.errors import NetworkError
from fullconv.networks.backbones import LISTED, build_classifier, find_backbone, without_weights
from fullconv.networks.fcn import fcn
from fullconv.networks.reference import AnyFCN, ReferenceFCN, fcn_alexnet, fcn_vgg16

_NAME = re.compile(r"fcn(?P<stride>\d+)s-(?P<backbone>[\w.]+?)(?P<features>-features)?")

REFERENCE: dict[str, Callable[..., ReferenceFCN]] = {
    "fcn-alexnet-reference": fcn_alexnet,
    "fcn32s-vgg16-reference": partial(fcn_vgg16, stride=32),
    "fcn16s-vgg16-reference": partial(fcn_vgg16, stride=16),
    "fcn8s-vgg16-reference": partial(fcn_vgg16, stride=8),
    "fcn8s-at-once-vgg16-reference": partial(fcn_vgg16, stride=8, at_once=True),
}
"""The authors' own nets."""


class NetworkName(NamedTuple):
    """The parts of a network name.

    Args:
        backbone: the classifier.
        stride: of the finest skip.
        fusion: what the skips carry.
    """

    backbone: str
    stride: int
    fusion: Literal["scores", "features"]


def parse_name(name: str) -> NetworkName:
    """The parts of `fcn<stride>s-<backbone>`, or of `fcn<stride>s-<backbone>-features`, whose skips carry features.

    Raises:
        NetworkError: the name is not of that form or names no backbone.

    >>> parse_name("fcn4s-mobilenet_v2")
    NetworkName(backbone='mobilenet_v2', stride=4, fusion='scores')
    """
    if name in REFERENCE:
        stride = 32 if name == "fcn-alexnet-reference" else int(name.partition("s-")[0].removeprefix("fcn"))
        return NetworkName("alexnet" if "alexnet" in name else "vgg16", stride, "scores")
    match = _NAME.fullmatch(name)
    if match is None:
        raise NetworkError(f"no network is named {name!r}", remedy="see `fullconv net list`; one is fcn4s-mobilenet_v2")
    find_backbone(match["backbone"])
    return NetworkName(match["backbone"], int(match["stride"]), "features" if match["features"] else "scores")


def build_network(name: str, *, classes: int, channels: int = 3) -> AnyFCN:
    """The network of that name with random weights.

    >>> build_network("fcn8s-squeezenet1_1", classes=2).stride
    8
    """
    if name in REFERENCE:
        return REFERENCE[name](classes, channels)
    parts = parse_name(name)
    return fcn(parts.backbone, classes=classes, stride=parts.stride, channels=channels, fusion=parts.fusion)


def any_network(name: str, *, classes: int = 21, channels: int = 3) -> nn.Module:
    """A network of the catalogue, or a classifier of torchvision or timm, in evaluation and without weights to look at.

    >>> next(any_network("resnet18").parameters()).is_meta
    True
    """

    def build() -> nn.Module:
        if name in REFERENCE or _NAME.fullmatch(name):
            return build_network(name, classes=classes, channels=channels)
        return build_classifier(name, channels)

    return without_weights(build).eval()


def network_names() -> list[str]:
    """Every network of the catalogue; other classifiers of torchvision and timm can be named too."""
    return [*REFERENCE, *names_on(LISTED)]


def names_on(backbones: Iterable[str]) -> list[str]:
    """Every network on these backbones, at all strides that they have.

    >>> names_on(["alexnet"])[-2:]
    ['fcn4s-alexnet', 'fcn4s-alexnet-features']
    """
    return [
        f"fcn{stride}s-{backbone}{suffix}"
        for backbone in backbones
        for stride in sorted(find_backbone(backbone).strides, reverse=True)
        for suffix in ("", "-features")
    ]
