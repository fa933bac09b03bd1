"""Pretrained parameters for a backbone: from a file, from torchvision's cache or download, or none."""

from __future__ import annotations

import os
import pickle
import socket
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file

from fullconv.errors import NetworkError
from fullconv.networks.backbones import first_convolution
from fullconv.networks.fcn import FCN

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
    """

    source: str
    copied: tuple[str, ...] = ()
    adapted: tuple[tuple[str, str], ...] = ()
    initialised: tuple[str, ...] = ()
    warning: str | None = None

    @property
    def pretrained(self) -> bool:
        return bool(self.copied)


def load_weights(net: FCN, backbone: str, weights: str) -> TransferReport:
    """Fill the backbone of a network.

    Args:
        net: changed in place; its score layers keep their zeros.
        backbone: torchvision's name of the classifier.
        weights: "auto" (torchvision's ImageNet weights, cached or downloaded; else random, with a warning),
            "imagenet" (the same, but an error where they cannot be had), "random", or the path of a `.safetensors`,
            `.pth` or `.pt` state dict of that classifier (pickles are read with `weights_only`).

    Raises:
        NetworkError: the file is missing, unreadable or belongs to another network.

    >>> from fullconv.networks.fcn import fcn
    >>> load_weights(fcn("squeezenet1_1", classes=2), "squeezenet1_1", "random").pretrained
    False
    """
    if weights == "random":
        return TransferReport("random", initialised=tuple(name for name, _ in net.named_parameters()))
    if weights in ("auto", "imagenet"):
        try:
            return _transplant(net, _from_torchvision(backbone), "torchvision ImageNet weights")
        except (OSError, RuntimeError, urllib.error.URLError) as problem:
            if weights == "imagenet":
                raise NetworkError(
                    f"ImageNet weights for {backbone} are neither cached nor downloadable ({problem})",
                    remedy="name a weight file, or say weights=random",
                ) from problem
        warning = (
            f"no ImageNet weights for {backbone} here and none can be downloaded: training starts from random weights, "
            "which takes several times longer and scores lower on small sets; give a weight file to change that"
        )
        return TransferReport("random", initialised=tuple(name for name, _ in net.named_parameters()), warning=warning)
    path = Path(weights).expanduser()
    return _transplant(net, read_state_dict(path), path.name)


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """A state dict from safetensors or from a pickle of tensors only, as float32 where it is floating point.

    Raises:
        NetworkError: there is no such file, or it is no state dict.
    """
    remedy = "give a .safetensors file or a .pth state dict"
    if not path.is_file():
        raise NetworkError("no such weight file", where=path, remedy="check the path, or say auto or random")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as problem:
        raise NetworkError("holds no readable weights", where=path, remedy=remedy) from problem
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise NetworkError("is no state dict", where=path, remedy=remedy)
    return {name: value.float() if value.is_floating_point() else value for name, value in content.items()}


def _from_torchvision(backbone: str) -> dict[str, torch.Tensor]:
    if backbone not in torchvision.models.list_models():
        raise RuntimeError("torchvision has no such classifier")
    weights = torchvision.models.get_model_weights(backbone).DEFAULT
    cached = Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(weights.url)  # noqa: PTH119 - a URL
    if cached.is_file():
        return read_state_dict(cached)
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


def _transplant(net: FCN, state: dict[str, torch.Tensor], source: str) -> TransferReport:
    """Copy by name and shape into the feature extractor; the image layer is adapted to other bands."""
    target = net.features.state_dict()
    input_layer = f"{first_convolution(net.features)[0]}.weight"
    copied, adapted, missing = {}, {}, []
    for name, value in target.items():
        given = state.get(name)
        if given is None:
            missing.append(name)
        elif given.shape == value.shape:
            copied[name] = given
        elif name == input_layer and given.shape[0] == value.shape[0] and given.shape[2:] == value.shape[2:]:
            adapted[name] = expand_bands(given, value.shape[1])
        else:
            raise NetworkError(
                f"{name} has shape {tuple(given.shape)}, the network needs {tuple(value.shape)}",
                where=source,
                remedy="give weights of the same backbone",
            )
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing:
        raise NetworkError(
            f"lacks {len(missing)} of {len(target)} parameters of this backbone, first {missing[0]}",
            where=source,
            remedy="give weights of the same backbone",
        )
    net.features.load_state_dict(copied | adapted, strict=False)
    taken = {f"features.{name}" for name in (*copied, *adapted)}
    return TransferReport(
        source,
        copied=tuple(f"features.{name}" for name in copied),
        adapted=tuple((f"features.{name}", "mean of the colour filters") for name in adapted),
        initialised=tuple(name for name, _ in net.named_parameters() if name not in taken),
    )


def expand_bands(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Colour filters for another number of bands.

    More bands than three: the colour filters stay and each further band gets their mean. Fewer: every band gets the
    mean, scaled so that equal bands give the response that equal colours gave.

    Args:
        weight: (filters, 3, height, width).
        channels: bands wanted.

    >>> expand_bands(torch.ones(1, 3, 1, 1), 1).item()
    3.0
    """
    mean = weight.mean(dim=1, keepdim=True)
    if channels > weight.shape[1]:
        return torch.cat([weight, mean.expand(-1, channels - weight.shape[1], -1, -1)], dim=1)
    return mean.expand(-1, channels, -1, -1) * (weight.shape[1] / channels)
