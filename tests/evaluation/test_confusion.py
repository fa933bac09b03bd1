"""Confusion counts against scikit-learn, against each other, and under distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import confusion_matrix
from torch import distributed, multiprocessing

from fullconv.errors import DataError
from fullconv.evaluation.confusion import ConfusionMatrix, count_confusion


def by_scikit_learn(truth: np.ndarray, prediction: np.ndarray, classes: int, ignore: int) -> np.ndarray:
    counted = truth != ignore
    if not counted.any():
        return np.zeros((classes, classes), dtype=np.int64)
    return confusion_matrix(truth[counted], prediction[counted], labels=range(classes))


@st.composite
def label_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, int]:
    classes = draw(st.integers(2, 300))
    ignore = 255 if classes <= 255 else 65535
    types = [np.int64, np.int32, np.uint16] + ([np.uint8] if classes <= 255 else [])
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=3, max_side=12))
    values = st.integers(0, classes - 1)
    truth = draw(hnp.arrays(draw(st.sampled_from(types)), shape, elements=values | st.just(ignore)))
    prediction = draw(hnp.arrays(draw(st.sampled_from(types)), shape, elements=values))
    return truth, prediction, classes, ignore


@settings(deadline=None)
@given(label_pairs())
def test_counts_equal_scikit_learn_in_numpy_and_torch(pair: tuple[np.ndarray, np.ndarray, int, int]) -> None:
    truth, prediction, classes, ignore = pair
    expected = by_scikit_learn(truth, prediction, classes, ignore)
    counted = count_confusion(truth, prediction, classes, ignore)
    assert counted.dtype == np.int64
    np.testing.assert_array_equal(counted, expected)
    tensors = count_confusion(torch.from_numpy(truth), torch.from_numpy(prediction), classes, ignore)
    assert tensors.dtype == torch.int64
    np.testing.assert_array_equal(tensors.numpy(), expected)


@settings(deadline=None)
@given(label_pairs(), st.integers(1, 11))
def test_counts_of_parts_add_up_to_the_count_of_the_whole(
    pair: tuple[np.ndarray, np.ndarray, int, int], cut: int
) -> None:
    truth, prediction, classes, ignore = pair
    parts = sum(
        count_confusion(truth[part], prediction[part], classes, ignore) for part in (slice(cut), slice(cut, None))
    )
    np.testing.assert_array_equal(parts, count_confusion(truth, prediction, classes, ignore))


def test_counts_worked_out_by_hand() -> None:
    truth = np.array([[0, 0, 0, 1], [1, 2, 255, 255]], dtype=np.uint8)
    prediction = np.array([[0, 0, 2, 1], [0, 2, 1, 0]], dtype=np.uint8)
    assert count_confusion(truth, prediction, 3).tolist() == [[2, 0, 1], [1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("ignore", [-1, -100, 254, 255])
def test_any_value_that_is_no_class_can_be_the_ignore_index(ignore: int) -> None:
    truth = np.array([0, 1, ignore], dtype=np.int64)
    prediction = np.array([0, 0, 1], dtype=np.int64)
    assert count_confusion(truth, prediction, 2, ignore).tolist() == [[1, 0], [1, 0]]
    assert count_confusion(torch.from_numpy(truth), torch.from_numpy(prediction), 2, ignore).tolist() == [
        [1, 0],
        [1, 0],
    ]


def test_the_prediction_may_hold_anything_where_the_truth_is_ignored() -> None:
    truth = np.array([255, 0], dtype=np.uint8)
    prediction = np.array([255, 0], dtype=np.uint8)
    assert count_confusion(truth, prediction, 2).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("library", [np.asarray, torch.tensor])
@pytest.mark.parametrize(
    ("truth", "prediction", "sentence"),
    [
        ([0, 7, 255], [0, 0, 0], "the truth holds 7 in 1 of its pixels, which is no class"),
        ([-1, 0, 0], [0, 0, 0], "the truth holds -1 in 1 of its pixels"),
        ([0, 1, 255], [0, 9, 9], "the prediction holds 9 in 1 of its pixels"),
        ([0, 1, 1], [0, -3, -3], "the prediction holds -3 in 2 of its pixels"),
        ([0, 1, 1], [0, 1], "the truth is 3 and the prediction 2"),
    ],
)
def test_values_that_are_no_class_are_named(
    library: type, truth: list[int], prediction: list[int], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        count_confusion(library(truth), library(prediction), 2)


def test_sixteen_bit_tensors_with_wrong_values_are_named_too() -> None:
    truth = torch.tensor([0, 400, 65535], dtype=torch.uint16)
    with pytest.raises(DataError, match="the truth holds 400"):
        count_confusion(truth, torch.zeros(3, dtype=torch.uint16), 300, 65535)


def test_a_class_cannot_be_the_ignore_index() -> None:
    with pytest.raises(DataError, match="the ignore index 1 is one of the 2 classes"):
        count_confusion(np.zeros(2, dtype=np.uint8), np.zeros(2, dtype=np.uint8), 2, 1)


def test_no_pixels_give_no_counts() -> None:
    empty = np.zeros((0, 4), dtype=np.uint8)
    assert count_confusion(empty, empty, 2).tolist() == [[0, 0], [0, 0]]


def test_the_metric_sums_batches_and_takes_labels_or_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = ConfusionMatrix(classes=5)
    truths, predictions = [], []
    for batch in range(3):
        scores = torch.randn(2, 5, 7, 9, generator=generator)
        truth = torch.randint(0, 5, (2, 7, 9), generator=generator)
        truth[:, 0] = 255
        matrix.update(scores if batch else scores.argmax(1), truth)
        truths.append(truth)
        predictions.append(scores.argmax(1))
    expected = by_scikit_learn(torch.cat(truths).numpy(), torch.cat(predictions).numpy(), 5, 255)
    np.testing.assert_array_equal(matrix.compute().numpy(), expected)
    matrix.reset()
    matrix.update(torch.tensor([1]), torch.tensor([0]))
    assert matrix.compute().sum() == matrix.compute()[0, 1] == 1


def test_the_metric_keeps_counts_beyond_the_exact_whole_numbers_of_float32() -> None:
    matrix = ConfusionMatrix(classes=2)
    matrix.counts += 2**40
    matrix.update(torch.tensor([0]), torch.tensor([0]))
    assert matrix.compute().tolist() == [[2**40 + 1, 2**40], [2**40, 2**40]]


def count_on_one_of_two(rank: int, rendezvous: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    matrix = ConfusionMatrix(classes=2)
    for _ in range(rank + 1):
        matrix.update(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 255]))
    assert matrix.compute().tolist() == [[3, 3], [0, 0]]
    distributed.destroy_process_group()


def test_processes_of_a_distributed_run_see_the_sum(tmp_path: object) -> None:
    multiprocessing.spawn(count_on_one_of_two, args=(f"{tmp_path}/rendezvous",), nprocs=2)
