"""From a classifier to a fully convolutional network: taps, head, fusion, upsampling, dilation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Literal, cast, get_args

from torch import fx, nn

from fullconv.errors import NetworkError
from fullconv.networks.backbones import build_classifier, without_weights
from fullconv.networks.fcn import FCN, PIXELS, FeatureFusion, ScoreFusion, upsampling_of
from fullconv.networks.reference import ReferenceFCN, reference_fcn
from fullconv.networks.several_heads import SeveralHeads
from fullconv.networks.taps import Tap, features_of, find_taps, side_step, smallest_side
from fullconv.networks.upsampling import PadToFit, Upsampling
from fullconv.networks.weights import load_weights
from fullconv.surgery.convolutionalize import convolutionalize
from fullconv.surgery.rarefy import rarefy
from fullconv.surgery.window_product import WindowProduct

Fusion = Literal["scores", "features"]
Head = Literal["score", "fc"]
Padding = Literal["same", "reference"]


def fcn(
    backbone: str | nn.Module,
    *,
    classes: int | Sequence[int],
    stride: int = 8,
    channels: int = 3,
    padding: Padding = "same",
    fusion: Fusion = "scores",
    width: int = 64,
    upsampling: Upsampling | None = None,
    head: Head | None = None,
    at_once: bool = False,
    dilated: int | None = None,
    weights: str = "random",
) -> FCN | ReferenceFCN | SeveralHeads:
    """A fully convolutional network on a classifier.

    Args:
        backbone: torchvision's or timm's name, such as "vgg16" or "mobilenet_v2", "compact", or a classifier of one's
            own, whose weights are kept; by name they are random.
        classes: how many scores each pixel gets; several numbers make a network with a head for each, such as (33, 3)
            for semantic and geometric classes.
        stride: of the finest skip: 32 (none), 16, 8, 4 or 2, where the backbone has it.
        channels: bands of the images; a classifier of one's own must read as many.
        padding: "same" keeps the classifier's own padding; "reference" is the authors' construction, with pad 100 at
            the first layer, pools that round up, fully connected layers as convolutions, frozen deconvolutions and
            crops derived from all these. It is defined for VGG (stride 32, 16 or 8) and AlexNet (stride 32, on the
            two-tower form) by name, with one head of scores and without dilation.
        fusion: what the skips carry: class scores, as in the paper, or features.
        width: channels of fused features.
        upsampling: "bilinear" interpolates by a fixed factor; transposed convolutions are "frozen" or "learned", the
            latter with "-dense" for all pairs of classes and "-random" for a random start, as in
            "learned-dense-random". If not given it is "bilinear", and "frozen" with reference padding.
        head: "score" reads the last feature map; "fc" keeps the fully connected layers, as convolutions. If not given
            it is "score", and "fc" with reference padding.
        at_once: with scores, scale finer skips by 0.01, 0.0001 …, so that all strides can be trained together.
        dilated: strides beyond this become dilation (à trous), so that no map is coarser.
        weights: "random", or for a backbone by name "imagenet", "auto" or the path of a weight file, as in
            `networks.weights.load_weights`.

    Returns:
        A network for (N, channels, H, W) images; with several numbers of classes, `SeveralHeads`, it returns a tuple
        of scores.

    Raises:
        NetworkError: the backbone is unknown, not convolutional, or lacks that stride; a head has no classes; an option
            is unknown or contradicts reference padding; the weights cannot be had or do not fit.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 4; PAMI 2016 for at_once.

    >>> import torch
    >>> net = fcn("mobilenet_v2", classes=11, stride=4).eval()
    >>> net(torch.zeros(1, 3, 97, 61)).shape
    torch.Size([1, 11, 97, 61])
    """
    several = isinstance(classes, Sequence)
    counts = tuple(classes) if isinstance(classes, Sequence) else (classes,)
    if not counts or min(counts) < 1:
        remedy = "give every head at least one, as (33, 3)" if several else "give at least one"
        raise NetworkError(f"{classes!r} leaves a head without classes", remedy=remedy)
    _refuse_unknown(padding=padding, fusion=fusion, upsampling=upsampling, head=head)
    if at_once and fusion == "features":
        raise NetworkError("at_once scales scores, and these skips carry features", remedy="leave one of the two out")
    net: FCN | ReferenceFCN | SeveralHeads
    if padding == "reference":
        _refuse_beside_reference(backbone, classes, fusion=fusion, upsampling=upsampling, head=head, dilated=dilated)
        net = reference_fcn(
            cast(str, backbone),
            classes=counts[0],
            stride=stride,
            channels=channels,
            at_once=at_once,
            upsampling=upsampling or "frozen",
        )
    else:
        kind = upsampling or "bilinear"
        features, taps, fitting = _extractor(backbone, stride, channels, head or "score", dilated)
        tops = [
            ScoreFusion(taps, count, kind, at_once=at_once)
            if fusion == "scores"
            else FeatureFusion(taps, count, width, kind)
            for count in counts
        ]
        finest = (taps[0].stride, taps[0].center)
        ups = [upsampling_of(kind, finest, PIXELS, count) for count in counts]
        if several:
            net = SeveralHeads(features, tops, taps[0], fitting, ups, channels=channels)
        else:
            net = FCN(features, tops[0], taps[0], fitting, ups[0], channels=channels)
    if weights != "random":
        _load(net, backbone, weights)
    return net


def _extractor(
    backbone: str | nn.Module, stride: int, channels: int, head: Head, dilated: int | None
) -> tuple[fx.GraphModule, tuple[Tap, ...], PadToFit]:
    """The part of a classifier that the scores are read from, where they are, and what makes images fit it."""
    name = backbone if isinstance(backbone, str) else type(backbone).__name__
    classifier = build_classifier(backbone, channels) if isinstance(backbone, str) else backbone
    training = classifier.training
    body = with_head(classifier, head)
    every = found_taps(backbone, head) if isinstance(backbone, str) else find_taps(body, channels)
    taps = chosen_taps(every, stride, dilated, name)
    extractor = features_of(body, taps)
    if isinstance(backbone, str):
        minimum, multiple = sides(backbone, head, taps[-1].node)
    else:
        minimum = smallest_side(extractor, channels)
        multiple = side_step(extractor, channels, minimum, taps[-1].stride)
    features = extractor
    if dilated is not None and taps[-1].stride > dilated:
        features = cast(fx.GraphModule, rarefy(features.eval(), stride=dilated, channels=channels))
        taps = (*taps[:-1], replace(taps[-1], stride=dilated))
    return features.train(training), taps, PadToFit(minimum, multiple)


def _load(net: FCN | ReferenceFCN | SeveralHeads, backbone: str | nn.Module, weights: str) -> None:
    if not isinstance(backbone, str):
        raise NetworkError("a classifier of one's own has its weights", remedy="load them into it, and name none here")
    report = load_weights(net, backbone, weights)
    if report.warning:
        warnings.warn(report.warning, stacklevel=3)


_CHOICES = {
    "padding": get_args(Padding),
    "fusion": get_args(Fusion),
    "upsampling": get_args(Upsampling),
    "head": get_args(Head),
}
_WITH_REFERENCE: dict[str, tuple[object, ...]] = {
    "fusion": ("scores",),
    "upsampling": (None, *(kind for kind in get_args(Upsampling) if kind != "bilinear")),
    "head": (None, "fc"),
    "dilated": (None,),
}


def _refuse_unknown(**options: str | None) -> None:
    for option, value in options.items():
        if value is not None and value not in _CHOICES[option]:
            raise NetworkError(f"{option} cannot be {value!r}", remedy=f"say {', '.join(_CHOICES[option])}")


def _refuse_beside_reference(
    backbone: str | nn.Module, classes: int | Sequence[int], **options: str | int | None
) -> None:
    """Say which option contradicts the authors' construction, if one does."""
    wrong = [f"{option}={value!r}" for option, value in options.items() if value not in _WITH_REFERENCE[option]]
    if not isinstance(backbone, str):
        wrong.append("a classifier of one's own")
    if isinstance(classes, Sequence):
        wrong.append("several heads")
    if wrong:
        raise NetworkError(f"reference padding is not defined with {wrong[0]}", remedy="leave one of the two out")


def chosen_taps(every: tuple[Tap, ...], stride: int, dilated: int | None, name: str) -> tuple[Tap, ...]:
    """The taps from a stride on; with dilation, those finer than it and the deepest.

    Raises:
        NetworkError: there is none of that stride.
    """
    offered = [tap.stride for tap in every]
    if stride not in offered:
        strides = ", ".join(map(str, offered))
        raise NetworkError(f"{name} has no layer of stride {stride}", remedy=f"choose one of {strides}")
    if dilated is None:
        return tuple(tap for tap in every if tap.stride >= stride)
    if dilated not in offered or dilated < stride:
        raise NetworkError(f"the deepest layers of {name} cannot have stride {dilated} beside a skip of {stride}")
    return (*(tap for tap in every[:-1] if stride <= tap.stride < dilated), every[-1])


def with_head(classifier: nn.Module, head: Head) -> nn.Module:
    """The classifier, or with "fc" one whose fully connected layers are convolutions that keep the map's size."""
    if head == "score":
        return classifier
    dense = convolutionalize(classifier)
    for module in dense.modules():
        if isinstance(module, WindowProduct) and module.kernel_size != (1, 1):
            module.padding = "same"
    return dense


@lru_cache
def found_taps(name: str, head: Head = "score") -> tuple[Tap, ...]:
    """The taps of a classifier by name.

    >>> [(tap.stride, tap.node) for tap in found_taps("vgg16")]
    [(2, 'features.8'), (4, 'features.15'), (8, 'features.22'), (16, 'features.29'), (32, 'features')]
    """
    return find_taps(_probe(name, head))


@lru_cache
def sides(name: str, head: Head, coarsest: str) -> tuple[int, int]:
    """The side of the smallest image that leaves a cell at the tap of that node, and what sides are multiples of."""
    (tap,) = (tap for tap in found_taps(name, head) if tap.node == coarsest)
    features = features_of(_probe(name, head), (tap,))
    minimum = smallest_side(features, 3)
    return minimum, side_step(features, 3, minimum, tap.stride)


def _probe(name: str, head: Head) -> nn.Module:
    return with_head(without_weights(partial(build_classifier, name)).eval(), head)
