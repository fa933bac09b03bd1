"""Network names, from the shell to the package: `fcn8s-vgg16` is an FCN with stride 8 on a VGG16."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, NamedTuple, cast

from torch import nn

from fullconv.errors import NetworkError
from fullconv.networks.backbones import LISTED, build_classifier, without_weights
from fullconv.networks.building import Head, fcn, found_taps
from fullconv.networks.fcn import Upsampling
from fullconv.networks.reference import AnyFCN, ReferenceFCN, fcn_alexnet, fcn_vgg16

_NAME = re.compile(
    r"fcn(?P<stride>\d+)s-(?P<backbone>[\w.]+)"
    r"(?P<fc>-fc)?(?P<dilated>-d\d+)?(?P<once>-at-once)?(?P<features>-features)?(?P<upsampling>-frozen|-learned)?"
)

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
        head: whether fully connected layers are kept, as convolutions.
        dilated: the coarsest stride left, coarser ones being dilation.
        at_once: whether finer skips are scaled down.
        upsampling: how scores reach the pixels.
    """

    backbone: str
    stride: int
    fusion: Literal["scores", "features"] = "scores"
    head: Head = "score"
    dilated: int | None = None
    at_once: bool = False
    upsampling: Upsampling = "bilinear"


def parse_name(name: str) -> NetworkName:
    """The parts of `fcn<stride>s-<backbone>`, with any of these behind it, in this order:

    `-fc` keeps the fully connected layers, `-d8` turns strides beyond 8 into dilation, `-at-once` scales finer skips
    down, `-features` lets skips carry features, `-frozen` or `-learned` upsamples by transposed convolutions.

    Raises:
        NetworkError: the name is not of that form.

    >>> parse_name("fcn4s-mobilenet_v2")[:3]
    ('mobilenet_v2', 4, 'scores')
    >>> parse_name("fcn8s-vgg16-fc-learned")[3:]
    ('fc', None, False, 'learned')
    """
    if name in REFERENCE:
        stride = 32 if name == "fcn-alexnet-reference" else int(name.partition("s-")[0].removeprefix("fcn"))
        return NetworkName("alexnet" if "alexnet" in name else "vgg16", stride, "scores", "fc")
    match = _NAME.fullmatch(name)
    if match is None:
        raise NetworkError(f"no network is named {name!r}", remedy="see `fullconv net list`; one is fcn4s-mobilenet_v2")
    return NetworkName(
        backbone=match["backbone"],
        stride=int(match["stride"]),
        fusion="features" if match["features"] else "scores",
        head="fc" if match["fc"] else "score",
        dilated=int(match["dilated"].removeprefix("-d")) if match["dilated"] else None,
        at_once=bool(match["once"]),
        upsampling=cast("Upsampling", (match["upsampling"] or "-bilinear").removeprefix("-")),
    )


def build_network(name: str, *, classes: int, channels: int = 3) -> AnyFCN:
    """The network of that name with random weights.

    >>> build_network("fcn8s-squeezenet1_1", classes=2).stride
    8
    """
    if name in REFERENCE:
        return REFERENCE[name](classes, channels)
    return fcn(**parse_name(name)._asdict(), classes=classes, channels=channels)


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
        for stride in sorted((tap.stride for tap in found_taps(backbone)), reverse=True)
        for suffix in ("", "-features")
    ]
