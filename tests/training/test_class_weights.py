"""Class weights against their papers' formulas, worked out by hand."""

from __future__ import annotations

import math
import statistics

import pytest
import torch

from fullconv.errors import PlanError
from fullconv.training.settings.class_weights import class_weights

NAMES = ("road", "car", "sign", "tram")
PIXELS = (700_000, 200_000, 99_000, 1_000)
IMAGES_WITH = (10, 8, 5, 1)
SIZE = 100_000.0


def scaled(weights: list[float], pixels: tuple[int, ...] = PIXELS) -> list[float]:
    """So that the mean over the pixels is 1."""
    mean = sum(w * n for w, n in zip(weights, pixels, strict=True)) / sum(pixels)
    return [weight / mean for weight in weights]


def made(weighting, pixels: tuple[int, ...] = PIXELS, images_with: tuple[int, ...] = IMAGES_WITH) -> torch.Tensor:
    weights = class_weights(weighting, NAMES[: len(pixels)], pixels, images_with, SIZE)
    assert weights is not None
    assert weights.dtype == torch.float32
    return weights


def test_inverse_log_is_enets() -> None:
    expected = scaled([1 / math.log(1.02 + count / sum(PIXELS)) for count in PIXELS])
    assert made("inverse-log").tolist() == pytest.approx(expected)


def test_median_frequency_is_eigens() -> None:
    frequency = [count / (images * SIZE) for count, images in zip(PIXELS, IMAGES_WITH, strict=True)]
    expected = scaled([statistics.median(frequency) / value for value in frequency])
    assert made("median-frequency").tolist() == pytest.approx(expected)


def test_effective_number_is_cuis_with_thousands_of_pixels_for_samples() -> None:
    expected = scaled([(1 - 0.9999) / (1 - 0.9999 ** (count / 1000)) for count in PIXELS])
    assert made("effective-number").tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rule", ["inverse-log", "median-frequency", "effective-number"])
def test_a_rarer_class_weighs_more_and_the_mean_is_one(rule: str) -> None:
    weights = made(rule, images_with=(10, 10, 10, 10)).tolist()
    assert weights == sorted(weights)
    assert len(set(weights)) == 4
    assert sum(w * n for w, n in zip(weights, PIXELS, strict=True)) / sum(PIXELS) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("rule", ["inverse-log", "median-frequency", "effective-number"])
@pytest.mark.parametrize("pixels", [(5, 0, 0, 0), (0, 0, 0, 0), (900, 100, 0, 1)])
def test_classes_without_pixels_leave_finite_weights(rule: str, pixels: tuple[int, ...]) -> None:
    weights = made(rule, pixels, tuple(int(count > 0) for count in pixels))
    assert weights.isfinite().all()
    assert (weights >= 0).all()


@pytest.mark.parametrize("pixels", [(700_000, 200_000, 0, 50_000), (700_000, 200_000, 0, 3)])
def test_a_class_that_no_training_image_holds_weighs_what_the_rarest_does(pixels: tuple[int, ...]) -> None:
    weights = made("effective-number", pixels)
    assert weights[2] == weights[3] == weights.max()
    # A class of a few pixels is one sample, and not a thousandth of one.
    assert weights[3] <= weights[1] * 201


def test_given_factors_stay_as_they_are() -> None:
    assert made({"car": 3.0, "tram": 0.0}).tolist() == [1, 3, 1, 0]
    assert class_weights("none", NAMES, PIXELS, IMAGES_WITH, SIZE) is None


@pytest.mark.parametrize(
    ("factors", "word"),
    [
        ({"lorry": 2.0}, "there is no class 'lorry'; name one of road, car, sign, tram"),
        ({"car": -1.0}, "0 or more"),
        (dict.fromkeys(NAMES, 0.0), "one at least above 0"),
    ],
)
def test_factors_that_make_no_sense_are_refused(factors: dict[str, float], word: str) -> None:
    with pytest.raises(PlanError, match=word):
        made(factors)
