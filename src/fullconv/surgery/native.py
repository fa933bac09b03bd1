"""The image size that a classifier was made for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import torch
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.meta_values import BATCH, bands_of
from fullconv.surgery.copying import without_weights

Size = tuple[int, int]

_USUAL = (224, 256, 288, 299, 384, 512, 32, 28, 64, 96, 128, 160, 192, 240, 320, 331, 448)
_SMALLEST, _LARGEST = 8, 640


def native_input(classifier: nn.Module, *, input_size: Size | None = None) -> tuple[int, int, int]:
    """(channels, height, width) of the images that a classifier takes.

    The size given; else the one that its library states (timm's configuration, the transforms of torchvision's
    published weights); else 224×224 or the first of other usual sizes that it takes, which for a linear layer behind a
    flattened map is the size at which that fits; else the smallest that it takes. Channels are those of the first
    convolution, or three or one where it reads something else than the image.

    Args:
        classifier: takes (N, C, H, W) images.
        input_size: (height, width) to be checked.

    Raises:
        NetworkError: it takes no image of the size given, or of any.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 12 * 12, 10))
    >>> native_input(net)
    (1, 28, 28)
    """
    empty = without_weights(classifier).eval()
    stated = _stated_by_timm(classifier) or _stated_by_torchvision(classifier)
    sizes: Iterable[Size] = ((side, side) for side in (*_USUAL, *range(_SMALLEST, _LARGEST + 1)))
    if input_size is not None:
        sizes = (input_size,)
    elif stated is not None:
        sizes = (stated, *sizes)
    first = bands_of(classifier)
    channels = [first] if first in (1, 3) else [first, 3, 1]
    problem = None
    for size in sizes:
        for bands in channels:
            found = _problem(empty, bands, size)
            if found is None:
                return bands, *size
            problem = problem or found
    raise NetworkError(
        f"takes no images of {f'{input_size[0]}×{input_size[1]}' if input_size else 'any usual size'} ({problem})",
        where=type(classifier).__name__,
        remedy="give the input_size that it was made for",
    )


def _problem(empty: nn.Module, channels: int, size: Size) -> str | None:
    """Why a network on the meta device takes no image of this size."""
    try:
        with torch.no_grad(), torch.device("meta"):
            empty(torch.empty(BATCH, channels, *size))
    except Exception as problem:  # a network may fail in any way
        return (str(problem).strip() or type(problem).__name__).split("\n")[0][:160]
    return None


def _stated_by_timm(classifier: nn.Module) -> Size | None:
    for name in ("pretrained_cfg", "default_cfg"):
        stated = getattr(classifier, name, None)
        size = stated.get("input_size") if isinstance(stated, Mapping) else None
        if size is not None and len(size) == 3:
            return int(size[1]), int(size[2])
    return None


def _stated_by_torchvision(classifier: nn.Module) -> Size | None:
    """The crop that goes with published weights of as many parameters, or with all weights of this architecture."""
    home = type(classifier).__module__
    if not home.startswith("torchvision.models."):
        return None
    weights: list[Any] = [
        member
        for value in vars(sys.modules[home]).values()
        if isinstance(value, type) and issubclass(value, Enum)
        for member in value
        if hasattr(member, "transforms") and hasattr(member, "meta")
    ]
    crops = [(w.meta.get("num_params"), getattr(w.transforms, "keywords", {}).get("crop_size")) for w in weights]
    own = sum(parameter.numel() for parameter in classifier.parameters())
    fitting = [crop for count, crop in crops if count == own and crop is not None]
    every = {crop for _, crop in crops if crop is not None}
    crop = fitting[0] if fitting else every.pop() if len(every) == 1 else None
    return None if crop is None else (int(crop), int(crop))
