"""The bands of an image: brought to one number over a set, and summed up."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fullconv.errors import DataError

Number = TypeVar("Number", bound=np.generic)


def joint_channels(counts: Collection[int]) -> int | None:
    """The number of channels that mixed images are brought to; None where they cannot be.

    >>> joint_channels([1, 3]), joint_channels([3, 4]), joint_channels([3, 7])
    (3, 3, None)
    """
    kinds = set(counts)
    if len(kinds) == 1:
        return kinds.pop()
    return 3 if kinds <= {1, 2, 3, 4} else None


def fit_channels(values: npt.NDArray[Number], channels: int, *, where: object = None) -> npt.NDArray[Number]:
    """Bring the last axis to a number of channels: grey is repeated, alpha is dropped.

    >>> fit_channels(np.zeros((2, 2, 1)), 3).shape, fit_channels(np.zeros((2, 2, 4)), 3).shape
    ((2, 2, 3), (2, 2, 3))
    """
    given = values.shape[-1]
    if given == channels:
        return values
    if given in (1, 2) and channels in (1, 3):
        return np.repeat(values[..., :1], channels, axis=-1)
    if given == 4 and channels == 3:
        return values[..., :3]
    raise DataError(f"it has {given} channels, the dataset {channels}", where=where, remedy="give images of one kind")


def channel_sums(image: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """(3, C) number of finite values, their sum and sum of squares; uint8 / 255, uint16 / 65535, float as it is.

    >>> channel_sums(np.array([[[255], [0]]], dtype=np.uint8)).ravel()
    array([2., 1., 1.])
    """
    values = image.reshape(-1, image.shape[2])
    if image.dtype == np.uint8:
        levels = np.arange(256) / 255
        counts = np.stack([np.bincount(channel, minlength=256) for channel in values.T])
        return np.stack([counts.sum(axis=1), counts @ levels, counts @ levels**2]).astype(np.float64)
    scale = 65535 if image.dtype == np.uint16 else 1
    scaled = values.astype(np.float64) / scale
    finite = np.isfinite(scaled)
    scaled[~finite] = 0
    return np.stack([finite.sum(axis=0), scaled.sum(axis=0), (scaled**2).sum(axis=0)]).astype(np.float64)
