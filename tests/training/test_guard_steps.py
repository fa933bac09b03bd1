"""What steps and data tell: pure functions of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from fullconv.data.samples import Batch
from fullconv.networks.normalization import Normalization
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.guard.data import different_classes, different_images, extreme, unusable
from fullconv.training.guard.steps import (
    RECENT,
    learning_rate_too_large,
    still_weights,
    zero_score_loss,
    zero_scores,
)
from fullconv.training.objective import Objective
from fullconv.training.settings.loss_settings import Loss
from fullconv.training.settings.regimes import WholeImage

TERMS = ["cross-entropy", "focal", "cross-entropy+focal", "cross-entropy+dice", "lovasz", "cross-entropy+lovasz"]
CAMVID_START = (
    [3.30054] * 9 + [3.27872] * 9 + [3.24201] * 9 + [3.18306] * 9 + [3.0953] * 10 + [2.95455] * 9
)  # with Lovász
COFFEE_START = [1.09201] * 6 + [1.05982] * 6 + [1.01224] * 6 + [0.939676] * 6 + [0.851547] * 6 + [0.7] * 25
SCENES_START = [2.30462] * 31 + [1.7895] * 31


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("change", [{}, {"reduction": "sum"}, {"denominator": "pixels"}, {"label_smoothing": 0.1}])
def test_the_loss_of_zero_scores_is_what_the_objective_gives(terms: str, change: dict[str, object]) -> None:
    if "label_smoothing" in change and "cross-entropy" not in terms:
        pytest.skip("smoothing is cross-entropy's")
    loss = Loss.model_validate({"terms": terms} | change)
    objective = Objective(
        loss,
        WholeImage(),
        ScoreGrid.of(torch.nn.Conv2d(3, 5, 1)),
        classes=5,
        ignore=255,
        weights=torch.arange(1.0, 6.0),
    )
    expected = zero_score_loss(loss, 5)
    if expected is None:
        assert change in ({"reduction": "sum"}, {"denominator": "pixels"}) or "dice" in terms
        return
    for seed in range(3):
        labels = torch.randint(5, (2, 6, 7), generator=torch.Generator().manual_seed(seed))
        labels[0, :2] = 255
        found = objective.part(torch.zeros(2, 5, 6, 7), labels).loss
        assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("classes", "losses", "terms"),
    [
        (11, CAMVID_START, "cross-entropy+lovasz"),
        (3, COFFEE_START, "cross-entropy"),
        (11, SCENES_START, "cross-entropy"),
    ],
)
def test_healthy_runs_leave_the_loss_of_zero_scores_in_time(classes: int, losses: list[float], terms: str) -> None:
    expected = zero_score_loss(Loss(terms=terms), classes)
    for count in range(len(losses) + 1):
        assert zero_scores(losses[:count], expected, classes=classes, rate=1e-3) is None


def test_a_loss_that_stays_at_ln_classes_is_told() -> None:
    found = zero_scores([3.0445] * RECENT, math.log(21), classes=21, rate=1e-12)
    assert found is not None
    assert found.kind == "zero-scores"
    assert "3.0445" in found.sentence
    assert zero_scores([3.0445] * (RECENT - 1), math.log(21), classes=21, rate=1e-12) is None
    assert zero_scores([3.0445] * RECENT, None, classes=21, rate=1e-12) is None


@pytest.mark.parametrize(
    ("moved", "losses", "rate", "cause"),
    [
        (1e-9, [1.0], 1e-12, "the learning rate (1.0e-12) is too small"),
        (0.0, [1.0], 1e-3, "no gradient reaches them"),
        (0.0, [0.0, 0.0], 1e-3, "no labelled pixel counts"),
    ],
)
def test_still_weights_have_a_cause(moved: float, losses: list[float], rate: float, cause: str) -> None:
    found = still_weights(moved, steps=50, losses=losses, rate=rate)
    assert found is not None
    assert cause in found.cause
    assert still_weights(moved, steps=5, losses=losses, rate=rate) is None
    assert still_weights(1e-3, steps=50, losses=losses, rate=rate) is None


def test_a_lost_number_is_blamed_on_the_learning_rate_with_the_growth_before_it() -> None:
    found = learning_rate_too_large("the loss became nan", [0.5, 0.6, 8.0, 9.0, 10.0], rate=0.2, again="redo at")
    assert "the loss became nan, after the loss had grown from 0.5 to 9" in found.sentence
    assert "`redo at 0.02`" in found.remedy


def batch(images: torch.Tensor, labels: torch.Tensor) -> Batch:
    count = len(images)
    return Batch(images, labels, None, torch.arange(count) + 10, torch.zeros(count))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int64])
def test_a_label_that_is_no_class_is_found_by_its_image(dtype: torch.dtype) -> None:
    images = torch.zeros(3, 3, 4, 5)
    labels = torch.zeros(3, 4, 5, dtype=torch.int64)
    labels[0, 0] = 255
    assert unusable(batch(images, labels.to(dtype)), classes=4, ignore=255) is None
    labels[2, 3, 4] = 4
    assert unusable(batch(images, labels.to(dtype)), classes=4, ignore=255) == (
        12,
        "its label holds 4, which is no class",
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_pixel_that_is_no_number_is_found_by_its_image(value: float) -> None:
    images = torch.zeros(3, 3, 4, 5)
    images[1, 2, 3, 4] = value
    found = unusable(batch(images, torch.zeros(3, 4, 5, dtype=torch.uint8)), classes=4, ignore=255)
    assert found == (11, "it holds pixels that are not a number or infinite")


def test_an_extreme_pixel_is_measured_in_deviations_of_its_band() -> None:
    normalization = Normalization(scale=1.0, mean=(0.0, 10.0), std=(1.0, 0.1))
    images = torch.zeros(2, 2, 3, 3)
    images[:, 1] = 10
    assert extreme(batch(images, torch.zeros(2, 3, 3)), normalization) is None
    images[0, 0, 1, 1] = -900
    images[1, 1, 2, 2] = 210
    found = extreme(batch(images, torch.zeros(2, 3, 3)), normalization)
    assert found == (11, 210.0, pytest.approx(2000))


def test_splits_of_other_class_shares_are_told() -> None:
    names = ("road", "sky", "car")
    many: dict[str, Any] = {"images": 20, "val_images_with": (20, 20, 20)}
    assert different_classes(names, (0.5, 0.4, 0.1), (0.4, 0.4, 0.2), **many) is None
    moved = (names, (0.9, 0.05, 0.05), (0.2, 0.75, 0.05))
    found = different_classes(*moved, **many)
    assert different_classes(*moved, **many | {"images": 3}) is None  # too few to tell
    assert found is not None
    assert "5.0% of the training pixels and 75.0%" in found.sentence or "90.0% of the training" in found.sentence
    unseen = different_classes(names, (0.6, 0.4, 0.0), (0.5, 0.4, 0.1), **many)
    assert unseen is not None
    assert unseen.sentence.endswith("that no training label holds: car")
    assert "another place" in unseen.cause


def test_a_class_of_one_image_says_nothing_of_where_the_splits_come_from() -> None:
    names = ("road", "sky", "car")
    found = different_classes(names, (0.6, 0.4, 0.0), (0.5, 0.4, 0.1), images=3, val_images_with=(3, 3, 1))
    assert found is not None
    assert found.sentence.endswith("that no training label holds: car")
    assert found.cause == "so few images show them that none was left for training"
    assert "split again" not in found.remedy


def test_splits_of_other_brightness_are_told() -> None:
    rng = np.random.default_rng(0)
    train = rng.normal(105, 33, (60, 3))  # as CamVid's training images, whose pixels spread by 78
    std = [78.0] * 3
    assert different_images(train, rng.normal(80, 33, (60, 3)), std) is None
    assert different_images(train, rng.normal(105, 33, (3, 3)) + 200, std) is None  # too few to tell
    found = different_images(train, rng.normal((105, 105, 205), 33, (60, 3)), std)
    assert found is not None
    assert "band 3" in found.sentence
    alike = rng.normal(105, 0.5, (60, 3))
    assert different_images(alike, alike + 5, std) is None  # far beyond their small spread, and yet nothing
