"""What validations tell, on courses made up for each trouble and on those of healthy runs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

import healthy_runs
from fullconv.training.guard.finding import Finding, Kind
from fullconv.training.guard.scores import Course, Facts, SplitScores, Validation, findings, overfitting

CAMVID_SHARES = (
    (0.175, 0.242, 0.010, 0.330, 0.047, 0.101, 0.012, 0.012, 0.061, 0.007, 0.003),
    (0.093, 0.264, 0.006, 0.295, 0.089, 0.166, 0.009, 0.031, 0.018, 0.007, 0.023),
)
COFFEE_SHARES = ((0.647, 0.346, 0.007), (0.663, 0.321, 0.016))
SCENES_SHARES = ((0.176, 0.317, 0.256, 0.060, 0.025, 0.068, 0.023, 0.047, 0.006, 0.010, 0.012),) * 2


def facts(
    train: tuple[float, ...] = (0.5, 0.3, 0.2), val: tuple[float, ...] | None = None, *, transferred: bool = True
) -> Facts:
    names = tuple("abcdefghijk"[: len(train)])
    return Facts(names, train, val or train, steps=1000, transferred=transferred)


def course(
    about: Facts,
    train: list[tuple[float, float]],
    val: list[tuple[float, float]],
    *,
    predicted: tuple[float, ...] = (0.4, 0.3, 0.3),
    in_training: tuple[float, ...] = (0.4, 0.3, 0.3),
    losses: list[float] | None = None,
) -> Course:
    """Evenly spaced validations until the end of the run, from pairs of pixel accuracy and mean IoU."""
    every = about.steps // len(val)
    return Course(
        about,
        tuple(
            Validation(
                every * (index + 1),
                SplitScores(1 / (index + 1), *of_train),
                SplitScores(losses[index] if losses else 0.5, *of_val),
                predicted,
                in_training,
            )
            for index, (of_train, of_val) in enumerate(zip(train, val, strict=True))
        ),
    )


def kinds(found: list[Finding]) -> list[str]:
    return [finding.kind for finding in found]


@pytest.mark.parametrize(
    ("table", "shares", "steps", "transferred", "ceiling"),
    [
        (healthy_runs.CAMVID, CAMVID_SHARES, 2760, True, 0.883),
        (healthy_runs.COFFEE, COFFEE_SHARES, 1440, False, 0.966),
        (healthy_runs.SCENES, SCENES_SHARES, 1580, False, 1.0),
    ],
)
def test_nothing_is_said_of_healthy_runs(
    table: str, shares: tuple[tuple[float, ...], ...], steps: int, transferred: bool, ceiling: float
) -> None:
    train_shares, val_shares = shares
    about = Facts(tuple("abcdefghijk"[: len(val_shares)]), train_shares, val_shares, steps, transferred, ceiling)
    validations: list[Validation] = []
    for line in table.split("\n"):
        if not line:
            continue
        step, *scores, lost = (float(cell) for cell in line.split())
        # The worst that the table allows: classes without a right pixel, the rarest first, were never predicted.
        order = sorted(range(len(val_shares)), key=lambda index: val_shares[index])
        predicted = [0.0 if index in order[: int(lost)] else share for index, share in enumerate(val_shares)]
        one = Validation(
            int(step), SplitScores(*scores[:3]), SplitScores(*scores[3:]), tuple(predicted), tuple(val_shares)
        )
        validations.append(one)
        assert findings(Course(about, tuple(validations))) == [], step
    assert len(validations) >= 10
    assert validations[-1].step == steps


def test_output_of_one_class_names_the_class_and_its_share() -> None:
    stuck = course(facts(), [(0.5, 0.17)] * 4, [(0.5, 0.17)] * 4, predicted=(1, 0, 0), in_training=(1, 0, 0))
    (found,) = findings(stuck)
    assert found.kind == "one-class"
    assert "the class a, whose share of the labels is 50.0%" in found.sentence


@pytest.mark.parametrize(
    ("about", "in_training", "cause"),
    [
        (facts(), (0.4, 0.3, 0.3), "batch norm"),
        (facts((0.97, 0.02, 0.01)), (1, 0, 0), "so rare"),
        (facts(transferred=False), (1, 0, 0), "random weights"),
        (facts(), (1, 0, 0), "learning rate"),
    ],
)
def test_the_cause_of_one_class_depends_on_the_run(about: Facts, in_training: tuple[float, ...], cause: str) -> None:
    accuracy = about.val_shares[0]
    scores = [(accuracy, accuracy / 3)] * 4
    (found,) = findings(course(about, scores, scores, predicted=(1, 0, 0), in_training=in_training))
    assert cause in found.cause


def test_one_early_validation_of_one_class_is_no_alarm() -> None:
    scores = [(0.5, 0.17)] * 10
    stuck = course(facts(), scores, scores, predicted=(1, 0, 0))
    assert findings(Course(stuck.facts, stuck.validations[:1])) == []
    assert kinds(findings(Course(stuck.facts, stuck.validations[:2]))) == ["one-class"]


def test_labels_of_one_class_are_no_alarm() -> None:
    scores = [(1.0, 1.0)] * 3
    assert findings(course(facts((1.0, 0.0)), scores, scores, predicted=(1, 0), in_training=(1, 0))) == []


def test_a_plateau_at_the_commonest_class_is_told_from_slow_progress() -> None:
    scores = [(0.51, 0.18)] * 4
    (found,) = findings(course(facts(), scores, scores))
    assert found.kind == "commonest-plateau"
    assert "stays at 51.0%; always saying a scores 50.0%" in found.sentence
    rising = [(0.51, 0.18), (0.55, 0.25), (0.6, 0.3), (0.62, 0.35)]
    assert "commonest-plateau" not in kinds(findings(course(facts(), rising, rising)))


def test_imbalance_alone_is_no_plateau() -> None:
    about = facts((0.97, 0.02, 0.01))
    scores = [(0.975, 0.6), (0.978, 0.65), (0.98, 0.7), (0.98, 0.71)]
    assert findings(course(about, scores, scores)) == []


@pytest.mark.parametrize(
    ("transferred", "first"), [(False, "1. weights trained elsewhere"), (True, "1. a larger learn")]
)
def test_underfitting_gives_the_remedies_in_order(transferred: bool, first: str) -> None:
    scores = [(0.6, 0.3), (0.6, 0.33), (0.62, 0.35), (0.62, 0.36), (0.63, 0.36)]
    (found,) = findings(course(facts(transferred=transferred), scores, scores))
    assert found.kind == "underfitting"
    assert found.remedy.startswith(first)
    places = [found.remedy.index(word) for word in ("learning rate", "larger network", "more epochs")]
    assert places == sorted(places)


def test_low_scores_early_in_a_run_are_no_underfitting() -> None:
    scores = [(0.6, 0.3), (0.6, 0.33), (0.62, 0.35), (0.62, 0.36), (0.63, 0.36)]
    whole = course(facts(), scores, scores)
    assert findings(Course(whole.facts, whole.validations[:3])) == []


TRAIN_RISES = [(0.8, value) for value in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92)]


def test_overfitting_is_training_far_above_a_falling_validation() -> None:
    falls = [(0.7, value) for value in (0.45, 0.55, 0.6, 0.58, 0.56, 0.54, 0.53, 0.52)]
    (found,) = findings(course(facts(), TRAIN_RISES, falls))
    assert found.kind == "overfitting"
    assert "0.87 on the training images and 0.54 on the validation images, where it was 0.60" in found.sentence
    assert "more images" in found.remedy


def test_a_rising_validation_loss_counts_as_falling() -> None:
    flat = [(0.7, 0.6)] * 8
    growing = [0.5, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert kinds(findings(course(facts(), TRAIN_RISES, flat, losses=growing))) == ["overfitting"]
    assert overfitting(course(facts(), TRAIN_RISES, flat)) is None


def test_a_gap_alone_is_no_overfitting() -> None:
    rises = [(0.7, value) for value in (0.4, 0.5, 0.58, 0.6, 0.62, 0.63, 0.64, 0.65)]
    assert findings(course(facts(), TRAIN_RISES, rises)) == []


def test_validation_that_was_never_good_is_of_another_kind() -> None:
    poor = [(0.5, value) for value in (0.2, 0.25, 0.3, 0.28, 0.3, 0.29, 0.3, 0.3)]
    assert kinds(findings(course(facts(), TRAIN_RISES, poor))) == ["other-distribution"]
    once_good = [*poor[:3], (0.8, 0.7), *poor[4:]]
    assert "other-distribution" not in kinds(findings(course(facts(), TRAIN_RISES, once_good)))


@pytest.mark.parametrize(
    ("about", "predicted", "expected"),
    [
        (facts(), (0.7, 0.3, 0.0), ["never-predicted"]),
        (facts((0.5, 0.5, 0.0)), (0.7, 0.3, 0.0), []),  # neither split holds the class
        (facts((0.5, 0.3, 0.2), (0.6, 0.4, 0.0)), (0.7, 0.3, 0.0), []),  # rightly never, on these images
    ],
)
def test_a_class_is_missed_where_both_splits_hold_it(
    about: Facts, predicted: tuple[float, ...], expected: list[str]
) -> None:
    scores = [(0.8, 0.6)] * 4
    found = findings(course(about, scores, scores, predicted=predicted))
    assert kinds(found) == expected
    assert all("c (20.0%)" in finding.sentence for finding in found)


def test_missing_classes_are_no_alarm_in_the_first_half() -> None:
    scores = [(0.8, 0.6)] * 10
    whole = course(facts(), scores, scores, predicted=(0.7, 0.3, 0.0))
    said = [bool(findings(Course(whole.facts, whole.validations[:count]))) for count in range(1, 11)]
    assert said == [False] * 4 + [True] * 6


@pytest.mark.parametrize("check", [findings, overfitting])
def test_undefined_scores_are_no_alarm(check: Callable[[Course], list[Finding] | Finding | None]) -> None:
    nothing = [(math.nan, math.nan)] * 6
    assert not check(course(facts(), nothing, nothing))


def test_every_kind_is_explained() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "guard.md"
    listed = re.findall(r"^\| `([a-z-]+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == list(get_args(Kind))
