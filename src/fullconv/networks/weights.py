"""Pretrained parameters for a backbone: from a file, from torchvision's cache or download, or none."""

from __future__ import annotations

import os
import socket
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import nn

from fullconv.errors import NetworkError
from fullconv.networks.backbones import build_classifier
from fullconv.networks.late_fusion import LateFusion
from fullconv.networks.normalization import Normalization
from fullconv.networks.reference import AnyFCN, ReferenceFCN
from fullconv.surgery.transplant import transplant
from fullconv.surgery.weight_files import read_weights

DOWNLOAD_TIMEOUT_SECONDS = 15.0
NAMED_WEIGHTS = ("auto", "imagenet", "random")
"""What `weights` may say besides the path of a file."""


@dataclass(frozen=True)
class TransferReport:
    """Where every parameter of a network came from.

    Args:
        source: a file name, "torchvision" or "random".
        copied: names taken over as they are.
        adapted: names whose shape had to change, each with how.
        initialised: names that keep their start values.
        warning: what a missing transfer costs, if anything was missed.
        normalization: of the images that the weights were trained on, where the source says so.
    """

    source: str
    copied: tuple[str, ...] = ()
    adapted: tuple[tuple[str, str], ...] = ()
    initialised: tuple[str, ...] = ()
    warning: str | None = None
    normalization: Normalization | None = None

    @property
    def pretrained(self) -> bool:
        return bool(self.copied)


def load_weights(net: AnyFCN, backbone: str, weights: str) -> TransferReport:
    """Fill the backbone of a network; of two networks fused late, both.

    Args:
        net: changed in place; score layers keep their zeros where the weights are those of a classifier.
        backbone: torchvision's name of the classifier.
        weights: "auto" (torchvision's ImageNet weights, cached or downloaded; else random, with a warning),
            "imagenet" (the same, but an error where they cannot be had), "random", or the path of a weight file of
            that classifier, in torchvision's names or those of `surgery.transplant`. The file may also be the
            model.safetensors of a network on the same backbone, such as an FCN-32s for an FCN-16s: then scores and
            upsampling are taken over too, where both have them in the same shape.

    Raises:
        NetworkError: the file is missing, unreadable or belongs to another network; the network is then as before.

    >>> from fullconv.networks.building import fcn
    >>> load_weights(fcn("squeezenet1_1", classes=2), "squeezenet1_1", "random").pretrained
    False
    """
    if weights == "random":
        return TransferReport("random", initialised=tuple(name for name, _ in net.named_parameters()))
    if weights in ("auto", "imagenet"):
        try:
            return _fill(net, _from_torchvision(backbone), "torchvision ImageNet weights")
        except (OSError, RuntimeError, urllib.error.URLError) as problem:
            if weights == "imagenet":
                raise _unavailable(backbone, problem) from problem
            reason = f"no ImageNet weights for {backbone} here and none can be downloaded"
        except NetworkError:
            if weights == "imagenet" or not isinstance(net, ReferenceFCN):
                raise
            reason = f"torchvision's ImageNet weights for {backbone} are of another form of that network"
        warning = (
            f"{reason}: training starts from random weights, which takes several times longer and scores lower on "
            "small sets; give a weight file to change that"
        )
        return TransferReport("random", initialised=tuple(name for name, _ in net.named_parameters()), warning=warning)
    path = Path(weights).expanduser()
    given = read_weights(path)
    return _of_like_network(net, given, path.name) or _fill(net, path, path.name)


def load_classifier(name: str, weights: str = "imagenet") -> nn.Module:
    """A classifier of torchvision or timm with its weights.

    Args:
        name: of the classifier.
        weights: "imagenet" (torchvision's, cached or downloaded), "random", or the path of a weight file.

    Raises:
        NetworkError: there is no such classifier, or the weights cannot be had or do not fit.

    >>> type(load_classifier("squeezenet1_1", "random")).__name__
    'SqueezeNet'
    """
    classifier = build_classifier(name)
    if weights == "random":
        return classifier
    if weights in NAMED_WEIGHTS:
        try:
            transplant(_from_torchvision(name), classifier, strict=True)
        except (OSError, RuntimeError, urllib.error.URLError) as problem:
            raise _unavailable(name, problem) from problem
    else:
        transplant(Path(weights).expanduser(), classifier, strict=True)
    return classifier


def _unavailable(name: str, problem: Exception) -> NetworkError:
    return NetworkError(
        f"ImageNet weights for {name} are neither cached nor downloadable ({problem})",
        remedy="name a weight file, or say weights=random",
    )


def cached_imagenet(backbone: str) -> Path | None:
    """The file of torchvision's ImageNet weights, where it was downloaded before.

    >>> cached_imagenet("compact") is None
    True
    """
    if backbone not in torchvision.models.list_models():
        return None
    url = torchvision.models.get_model_weights(backbone).DEFAULT.url
    cached = Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(url)  # noqa: PTH119 - a URL
    return cached if cached.is_file() else None


def _from_torchvision(backbone: str) -> dict[str, torch.Tensor]:
    if backbone not in torchvision.models.list_models():
        raise RuntimeError("torchvision has no such classifier")
    cached = cached_imagenet(backbone)
    if cached is not None:
        return read_weights(cached)
    weights = torchvision.models.get_model_weights(backbone).DEFAULT
    with _network_timeout(DOWNLOAD_TIMEOUT_SECONDS):
        state: dict[str, torch.Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    return state


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _of_like_network(net: AnyFCN, given: dict[str, torch.Tensor], source: str) -> TransferReport | None:
    """Take over what has the same name and shape, if that is the whole feature extractor; else nothing."""
    own = net.state_dict(keep_vars=True)
    features = {id(value) for value in net.features.state_dict(keep_vars=True).values()}
    same = [name for name, value in own.items() if name in given and given[name].shape == value.shape]
    needed = {name for name, value in own.items() if id(value) in features and not name.endswith("_tracked")}
    if not needed or not needed <= set(same):
        return None
    with torch.no_grad():
        for name in same:
            own[name].copy_(given[name])
    initialised = tuple(name for name, _ in net.named_parameters() if name not in same)
    return TransferReport(source, copied=tuple(same), initialised=initialised)


def _fill(net: AnyFCN, given: Path | dict[str, torch.Tensor], source: str) -> TransferReport:
    """Transplant into the feature extractor, which must be filled; the image layer is adapted to other bands.

    Of two networks fused late both are filled.
    """
    called = {id(value): name for name, value in net.state_dict(keep_vars=True).items()}
    towers = (net.first, net.second) if isinstance(net, LateFusion) else (net,)
    before = deepcopy(net.first.features.state_dict()) if isinstance(net, LateFusion) else {}
    copied: list[str] = []
    adapted: list[tuple[str, str]] = []
    for tower in towers:
        features = tower.features
        try:
            report = transplant(given, features, strict=True)
        except NetworkError:
            if isinstance(net, LateFusion):
                net.first.features.load_state_dict(before)
            raise
        own = {name: called[id(value)] for name, value in features.state_dict(keep_vars=True).items()}
        copied += [own[name] for name in report.copied]
        changed = (transfer for transfer in report.transfers if transfer.status in ("reshaped", "expanded"))
        adapted += [(own[transfer.name], transfer.note) for transfer in changed]
    taken = {*copied, *(name for name, _ in adapted)}
    initialised = tuple(name for name, _ in net.named_parameters() if name not in taken)
    return TransferReport(source, tuple(copied), tuple(adapted), initialised)
