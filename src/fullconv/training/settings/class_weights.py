"""Factors per class for the loss, from how often each occurs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from fullconv.errors import PlanError

Weighting = Literal["none", "inverse-log", "median-frequency", "effective-number"]
Factors = dict[str, Annotated[float, Field(ge=0)]]
"""Name of a class → what its pixels count."""
HeadWeights = dict[str, Weighting | Factors]
"""Name of a head → the rule or the factors of its classes."""


def class_weights(
    weighting: Weighting | Mapping[str, float],
    names: Sequence[str],
    pixels: Sequence[int],
    images_with: Sequence[int],
    size: float,
    *,
    where: str = "class_weights",
) -> torch.Tensor | None:
    """(classes,) factors, or None for none at all.

    Args:
        weighting: a rule, or the factor of each class by name; classes left out have 1.
        names: of the classes.
        pixels: training pixels per class.
        images_with: training images that hold each class.
        size: pixels of a training image, on average.
        where: the setting that a mistake is in.

    Raises:
        PlanError: a factor is given for a class that there is not, or is negative, or all are 0.

    >>> class_weights({"car": 3}, ["road", "car"], [90, 10], [2, 1], 50)
    tensor([1., 3.])
    """
    if weighting == "none":
        return None
    if weighting == "inverse-log":
        return inverse_log_weights(pixels)
    if weighting == "median-frequency":
        return median_frequency_weights(pixels, images_with, size)
    if weighting == "effective-number":
        return effective_number_weights(pixels)
    unknown = sorted(set(weighting) - set(names))
    if unknown:
        known = ", ".join(names)
        raise PlanError(f"there is no class {unknown[0]!r}", where=where, remedy=f"name one of {known}")
    given = [float(weighting.get(name, 1.0)) for name in names]
    if min(given) < 0 or max(given) == 0:
        problem = "factors are 0 or more, and one at least above 0"
        raise PlanError(problem, where=where, remedy="change the factors")
    return torch.tensor(given)


def inverse_log_weights(pixels: Sequence[int], *, offset: float = 1.02) -> torch.Tensor:
    """Class weights 1 / ln(offset + share), scaled so that their mean over the pixels is 1.

    Rare classes weigh more, bounded by 1 / ln(offset). (Paszke et al. 2016, ENet, section 5.3.)

    Args:
        pixels: training pixels of every class.

    >>> inverse_log_weights([90, 10]).numpy().round(2)
    array([0.68, 3.9 ], dtype=float32)
    """
    return _scaled(1 / np.log(offset + _shares(pixels)), pixels)


def median_frequency_weights(pixels: Sequence[int], images_with: Sequence[int], size: float) -> torch.Tensor:
    """Class weights median(frequency) / frequency, scaled so that their mean over the pixels is 1.

    The frequency of a class is its share of the pixels of the images that hold it. (Eigen and Fergus 2015, section 6.)

    Args:
        pixels: training pixels of every class.
        images_with: training images that hold it.
        size: pixels of an image, on average.

    >>> median_frequency_weights([80, 10, 10], [2, 1, 2], 50).numpy().round(2)
    array([0.5, 2. , 4. ], dtype=float32)
    """
    counts = np.asarray(pixels, dtype=np.float64)
    there = counts > 0
    frequency = np.divide(counts, np.asarray(images_with) * size, out=np.full(len(counts), np.nan), where=there)
    middle = float(np.median(frequency[there])) if there.any() else 1.0
    weights = np.where(there, middle / np.where(there, frequency, 1.0), 0.0)
    return _scaled(weights, pixels)


def effective_number_weights(pixels: Sequence[int], *, beta: float = 0.9999) -> torch.Tensor:
    """Class weights (1 − β) / (1 − β^n) with n samples of a class, scaled so that their mean over the pixels is 1.

    Neighbouring pixels say the same; a sample here is a thousand pixels, and a class that is there has one at least.
    (Cui et al. 2019, section 3.) The formula has no answer for a class that no training image holds: it has the weight
    of the rarest class that is there, so that images of validation which hold it do not outweigh all others.

    Args:
        pixels: training pixels of every class.

    >>> effective_number_weights([9_000_000, 1_000_000, 0]).numpy().round(2)
    array([0.66, 4.09, 4.09], dtype=float32)
    """
    counts = np.asarray(pixels, dtype=np.float64)
    there = counts > 0
    rarest = float(counts[there].min()) if there.any() else 1.0
    samples = np.maximum(np.where(there, counts, rarest) / 1000, 1.0)
    return _scaled((1 - beta) / -np.expm1(samples * np.log(beta)), pixels)


def _shares(pixels: Sequence[int]) -> npt.NDArray[np.float64]:
    counts = np.asarray(pixels, dtype=np.float64)
    return np.asarray(counts / max(1.0, counts.sum()))


def _scaled(weights: npt.NDArray[np.float64], pixels: Sequence[int]) -> torch.Tensor:
    mean = float((weights * _shares(pixels)).sum())
    return torch.tensor(weights / (mean or 1.0), dtype=torch.float32)
