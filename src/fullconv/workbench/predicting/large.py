"""Images that are too large to be predicted in one piece: by tiles where the network allows it, else not at all."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from fullconv.prediction.tiled import Tile, takes_tiles, tiles_of
from fullconv.store.package import ModelCard
from fullconv.training.forecast.room import free_memory
from fullconv.workbench.predicting.opened import Opened
from fullconv.workbench.refusals import TooLarge

WHOLE_PIXELS = 4 * 2**20
"""Larger images are predicted tile by tile."""
SMALL_PIXELS = 2**20
"""Larger images keep all cores busy by themselves, and take more memory than is needed twice."""
NETWORK_BYTES = 800
"""Per pixel, what the layers of a network hold at one time: those of a VGG-16, the widest at full size."""
SCORE_BYTES = 12
"""Per pixel and class: scores before and after they are brought to the image's size, and probabilities."""
SHARE = 0.5
"""Of the free memory, what one prediction may take: others run beside it."""


def is_large(opened: Opened, size: tuple[int, int]) -> bool:
    """Whether an image, or what the network is given of it, is too large to be computed unasked.

    Args:
        opened: the model. size: (height, width) of the image.
    """
    return _most_pixels(opened.model.card, size) > WHOLE_PIXELS


def goes_alone(card: ModelCard, size: tuple[int, int]) -> bool:
    """Whether an image is labelled with nothing beside it: large ones, and all by networks from Python files, whose
    forward may keep something in the module.

    Args:
        card: of the model. size: (height, width) of the image.
    """
    return card.network.code is not None or _most_pixels(card, size) > SMALL_PIXELS


def tiles_for(opened: Opened, size: tuple[int, int], *, probabilities: bool = False) -> Sequence[Tile]:
    """The tiles by which an image is predicted; none where it is taken whole.

    Args:
        opened: the model.
        size: (height, width) of the image.
        probabilities: of every class are kept.

    Raises:
        TooLarge: the network cannot be applied tile by tile, or the answer is too large, and the memory does not
            suffice; the sentence says why.
    """
    height, width = size
    if probabilities:
        _must_fit(score_bytes(opened, size), "cpu", size, "the probabilities of all classes are kept")
    if not is_large(opened, size):
        return ()
    geometry = opened.geometry
    if geometry.reach is None or geometry.total_stride is None:
        why = f"the network reads the whole image ({', '.join(geometry.obstacles[:1]) or 'its reach is not known'})"
    elif not takes_tiles(opened.model, size):
        why = "the model resizes its images"
    else:
        return tiles_of(size, geometry)
    seen = opened.model.card.resize.size(height, width)
    needed = seen[0] * seen[1] * NETWORK_BYTES + score_bytes(opened, size)
    _must_fit(needed, opened.model.device.type, size, f"{why}, so that it is not computed tile by tile")
    return ()


def score_bytes(opened: Opened, size: tuple[int, int]) -> int:
    """What the scores or probabilities of all classes take while an answer is made of them.

    Args:
        opened: the model. size: (height, width) of the image.
    """
    return prod(size) * len(opened.model.classes) * SCORE_BYTES


def room(device: str) -> int:
    """Bytes that one prediction may take now on "cpu" or "cuda"; what PyTorch keeps of a card for later is free."""
    kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated() if device == "cuda" else 0
    return int(SHARE * (free_memory(device) + kept))


def _most_pixels(card: ModelCard, size: tuple[int, int]) -> int:
    """Of the image, or of what the network is given of it."""
    return max(prod(size), prod(card.resize.size(*size)))


def _must_fit(needed: int, device: str, size: tuple[int, int], why: str) -> None:
    free = room(device)
    if needed > free:
        raise TooLarge(
            f"{size[1]}×{size[0]} pixels may take {needed / 2**30:.1f} GiB, and one prediction may take "
            f"{free / 2**30:.1f} GiB here; {why}",
            where="image",
            remedy="make it smaller, or cut it into parts",
        )
