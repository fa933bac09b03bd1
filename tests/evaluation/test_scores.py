"""Scores against closed forms, scikit-learn and torchmetrics."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from fullconv.errors import DataError
from fullconv.evaluation.scores import Scores, percent

NAMES = ("a", "b", "c", "d")

matrices = hnp.arrays(np.int64, (4, 4), elements=st.integers(0, 10**12))


def test_the_four_scores_worked_out_by_hand() -> None:
    scores = Scores.from_confusion([[50, 10, 0], [5, 30, 5], [0, 0, 0]], ["road", "sky", "car"])
    assert scores.pixel_accuracy == 80 / 100
    assert scores.mean_accuracy == pytest.approx((50 / 60 + 30 / 40) / 2)
    assert scores.iou.tolist() == pytest.approx([50 / 65, 30 / 50, 0.0])
    assert scores.mean_iou == pytest.approx((50 / 65 + 30 / 50 + 0) / 3)
    assert scores.frequency_weighted_iou == pytest.approx((60 * 50 / 65 + 40 * 30 / 50) / 100)
    assert scores.precision.tolist() == pytest.approx([50 / 55, 30 / 40, 0.0])
    assert scores.dice[:2].tolist() == pytest.approx([100 / 115, 60 / 80])
    assert scores.shares.tolist() == [0.6, 0.4, 0.0]


def test_a_class_that_never_occurs_and_is_never_predicted_is_left_out_of_the_means() -> None:
    scores = Scores.from_confusion([[8, 2, 0], [0, 10, 0], [0, 0, 0]], ["a", "b", "absent"])
    assert math.isnan(scores.iou[2])
    assert scores.mean_iou == pytest.approx((8 / 10 + 10 / 12) / 2)
    assert scores.mean_accuracy == pytest.approx((0.8 + 1.0) / 2)


def test_a_class_predicted_but_absent_counts_as_zero_in_the_mean_iou_and_not_in_the_mean_accuracy() -> None:
    scores = Scores.from_confusion([[8, 0, 2], [0, 10, 0], [0, 0, 0]], ["a", "b", "ghost"])
    assert scores.iou[2] == 0
    assert scores.mean_iou == pytest.approx((0.8 + 1.0 + 0) / 3)
    assert scores.mean_accuracy == pytest.approx((0.8 + 1.0) / 2)


def test_always_the_commonest_class_scores_its_share_and_its_share_over_the_classes() -> None:
    scores = Scores.from_confusion([[35, 0, 0], [40, 0, 0], [25, 0, 0]], ["building", "road", "sky"])
    assert scores.pixel_accuracy == 0.35
    assert scores.mean_iou == pytest.approx(0.35 / 3)


@given(hnp.arrays(np.int64, st.integers(2, 200), elements=st.integers(0, 3)), st.integers(0, 2**32 - 1))
def test_scores_equal_scikit_learn(truth: np.ndarray, seed: int) -> None:
    prediction = np.random.default_rng(seed).integers(0, 4, truth.shape)
    scores = Scores.from_confusion(metrics.confusion_matrix(truth, prediction, labels=range(4)), NAMES)
    assert scores.pixel_accuracy == pytest.approx(metrics.accuracy_score(truth, prediction))
    present = sorted({*truth, *prediction})
    assert scores.mean_iou == pytest.approx(metrics.jaccard_score(truth, prediction, labels=present, average="macro"))
    assert scores.mean_dice == pytest.approx(metrics.f1_score(truth, prediction, labels=present, average="macro"))
    occurring = sorted({*truth})
    recall = metrics.recall_score(truth, prediction, labels=occurring, average="macro")
    assert scores.mean_accuracy == pytest.approx(recall)
    weighted = metrics.jaccard_score(truth, prediction, labels=occurring, average="weighted")
    assert scores.frequency_weighted_iou == pytest.approx(weighted)


@given(matrices)
def test_scores_lie_between_zero_and_one_and_iou_is_the_smallest(counts: np.ndarray) -> None:
    scores = Scores.from_confusion(counts, NAMES)
    for values in (scores.iou, scores.accuracy, scores.precision, scores.dice):
        defined = values[~np.isnan(values)]
        assert ((defined >= 0) & (defined <= 1)).all()
    for values in (scores.accuracy, scores.precision, scores.dice):
        both = ~np.isnan(values) & ~np.isnan(scores.iou)
        assert (scores.iou[both] <= values[both] + 1e-12).all()


@given(matrices, st.permutations(range(4)))
def test_the_order_of_the_classes_does_not_matter(counts: np.ndarray, order: list[int]) -> None:
    one = Scores.from_confusion(counts, NAMES)
    other = Scores.from_confusion(counts[np.ix_(order, order)], [NAMES[index] for index in order])
    for name in ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), nan_ok=True)


@given(matrices)
def test_scores_survive_json(counts: np.ndarray) -> None:
    scores = Scores.from_confusion(counts, NAMES)
    text = json.dumps(scores.as_dict(), allow_nan=False)
    assert Scores.from_dict(json.loads(text)) == scores


def test_a_tensor_is_taken_as_it_comes_from_the_metric() -> None:
    assert Scores.from_confusion(torch.tensor([[3, 1], [0, 4]]), ["a", "b"]).pixel_accuracy == 7 / 8


def test_no_pixels_give_undefined_scores_without_a_warning() -> None:
    scores = Scores.from_confusion(np.zeros((2, 2), dtype=int), ["a", "b"])
    assert all(math.isnan(value) for value in (scores.pixel_accuracy, scores.mean_iou, scores.frequency_weighted_iou))
    assert scores.as_dict()["mean_iou"] is None
    assert "–" in str(scores)


def test_later_changes_of_the_matrix_do_not_change_the_scores() -> None:
    counts = np.array([[3, 1], [0, 4]])
    scores = Scores.from_confusion(counts, ["a", "b"])
    counts[:] = 0
    assert scores.pixel_accuracy == 7 / 8


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [([[1, 2]], "does not fit 2 class names"), ([[1]], "does not fit"), ([[1, -1], [0, 1]], "negative counts")],
)
def test_what_is_no_confusion_matrix_is_refused(matrix: list[list[int]], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        Scores.from_confusion(matrix, ["a", "b"])


def test_the_table_shows_names_as_they_are() -> None:
    text = str(Scores.from_confusion([[3, 1], [0, 4]], ["[red] car", "Straße"]))
    assert "[red] car" in text
    assert "Straße" in text
    assert "75.0 %" in text
    assert "pixel accuracy 87.5 %" in text


def test_percent_reads_as_people_write() -> None:
    assert [percent(value) for value in (1.0, 0.0, 0.12345, float("nan"))] == ["100.0 %", "0.0 %", "12.3 %", "–"]
