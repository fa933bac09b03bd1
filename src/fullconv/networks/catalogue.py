"""Network names, from the shell to the package: `fcn8s-vgg16` is an FCN with stride 8 on a VGG16."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

from torch import nn

from fullconv.errors import NetworkError
from fullconv.networks.backbones import LISTED, build_classifier, check_classifier, without_weights
from fullconv.networks.building import Fusion, Head, Padding, fcn, found_taps
from fullconv.networks.late_fusion import late_fusion
from fullconv.networks.own_file import is_own_file, own_network
from fullconv.networks.reference import AnyFCN
from fullconv.networks.upsampling import Upsampling

_NAME = re.compile(
    r"fcn(?P<stride>\d+)s-(?P<backbone>[\w.]+)"
    r"(?P<fc>-fc)?(?P<dilated>-d\d+)?(?P<once>-at-once)?(?P<features>-features)?"
    r"(?P<upsampling>-frozen|-learned(-dense)?(-random)?)?(?P<reference>-reference)?"
)

_LATE = re.compile(r"(?P<tower>fcn((?!-late).)+)-late(?P<bands>\d+)")


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
        padding: the classifier's own, or that of the authors' nets.
    """

    backbone: str
    stride: int
    fusion: Fusion = "scores"
    head: Head = "score"
    dilated: int | None = None
    at_once: bool = False
    upsampling: Upsampling = "bilinear"
    padding: Padding = "same"


REFERENCE = {
    "fcn-alexnet-reference": NetworkName("alexnet", 32, head="fc", upsampling="frozen", padding="reference"),
    **{
        f"fcn{stride}s-{once}vgg16-reference": NetworkName(
            "vgg16", stride, head="fc", at_once=bool(once), upsampling="frozen", padding="reference"
        )
        for stride, once in ((32, ""), (16, ""), (8, ""), (8, "at-once-"))
    },
}
"""The authors' own nets, by the names that they are known by."""


def parse_name(name: str) -> NetworkName:
    """The parts of `fcn<stride>s-<backbone>`, with any of these behind it, in this order:

    `-fc` keeps the fully connected layers, `-d8` turns strides beyond 8 into dilation, `-at-once` scales finer skips
    down, `-features` lets skips carry features, `-frozen` or `-learned` upsamples by transposed convolutions (of those
    that learn, `-learned-dense` has a kernel for each pair of classes, and `-learned-random` or `-learned-dense-random`
    does not start bilinear), `-reference` builds as the authors did, with pad 100, pools that round up and derived
    crops (VGG at stride 32, 16 or 8, AlexNet at 32), `-late3` takes two such networks, one for the first 3 bands and
    one for the rest, and sums their scores; the parts are those of each.

    Raises:
        NetworkError: the name is not of that form.

    >>> parse_name("fcn4s-mobilenet_v2")[:3]
    ('mobilenet_v2', 4, 'scores')
    >>> parse_name("fcn8s-vgg16-fc-learned")[3:]
    ('fc', None, False, 'learned', 'same')
    >>> parse_name("fcn8s-vgg16-at-once-reference") == parse_name("fcn8s-at-once-vgg16-reference")
    True
    >>> parse_name("fcn8s-vgg16-late3") == parse_name("fcn8s-vgg16")
    True
    """
    name, _ = split_late(name)
    if name in REFERENCE:
        return REFERENCE[name]
    match = _NAME.fullmatch(name)
    if match is None:
        raise NetworkError(f"no network is named {name!r}", remedy="see `fullconv net list`; one is fcn4s-mobilenet_v2")
    usual = "frozen" if match["reference"] else "bilinear"
    return NetworkName(
        backbone=match["backbone"],
        stride=int(match["stride"]),
        fusion="features" if match["features"] else "scores",
        head="fc" if match["fc"] or match["reference"] else "score",
        dilated=int(match["dilated"].removeprefix("-d")) if match["dilated"] else None,
        at_once=bool(match["once"]),
        upsampling=cast("Upsampling", (match["upsampling"] or usual).removeprefix("-")),
        padding="reference" if match["reference"] else "same",
    )


def split_late(name: str) -> tuple[str, int | None]:
    """A network name without `-late`, and how many bands the first of two networks reads; None for one network.

    >>> split_late("fcn32s-vgg16-reference-late3")
    ('fcn32s-vgg16-reference', 3)
    """
    match = _LATE.fullmatch(name)
    return (name, None) if match is None else (match["tower"], int(match["bands"]))


def check_name(name: str) -> None:
    """Refuse a name that no network has, without building one.

    Raises:
        NetworkError: the name is not of the form of `parse_name`, or there is no such backbone.

    >>> check_name("fcn8s-vgg61")
    Traceback (most recent call last):
    fullconv.errors.NetworkError: no backbone is named 'vgg61'; choose one of ...
    """
    check_classifier(parse_name(name).backbone)


def build_network(name: str, *, classes: int | Sequence[int], channels: int = 3) -> AnyFCN:
    """The network of that name with random weights.

    Args:
        name: see `parse_name`.
        classes: how many scores each pixel gets; several numbers make a network with a head for each.
        channels: bands of the images.

    Raises:
        NetworkError: there is none of that name, it has no several heads, or the image has no bands for the second of
            two networks.

    >>> build_network("fcn8s-squeezenet1_1", classes=2).stride
    8
    """
    tower, bands = split_late(name)
    if bands is not None:
        if isinstance(classes, Sequence):
            raise NetworkError(f"{name} sums scores of one head", remedy="take a network without -late in its name")
        return late_fusion(lambda count: build_network(tower, classes=classes, channels=count), channels, first=bands)
    return fcn(**parse_name(name)._asdict(), classes=classes, channels=channels)


def any_network(name: str, *, classes: int = 21, channels: int | None = None) -> nn.Module:
    """A network of the catalogue, or a classifier of torchvision or timm, in evaluation and without weights to look at.

    Args:
        name: of the network; that of a Python file runs it, see `own_file`.
        classes: how many scores each pixel gets.
        channels: bands of the images; if not given 3, or as many for each of two networks.

    >>> next(any_network("resnet18").parameters()).is_meta
    True
    """
    if is_own_file(name):
        return own_network(name, classes=classes, channels=channels or 3).alone().eval()
    tower, late = split_late(name)
    bands = channels or (3 if late is None else 2 * late)

    def build() -> nn.Module:
        if tower in REFERENCE or _NAME.fullmatch(tower):
            return build_network(name, classes=classes, channels=bands)
        return build_classifier(name, bands)

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
