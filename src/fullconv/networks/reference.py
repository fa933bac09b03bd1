"""The authors' own nets, layer by layer: padding 100, pools that round up, frozen deconvolutions, derived crops."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property

import torch
from torch import fx, nn

from fullconv.errors import NetworkError
from fullconv.geometry.crops import crop_offset
from fullconv.geometry.geometry import geometry_of
from fullconv.networks.checkpointing import Checkpointable, stages_of
from fullconv.networks.ensemble import Ensemble
from fullconv.networks.fcn import FCN
from fullconv.networks.late_fusion import LateFusion
from fullconv.networks.own_file import OwnNetwork
from fullconv.networks.several_heads import SeveralHeads
from fullconv.networks.upsampling import Upsampling, transposed_convolution

PADDING = 100
"""Of the first convolution, so that even a small image leaves cells after the convolutions without padding."""


class Crop(nn.Module):
    """A window of the size of another map, `offset` cells from the top and from the left."""

    def __init__(self, offset: int = 0) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        height, width = like.shape[-2:]
        return maps[..., self.offset : self.offset + height, self.offset : self.offset + width]

    def extra_repr(self) -> str:
        return f"offset={self.offset}"


class ReferenceFCN(Checkpointable):
    """FCN-AlexNet or FCN-VGG with pad 100, as published.

    Takes (N, channels, H, W) images of any size; returns (N, classes, H, W) scores. The score layers start at zero.

    Args:
        encoder: layers up to the last pool, by the names of the reference nets.
        head: fc6 and fc7 as convolutions.
        width: channels that the head yields.
        classes: how many scores each pixel gets.
        skips: (pool, its channels, scale before scoring), coarse to fine; empty for the 32s nets.
        upsampling: (kernel, stride) of the last deconvolution; its stride is that of the finest scores.
        kind: of all deconvolutions: frozen, as published, or one of those that learn.

    Source: Long, Shelhamer, Darrell, CVPR 2015, sections 4.1 to 4.3; Shelhamer, Long, Darrell, PAMI 2016, for the
    all-at-once scales.
    """

    def __init__(
        self,
        encoder: nn.Sequential,
        head: nn.Sequential,
        width: int,
        *,
        classes: int,
        skips: tuple[tuple[str, int, float], ...] = (),
        upsampling: tuple[int, int],
        kind: Upsampling = "frozen",
    ) -> None:
        super().__init__()
        for name, layer in (*encoder.named_children(), *head.named_children()):
            self.add_module(name, layer)
        self._down = tuple(name for name, _ in encoder.named_children())
        self._head = tuple(name for name, _ in head.named_children())
        self.score_fr = nn.Conv2d(width, classes, 1)
        self._skips = tuple((pool, scale) for pool, _, scale in skips)
        for pool, channels, _ in skips:
            self.add_module(f"up_to_{pool}", transposed_convolution(classes, 4, 2, kind=kind))
            self.add_module(f"score_{pool}", nn.Conv2d(channels, classes, 1))
            self.add_module(f"crop_{pool}", Crop())
        self.upscore = transposed_convolution(classes, *upsampling, kind=kind)
        self.stride = upsampling[1]
        self.crop = Crop()
        for name, layer in self.named_children():
            if isinstance(layer, nn.Conv2d) and name.startswith("score_"):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self._derive_crops()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels: torch.Tensor = self.crop(self.upscore(self.cells(images)), images)
        return pixels

    def cells(self, images: torch.Tensor) -> torch.Tensor:
        """Scores before the last deconvolution, one per cell; with padding the outer cells lie beyond the image."""
        kept = stages_of(self.trunk)(images) if self.in_stages else self._maps(images)
        value: torch.Tensor = self.score_fr(kept[self._head[-1]])
        for pool, scale in self._skips:
            value = getattr(self, f"up_to_{pool}")(value)
            skip = getattr(self, f"score_{pool}")(kept[pool] * scale if scale != 1 else kept[pool])
            value = value + getattr(self, f"crop_{pool}")(skip, value)
        return value

    def _maps(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """The pools that are scored, and what the head yields."""
        kept, value = {}, images
        wanted = {*(pool for pool, _ in self._skips), self._head[-1]}
        for name in (*self._down, *self._head):
            value = getattr(self, name)(value)
            if name in wanted:
                kept[name] = value
        return kept

    @cached_property
    def trunk(self) -> fx.GraphModule:
        graph = fx.Graph()
        value = graph.placeholder("images")
        kept = {}
        for name in (*self._down, *self._head):
            kept[name] = value = graph.call_module(name, (value,))
        graph.output({name: kept[name] for name in (*(pool for pool, _ in self._skips), self._head[-1])})
        return fx.GraphModule(self, graph)

    @property
    def features(self) -> nn.ModuleDict:
        """The layers that a classifier's weights fill, by their own names."""
        return nn.ModuleDict({name: getattr(self, name) for name in (*self._down, *self._head)})

    @property
    def head(self) -> nn.ModuleDict:
        """The layers that are new: scores and upsampling."""
        known = {*self._down, *self._head}
        return nn.ModuleDict({name: layer for name, layer in self.named_children() if name not in known})

    def _derive_crops(self) -> None:
        """Every crop from the geometry of the layers before it, coarse to fine; nothing is typed in."""
        for pool, _ in self._skips:
            getattr(self, f"crop_{pool}").offset = crop_offset(geometry_of(self), f"score_{pool}", f"up_to_{pool}")
        self.crop.offset = crop_offset(geometry_of(self), "upscore")


def fcn_alexnet(
    classes: int = 21, channels: int = 3, *, padding: int = PADDING, upsampling: Upsampling = "frozen"
) -> ReferenceFCN:
    """FCN-AlexNet (32s) on the two-tower AlexNet, in Caffe's order of pooling and normalisation.

    >>> fcn_alexnet().crop.offset
    18
    """
    encoder = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 96, 11, 4, padding),
            relu1=nn.ReLU(inplace=True),
            pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
            norm1=nn.LocalResponseNorm(5, 1e-4, 0.75),
            conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2),
            relu2=nn.ReLU(inplace=True),
            pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
            norm2=nn.LocalResponseNorm(5, 1e-4, 0.75),
            conv3=nn.Conv2d(256, 384, 3, padding=1),
            relu3=nn.ReLU(inplace=True),
            conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2),
            relu4=nn.ReLU(inplace=True),
            conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2),
            relu5=nn.ReLU(inplace=True),
            pool5=nn.MaxPool2d(3, 2, ceil_mode=True),
        )
    )
    return ReferenceFCN(encoder, _head(256, 6), 4096, classes=classes, upsampling=(63, 32), kind=upsampling)


_WIDTHS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""In each of the five blocks."""
_SKIPS = (("pool4", 512, 0.01), ("pool3", 256, 0.0001))


def fcn_vgg(
    classes: int = 21,
    channels: int = 3,
    *,
    backbone: str = "vgg16",
    stride: int = 32,
    at_once: bool = False,
    padding: int = PADDING,
    upsampling: Upsampling = "frozen",
) -> ReferenceFCN:
    """FCN-32s, 16s or 8s on VGG16, as published, or on another VGG in the same way.

    Args:
        classes: how many scores each pixel gets.
        channels: bands of the images.
        backbone: vgg11, vgg13, vgg16, vgg19, or one of them with _bn for batch norm behind every convolution.
        stride: 32, 16 or 8.
        at_once: scale pool4 by 0.01 and pool3 by 0.0001 before scoring, for training without stages.
        padding: of the first convolution.
        upsampling: "frozen", as published, or one of the kinds that learn.

    >>> net = fcn_vgg(stride=8)
    >>> net.crop_pool4.offset, net.crop_pool3.offset, net.crop.offset
    (5, 9, 31)
    """
    plain = backbone.removesuffix("_bn")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before = channels
    for block, (width, count) in enumerate(zip(_WIDTHS, _CONVOLUTIONS[plain], strict=True), 1):
        for index in range(1, count + 1):
            first = block == index == 1
            layers[f"conv{block}_{index}"] = nn.Conv2d(before, width, 3, padding=padding if first else 1)
            if plain != backbone:
                layers[f"bn{block}_{index}"] = nn.BatchNorm2d(width)
            layers[f"relu{block}_{index}"] = nn.ReLU(inplace=True)
            before = width
        layers[f"pool{block}"] = nn.MaxPool2d(2, 2, ceil_mode=True)
    skips = tuple(
        (pool, width, scale if at_once else 1.0)
        for (pool, width, scale), finest in zip(_SKIPS, (16, 8), strict=True)
        if stride <= finest
    )
    encoder, last = nn.Sequential(layers), (2 * stride, stride)
    return ReferenceFCN(encoder, _head(512, 7), 4096, classes=classes, skips=skips, upsampling=last, kind=upsampling)


REFERENCE_STRIDES = {
    "alexnet": (32,),
    **{f"{vgg}{norm}": (32, 16, 8) for vgg in _CONVOLUTIONS for norm in ("", "_bn")},
}
"""Backbones that the construction with reference padding is defined for, with the strides that it has on them."""


def reference_fcn(
    backbone: str,
    *,
    classes: int,
    stride: int,
    channels: int = 3,
    at_once: bool = False,
    upsampling: Upsampling = "frozen",
) -> ReferenceFCN:
    """The authors' construction on a backbone: `fcn_alexnet` (two towers) or `fcn_vgg`.

    Raises:
        NetworkError: it is not defined for that backbone, or has no such stride there.

    >>> reference_fcn("vgg11", classes=21, stride=16).crop.offset
    27
    """
    if backbone not in REFERENCE_STRIDES:
        raise NetworkError(
            f"reference padding is not defined for {backbone}",
            remedy=f"choose one of {', '.join(REFERENCE_STRIDES)}, or leave reference padding out",
        )
    if stride not in REFERENCE_STRIDES[backbone]:
        strides = ", ".join(map(str, REFERENCE_STRIDES[backbone]))
        raise NetworkError(
            f"{backbone} with reference padding has no stride {stride}",
            remedy=f"choose one of {strides}, or leave reference padding out",
        )
    if backbone == "alexnet":
        return fcn_alexnet(classes, channels, upsampling=upsampling)
    return fcn_vgg(classes, channels, backbone=backbone, stride=stride, at_once=at_once, upsampling=upsampling)


def _head(channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            fc6=nn.Conv2d(channels, 4096, kernel),
            relu6=nn.ReLU(inplace=True),
            drop6=nn.Dropout(0.5),
            fc7=nn.Conv2d(4096, 4096, 1),
            relu7=nn.ReLU(inplace=True),
            drop7=nn.Dropout(0.5),
        )
    )


AnyFCN = FCN | ReferenceFCN | LateFusion | SeveralHeads | OwnNetwork | Ensemble
"""What the catalogue builds: (N, channels, H, W) → (N, classes, H, W), with `stride`, `features` and `head`.

Only `SeveralHeads`, which is built where several numbers of classes are given, returns a tuple of scores.
"""
