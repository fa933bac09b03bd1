"""The stride ceiling against torch's bilinear upsampling, by hand, and on CamVid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from torch.nn import functional

from fullconv.evaluation.ceiling import ceiling_counts, coarsened
from fullconv.evaluation.scores import Scores

CLASSES = 5


def by_torch(label: np.ndarray, stride: int) -> np.ndarray:
    """Cells by a plain loop, scores by one-hot planes, upsampling by torch."""
    height, width = label.shape
    centre = (stride - 1) / 2
    coarse = np.zeros((1, CLASSES, -(-height // stride), -(-width // stride)))
    for row in range(coarse.shape[2]):
        for column in range(coarse.shape[3]):
            cell = label[row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
            found = [
                ((y - centre) ** 2 + (x - centre) ** 2, y, x) for y, x in np.ndindex(cell.shape) if cell[y, x] != 255
            ]
            if found:
                _, y, x = min(found)
                coarse[0, cell[y, x], row, column] = 1
    upsampled = functional.interpolate(
        torch.from_numpy(coarse), scale_factor=stride, mode="bilinear", align_corners=False
    )
    return upsampled[0, :, :height, :width].numpy()


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, CLASSES - 1)),
    st.sampled_from([2, 4, 8, 16, 32]),
)
def test_even_strides_equal_the_argmax_of_bilinear_one_hot_scores(label: np.ndarray, stride: int) -> None:
    np.testing.assert_array_equal(coarsened(label, stride), by_torch(label, stride).argmax(axis=0))


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
        elements=st.sampled_from([*range(CLASSES), 255, 255, 255]),
    ),
    st.sampled_from([2, 3, 5, 8, 32]),
)
def test_ignored_pixels_have_no_vote_and_the_winner_is_a_best_class(label: np.ndarray, stride: int) -> None:
    scores = by_torch(label, stride)
    result = coarsened(label, stride)
    counted = label != 255
    assert (result[counted] < CLASSES).all()
    rows, columns = np.nonzero(counted)
    chosen = scores[result[counted], rows, columns]
    np.testing.assert_allclose(chosen, scores.max(axis=0)[counted], atol=1e-9)


def test_a_thin_line_between_the_sampled_columns_is_lost_and_a_sampled_one_grows() -> None:
    lost = np.zeros((16, 16), dtype=np.uint8)
    lost[:, 7] = 1
    assert ceiling_counts(lost, 8, 2).tolist() == [[240, 0], [16, 0]]
    grown = np.zeros((16, 16), dtype=np.uint8)
    grown[:, 3] = 1
    # Cell 0 is "line" up to half way to the centre of cell 1: columns 0 to 7.
    assert ceiling_counts(grown, 8, 2).tolist() == [[128, 112], [0, 16]]


def test_halves_on_the_cell_border_lose_nothing() -> None:
    label = np.zeros((64, 96), dtype=np.uint8)
    label[:, 64:] = 1
    for stride in (4, 8, 16, 32):
        assert ceiling_counts(label, stride, 2).tolist() == [[64 * 64, 0], [0, 64 * 32]]


@given(hnp.arrays(np.uint8, (9, 11), elements=st.sampled_from([0, 1, 2, 255])))
def test_stride_one_is_perfect_and_every_counted_pixel_is_counted(label: np.ndarray) -> None:
    perfect = ceiling_counts(label, 1, 3)
    assert perfect.sum() == np.trace(perfect) == (label != 255).sum()
    assert ceiling_counts(label, 4, 3).sum(axis=1).tolist() == perfect.sum(axis=1).tolist()


def test_an_image_of_ignored_pixels_counts_nothing() -> None:
    assert ceiling_counts(np.full((20, 20), 255, dtype=np.uint8), 8, 2).sum() == 0


def test_more_than_255_classes() -> None:
    label = np.repeat(np.arange(300, dtype=np.uint16), 8)[None].repeat(8, axis=0)
    assert np.trace(ceiling_counts(label, 8, 300, 65535)) == 300 * 64


@pytest.mark.realdata
def test_camvid_falls_with_the_stride_as_thin_classes_vanish(shared: Path) -> None:
    totals = {stride: np.zeros((11, 11), dtype=np.int64) for stride in (4, 8, 16, 32)}
    for file in sorted((shared / "data/camvid/val/labels").glob("*.png"))[::4]:
        label = np.array(Image.open(file))
        label[label == 11] = 255
        for stride, counts in totals.items():
            counts += ceiling_counts(label, stride, 11)
    names = [str(index) for index in range(11)]
    scores = {stride: Scores.from_confusion(counts, names) for stride, counts in totals.items()}
    assert 0.82 < scores[4].mean_iou < 0.95
    assert scores[4].mean_iou > scores[8].mean_iou > scores[16].mean_iou > scores[32].mean_iou > 0.4
    pole, road = 2, 3
    assert scores[32].iou[pole] < 0.2
    assert scores[32].iou[road] > 0.9
