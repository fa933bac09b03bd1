"""Network names, from the shell to the package: `fcn8s-vgg16` is an FCN with stride 8 on a VGG16."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from fullconv.errors import NetworkError
from fullconv.networks.backbones import BACKBONES, find_backbone
from fullconv.networks.fcn import FCN, fcn

_NAME = re.compile(r"fcn(?P<stride>\d+)s-(?P<backbone>\w+)")
STRIDES = (32, 16, 8, 4, 2)


@dataclass(frozen=True)
class NetworkEntry:
    """One line of the catalogue."""

    name: str
    backbone: str
    stride: int
    parameters: int


def parse_name(name: str) -> tuple[str, int]:
    """Backbone and stride of a network name.

    Raises:
        NetworkError: the name is not of the form `fcn<stride>s-<backbone>` or names no backbone.

    >>> parse_name("fcn4s-mobilenet_v2")
    ('mobilenet_v2', 4)
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise NetworkError(f"no network is named {name!r}", remedy="see `fullconv net list`; one is fcn4s-mobilenet_v2")
    find_backbone(match["backbone"])
    return match["backbone"], int(match["stride"])


def build_network(name: str, *, classes: int, channels: int = 3) -> FCN:
    """The network of that name with random weights.

    >>> build_network("fcn8s-squeezenet1_1", classes=2).stride
    8
    """
    backbone, stride = parse_name(name)
    return fcn(backbone, classes=classes, stride=stride, channels=channels)


def list_networks(classes: int = 21) -> list[NetworkEntry]:
    """Every network that can be built by name, with its parameter count for `classes` classes.

    >>> [entry.name for entry in list_networks() if entry.backbone == "squeezenet1_1"]
    ['fcn16s-squeezenet1_1', 'fcn8s-squeezenet1_1', 'fcn4s-squeezenet1_1', 'fcn2s-squeezenet1_1']
    """
    entries = []
    for backbone in BACKBONES.values():
        for stride in STRIDES:
            if stride in backbone.strides:
                with torch.device("meta"):
                    net = fcn(backbone.name, classes=classes, stride=stride)
                count = sum(parameter.numel() for parameter in net.parameters())
                entries.append(NetworkEntry(f"fcn{stride}s-{backbone.name}", backbone.name, stride, count))
    return entries
