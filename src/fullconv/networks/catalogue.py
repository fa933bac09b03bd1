"""Network names, from the shell to the package: `fcn8s-vgg16` is an FCN with stride 8 on a VGG16."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import torch

from fullconv.errors import NetworkError
from fullconv.networks.backbones import BACKBONES, find_backbone
from fullconv.networks.fcn import FCN, fcn

_NAME = re.compile(r"fcn(?P<stride>\d+)s-(?P<backbone>\w+?)(?P<features>-features)?")
STRIDES = (32, 16, 8, 4, 2)


@dataclass(frozen=True)
class NetworkEntry:
    """One line of the catalogue."""

    name: str
    backbone: str
    stride: int
    parameters: int


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
    match = _NAME.fullmatch(name)
    if match is None:
        raise NetworkError(f"no network is named {name!r}", remedy="see `fullconv net list`; one is fcn4s-mobilenet_v2")
    find_backbone(match["backbone"])
    return NetworkName(match["backbone"], int(match["stride"]), "features" if match["features"] else "scores")


def build_network(name: str, *, classes: int, channels: int = 3) -> FCN:
    """The network of that name with random weights.

    >>> build_network("fcn8s-squeezenet1_1", classes=2).stride
    8
    """
    parts = parse_name(name)
    return fcn(parts.backbone, classes=classes, stride=parts.stride, channels=channels, fusion=parts.fusion)


def list_networks(classes: int = 21) -> list[NetworkEntry]:
    """Every network that can be built by name, with its parameter count for `classes` classes.

    >>> [entry.name for entry in list_networks() if entry.backbone == "squeezenet1_1" and entry.stride > 4]
    ['fcn16s-squeezenet1_1', 'fcn16s-squeezenet1_1-features', 'fcn8s-squeezenet1_1', 'fcn8s-squeezenet1_1-features']
    """
    entries = []
    for backbone in BACKBONES.values():
        for stride, suffix in product(STRIDES, ("", "-features")):
            if stride in backbone.strides:
                name = f"fcn{stride}s-{backbone.name}{suffix}"
                with torch.device("meta"):
                    net = build_network(name, classes=classes)
                count = sum(parameter.numel() for parameter in net.parameters())
                entries.append(NetworkEntry(name, backbone.name, stride, count))
    return entries
