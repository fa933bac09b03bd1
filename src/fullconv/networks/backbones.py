"""Classifiers as backbones: torchvision's, timm's, a compact one of our own, by name."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from fullconv.errors import NetworkError
from fullconv.networks.compact import CompactNet

LISTED = (
    "alexnet",
    *("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
    "googlenet",
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
    *("squeezenet1_0", "squeezenet1_1"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *(f"efficientnet_b{index}" for index in range(8)),
    *("efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l"),
    *("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
    *("regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf", "regnet_x_8gf"),
    *("regnet_y_400mf", "regnet_y_800mf", "regnet_y_1_6gf", "regnet_y_3_2gf", "regnet_y_8gf"),
    *("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    *("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
    "compact",
)
"""The backbones of the catalogue; any other convolutional classifier of torchvision or timm can be named too."""

_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")


class _EmptyOnMeta(TorchFunctionMode):
    """`torch.empty`, which layers take for their weights, makes tensors without memory; all others stay real.

    So constructors may compute with tensors, which nothing can on the meta device.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is torch.empty and given.get("device") is None:
            given = given | {"device": "meta"}
        return func(*args, **given)


def without_weights(build: Callable[[], nn.Module]) -> nn.Module:
    """What `build` makes, on the meta device.

    >>> next(without_weights(lambda: build_classifier("regnet_x_400mf")).buffers()).is_meta
    True
    """
    with _EmptyOnMeta():
        return build().to("meta")


def build_classifier(name: str, channels: int = 3) -> nn.Module:
    """A classifier of torchvision or timm, or the compact one, with random weights.

    Raises:
        NetworkError: there is none of that name.
    """
    check_classifier(name)
    if name == "compact":
        return CompactNet(channels)
    if name in torchvision.models.list_models(module=torchvision.models):
        return _with_bands(_from_torchvision(name, channels), channels)
    timm: Any = importlib.import_module("timm")
    classifier: nn.Module = timm.create_model(name.removeprefix("timm_"), pretrained=False, in_chans=channels)
    return classifier


def check_classifier(name: str) -> None:
    """Refuse a name that no classifier has.

    Raises:
        NetworkError: there is none of that name.

    >>> check_classifier("resnet18")
    """
    if name in LISTED or name in torchvision.models.list_models(module=torchvision.models):
        return
    if importlib.util.find_spec("timm") is not None:
        timm: Any = importlib.import_module("timm")
        if timm.is_model(name.removeprefix("timm_")):
            return
        more = "or any classifier of torchvision or timm"
    else:
        more = "or any classifier of torchvision, or of timm once it is installed"
    remedy = f"choose one of {', '.join(LISTED)}, {more}"
    raise NetworkError(f"no backbone is named {name!r}", remedy=remedy)


def _from_torchvision(name: str, channels: int) -> nn.Module:
    more: dict[str, Any] = {}
    if name in _WITH_AUXILIARY_HEADS:
        # Its ImageNet weights were trained on images scaled otherwise, which the first step of the net makes good.
        more = {"aux_logits": False, "init_weights": False, "transform_input": channels == 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier: nn.Module = torchvision.models.get_model(name, weights=None, **more)
    return classifier


def _with_bands(classifier: nn.Module, channels: int) -> nn.Module:
    """The classifier with a first convolution for another number of bands."""
    name, old = first_convolution(classifier)
    if channels == old.in_channels:
        return classifier
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


def first_convolution(classifier: nn.Module) -> tuple[str, nn.Conv2d]:
    """Name and module of the layer that reads the image."""
    return next((name, module) for name, module in classifier.named_modules() if isinstance(module, nn.Conv2d))
