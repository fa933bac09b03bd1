"""The ceiling of an output stride: what a perfect coarse prediction scores after plain upsampling.

The experiment of the FCN paper (Long, Shelhamer, Darrell 2015, section 5): downsample the true labels by the stride,
upsample them back, and score the result against the truth. The sampling here:

- *Down*: the image is cut into cells of stride × stride pixels from the upper left corner (cells at the right and lower
  border may be partial). A cell takes the label of its centre pixel, the upper left one of the four where the stride is
  even. Where that pixel is ignored or beyond the border, it takes the nearest counted pixel of the same cell; a cell
  with none has no vote.
- *Up*: bilinear on the one-hot class scores with half-pixel centres (`align_corners=False`), the border replicated,
  then the class with the highest score; ties go to the upper left cell. So does a network with a plain bilinear
  upsampling layer.

Every counted pixel lies in a cell that has a vote, so every one is predicted.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.evaluation.counting import count_confusion


def ceiling_counts(label: npt.NDArray[Any], stride: int, classes: int, ignore: int = 255) -> npt.NDArray[np.int64]:
    """Confusion counts of one label image against its own coarse version.

    Sum them over a set and take `Scores.from_confusion(...).mean_iou` for the ceiling of the stride on that set.

    Args:
        label: (H, W) unsigned integer labels, 0 to classes − 1 or `ignore`.
        stride: pixels per cell of the coarse prediction.
        classes: how many classes there are.
        ignore: the label that counts nowhere.

    Returns:
        (classes, classes) int64; row = truth, column = upsampled.

    >>> label = np.zeros((8, 8), dtype=np.uint8)
    >>> label[:, 3] = 1
    >>> ceiling_counts(label, 4, classes=2)     # the thin line falls between the sampled columns
    array([[56,  0],
           [ 8,  0]])
    >>> ceiling_counts(label, 1, classes=2)
    array([[56,  0],
           [ 0,  8]])
    """
    return count_confusion(label, coarsened(label, stride, ignore), classes, ignore)


def coarsened(label: npt.NDArray[Any], stride: int, ignore: int = 255) -> npt.NDArray[Any]:
    """The label image downsampled by `stride` and upsampled back, (H, W) of the same dtype.

    >>> coarsened(np.array([[0, 0, 0, 0, 1, 1]], dtype=np.uint8), 3)
    array([[0, 0, 0, 1, 1, 1]], dtype=uint8)
    """
    if stride == 1 or not label.size:
        return label.copy()
    height, width = label.shape
    coarse = _downsampled(label, stride, ignore)
    return _upsampled(coarse, stride, ignore)[:height, :width]


def _downsampled(label: npt.NDArray[Any], stride: int, ignore: int) -> npt.NDArray[Any]:
    """(ceil(H / stride), ceil(W / stride)): the centre of each cell, or its nearest counted pixel."""
    height, width = label.shape
    rows, columns = -(-height // stride), -(-width // stride)
    padded = label
    if height % stride or width % stride:
        padded = np.full((rows * stride, columns * stride), ignore, dtype=label.dtype)
        padded[:height, :width] = label
    middle = (stride - 1) // 2
    coarse = padded[middle::stride, middle::stride].copy()
    missing = coarse == ignore
    if missing.any():
        cells = padded.reshape(rows, stride, columns, stride).transpose(0, 2, 1, 3)[missing]
        cells = cells.reshape(len(cells), stride * stride)[:, _from_the_centre(stride)]
        first = (cells != ignore).argmax(axis=1)
        coarse[missing] = cells[np.arange(len(cells)), first]
    return coarse


def _upsampled(coarse: npt.NDArray[Any], stride: int, ignore: int) -> npt.NDArray[Any]:
    """(rows · stride, columns · stride), the winner of the bilinear vote of the four nearest cells.

    Which of the four wins depends only on which of them are equal or without vote: 52 cases, each a picture of
    stride × stride pixels.
    """
    bordered = np.pad(coarse, 1, mode="edge")
    corners = np.stack([bordered[:-1, :-1], bordered[:-1, 1:], bordered[1:, :-1], bordered[1:, 1:]], axis=-1)
    rows, columns = corners.shape[:2]
    case_of_key, winners = _winners(stride)
    winner = winners[case_of_key[_key(corners, ignore)]]
    winner += np.arange(0, rows * columns * 4, 4, dtype=np.int32).reshape(rows, columns, 1, 1)
    blocks = corners.reshape(-1)[winner.transpose(0, 2, 1, 3)].reshape(rows * stride, columns * stride)
    before = (stride + 1) // 2
    return blocks[before : before + (rows - 1) * stride, before : before + (columns - 1) * stride]


def _key(corners: npt.NDArray[Any], ignore: int) -> npt.NDArray[np.int32]:
    """(...) from (..., 4): which corners are equal (6 bits) and which have no vote (4 bits)."""
    a, b, c, d = np.moveaxis(corners, -1, 0)
    bits = (a == b, a == c, a == d, b == c, b == d, c == d, a == ignore, b == ignore, c == ignore, d == ignore)
    key = np.zeros(a.shape, dtype=np.int32)
    for position, bit in enumerate(bits):
        key |= bit.astype(np.int32) << position
    return key


@lru_cache(maxsize=16)
def _winners(stride: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int32]]:
    """Key → case, (1024,); per case the corner 0 to 3 that wins at each pixel between centres, (52, stride, stride)."""
    no_vote = 4
    patterns = np.array(list(product(range(5), repeat=4)))
    keys, first = np.unique(_key(patterns, no_vote), return_index=True)
    patterns = patterns[first]
    # Distances in units of half a pixel keep the weights whole numbers, so that ties are exact.
    # Pixel k lies 2k + 1 (even stride) or 2k (odd stride) half pixels beyond the first centre.
    beyond = 2 * np.arange(stride) + (1 - stride % 2)
    near = np.stack([2 * stride - beyond, beyond])
    weights = np.einsum("iy,jx->ijyx", near, near).reshape(4, stride, stride)
    equal = patterns[:, :, None] == patterns[:, None, :]
    votes = np.einsum("pab,byx->payx", equal & (patterns != no_vote)[:, :, None], weights)
    case_of_key = np.zeros(1 << 10, dtype=np.intp)
    case_of_key[keys] = np.arange(len(keys))
    return case_of_key, votes.argmax(axis=1).astype(np.int32)


@lru_cache(maxsize=16)
def _from_the_centre(stride: int) -> npt.NDArray[np.intp]:
    """Positions of a flattened cell, nearest to its centre first."""
    distance = np.abs(2 * np.arange(stride) - (stride - 1))
    return np.argsort((distance[:, None] ** 2 + distance[None, :] ** 2).ravel(), kind="stable")
