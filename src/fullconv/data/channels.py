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


def joint_dtype(dtypes: Collection[str]) -> str | None:
    """The value type that mixed images are brought to; None where integers and floats have no scale in common.

    >>> joint_dtype(["uint8", "uint8"]), joint_dtype(["uint8", "uint16"]), joint_dtype(["uint8", "float32"])
    ('uint8', 'uint16', None)
    """
    kinds = set(dtypes)
    if len(kinds) == 1:
        return kinds.pop()
    return "uint16" if kinds == {"uint8", "uint16"} else None


def fit_dtype(values: npt.NDArray[np.generic], dtype: str, *, where: object = None) -> npt.NDArray[np.generic]:
    """Bring pixel values to a type: 8 bits become 16 by a factor of 257, so that black and white stay what they are.

    >>> fit_dtype(np.array([0, 1, 255], dtype=np.uint8), "uint16")
    array([    0,   257, 65535], dtype=uint16)

    Raises:
        DataError: integers and floats, or more bits than the type has.
    """
    if values.dtype == dtype:
        return values
    if values.dtype == np.uint8 and dtype == "uint16":
        return values.astype(np.uint16) * np.uint16(257)
    raise DataError(
        f"its values are {values.dtype}, the dataset's {dtype}", where=where, remedy="give images of one type"
    )


def gaps(image: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_] | None:
    """(H, W) pixels of a float image with a value that is not a number or infinite; None where there are none.

    >>> gaps(np.array([[[1.0, np.nan], [1.0, 2.0]]])), gaps(np.zeros((1, 1, 3)))
    (array([[ True, False]]), None)
    """
    if image.dtype.kind != "f":
        return None
    found = np.asarray(~np.isfinite(image).all(axis=2))
    return found if found.any() else None


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
