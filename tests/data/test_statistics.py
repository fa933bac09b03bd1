"""Counts against a plain second count, pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from folders import COLORS, label, picture, write_set
from fullconv.data.channels import channel_sums, fit_channels, joint_channels
from fullconv.data.dataset import Dataset
from fullconv.data.statistics import commonest_baseline, mean_iou
from fullconv.errors import DataError
from fullconv.evaluation.ceiling import coarsened
from fullconv.evaluation.counting import count_confusion
from fullconv.evaluation.scores import Scores

SPLITS = {"train": 9, "val": 4, "test": 3}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.from_folders(write_set(tmp_path_factory.mktemp("set"), splits=SPLITS))


def test_pixels_and_images_per_class_are_those_of_the_files(dataset: Dataset):
    start = 0
    for split, count in SPLITS.items():
        labels = [label(number) for number in range(start, start + count)]
        start += count
        found = dataset.statistics.splits[split]
        assert found.images == count
        assert list(found.pixels.values()) == [sum(int((ids == k).sum()) for ids in labels) for k in range(4)]
        assert list(found.images_with.values()) == [sum(bool((ids == k).any()) for ids in labels) for k in range(4)]
        assert found.ignored_pixels == 0


def test_channel_mean_and_std_are_those_of_the_training_images(dataset: Dataset):
    pixels = np.concatenate([picture(number).reshape(-1, 3) for number in range(9)]) / 255
    assert dataset.statistics.channel_mean == pytest.approx(pixels.mean(axis=0), abs=1e-6)
    assert dataset.statistics.channel_std == pytest.approx(pixels.std(axis=0), abs=1e-6)


def test_commonest_class_is_scored_as_a_constant_prediction(dataset: Dataset):
    labels = np.concatenate([label(number).ravel() for number in range(16)])
    scores = Scores.from_confusion(count_confusion(labels, np.zeros_like(labels), 4), [*"abcd"])
    baseline = dataset.statistics.commonest
    assert baseline is not None
    assert baseline.name == "background"
    assert baseline.pixel_accuracy == pytest.approx(scores.pixel_accuracy)
    assert baseline.mean_iou == pytest.approx(scores.mean_iou)


def test_stride_ceiling_is_the_score_of_the_coarsened_labels(dataset: Dataset):
    for stride, ceiling in dataset.statistics.stride_ceiling.items():
        counts = sum(count_confusion(label(n), coarsened(label(n), stride), 4) for n in range(16))
        assert ceiling == pytest.approx(Scores.from_confusion(counts, [*"abcd"]).mean_iou, abs=1e-6)
    assert list(dataset.statistics.stride_ceiling) == [32, 16, 8, 4]


def test_sizes_are_counted_most_frequent_first(tmp_path: Path):
    root = write_set(tmp_path)
    for number in (0, 1):
        Image.fromarray(picture(number, (40, 20))).save(root / "images" / f"{number:03}.png")
        Image.fromarray(label(number, (40, 20))).save(root / "labels" / f"{number:03}.png")
    assert Dataset.from_folders(root).statistics.sizes == ((24, 32, 10), (40, 20, 2))


def test_ignored_pixels_count_in_no_class(tmp_path: Path):
    root = write_set(tmp_path)
    dataset = Dataset.from_folders(root, drop=["sky"])
    whole = sum(counts.ignored_pixels for counts in dataset.statistics.splits.values())
    assert whole == sum(int((label(number) == 2).sum()) for number in range(12))
    assert dataset.statistics.pixels().sum() + whole == 12 * 24 * 32


def test_a_class_that_never_occurs_is_left_out_of_means():
    assert mean_iou(np.array([3, 0]), np.array([4, 0]), np.array([4, 0])) == pytest.approx(3 / 5)
    assert np.isnan(mean_iou(np.zeros(2, int), np.zeros(2, int), np.zeros(2, int)))


def test_nothing_labelled_has_no_baseline():
    assert commonest_baseline(np.zeros(3, int), ["a", "b", "c"]) is None


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_channel_sums_are_on_the_scale_of_the_value_type(dtype: type, scale: float):
    image = np.random.default_rng(0).integers(0, 250, (5, 7, 4)).astype(dtype)
    values = image.reshape(-1, 4) / scale
    expected = np.stack([np.full(4, 35), values.sum(axis=0), (values**2).sum(axis=0)])
    assert channel_sums(image) == pytest.approx(expected, rel=1e-6)


def test_values_that_are_no_number_are_left_out_of_the_mean():
    image = np.array([[[np.nan], [2.0], [np.inf]]], dtype=np.float32)
    assert channel_sums(image).ravel().tolist() == [1, 2, 4]


def test_grey_is_repeated_and_alpha_left_out_in_mixed_sets():
    grey = np.array([[[7]]], dtype=np.uint8)
    assert fit_channels(grey, 3).tolist() == [[[7, 7, 7]]]
    assert fit_channels(np.array([[[1, 2, 3, 9]]]), 3).tolist() == [[[1, 2, 3]]]
    assert fit_channels(np.array([[[5, 9]]]), 3).tolist() == [[[5, 5, 5]]]
    with pytest.raises(DataError, match="6 channels"):
        fit_channels(np.zeros((1, 1, 6)), 3)


def test_sets_of_one_kind_keep_their_channels():
    assert joint_channels([4, 4]) == 4
    assert joint_channels([7]) == 7
    assert joint_channels([1, 4]) == 3
    assert joint_channels([1, 6]) is None


def test_colors_count_like_ids(tmp_path: Path, dataset: Dataset):
    colored = Dataset.from_folders(write_set(tmp_path, splits=SPLITS, kind="colors"))
    assert len(COLORS) == len(colored.classes)
    assert colored.statistics == dataset.statistics
