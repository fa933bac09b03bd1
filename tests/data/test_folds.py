"""Folds: every image held out once, groups together, statistics of what is trained on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fullconv.data.dataset import Dataset
from fullconv.data.folds import fold_of
from fullconv.errors import DataError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (root / name).mkdir()
    for patient in range(8):
        for scan in range(3):
            label = rng.integers(0, 3, (12, 10), dtype=np.uint8)
            label[0, 0] = 255
            Image.fromarray(rng.integers(0, 255, (12, 10, 3), dtype=np.uint8)).save(
                root / "images" / f"p{patient}_{scan:03}.png"
            )
            Image.fromarray(label).save(root / "labels" / f"p{patient}_{scan:03}.png")
    return Dataset.from_folders(root, split="60/20/20", name="scans")


def keys(data: Dataset, split: str) -> set[str]:
    return {sample.key for sample in data.split(split)}


def test_every_image_is_held_out_once_and_the_test_images_stay(data: Dataset) -> None:
    folds = [fold_of(data, number, 3) for number in (1, 2, 3)]
    held_out = [key for fold in folds for key in keys(fold, "val")]
    assert sorted(held_out) == sorted(keys(data, "train") | keys(data, "val"))
    for fold in folds:
        assert keys(fold, "test") == keys(data, "test")
        assert keys(fold, "train") == set(held_out) - keys(fold, "val")


def test_groups_stay_together(data: Dataset) -> None:
    for number in (1, 2, 3):
        fold = fold_of(data, number, 3)
        patients = [{key.split("/")[-1][:2] for key in keys(fold, split)} for split in ("train", "val")]
        assert not patients[0] & patients[1]


def test_a_pattern_says_what_stays_together(data: Dataset) -> None:
    fold = fold_of(data, 1, 3, group_by=r"_(\d+)$")
    scans = [{key[-3:] for key in keys(fold, split)} for split in ("train", "val")]
    assert len(scans[1]) == 1
    assert not scans[0] & scans[1]


def test_statistics_are_those_of_the_fold(data: Dataset) -> None:
    fold = fold_of(data, 2, 3)
    for split in ("train", "val"):
        labels = np.stack([fold.split(split).read(index)[1] for index in range(len(fold.split(split)))])
        found = fold.statistics.splits[split]
        assert found.images == len(labels)
        assert list(found.pixels.values()) == [int((labels == index).sum()) for index in range(3)]
        assert found.ignored_pixels == int((labels == 255).sum())
    assert fold.fingerprint != data.fingerprint


def test_folds_are_the_same_for_the_same_seed(data: Dataset) -> None:
    assert keys(fold_of(data, 1, 3, seed=4), "val") == keys(fold_of(data, 1, 3, seed=4), "val")


@pytest.mark.parametrize(
    ("number", "count", "words"),
    [(0, 3, "no fold 0 of 3"), (4, 3, "no fold 4 of 3"), (1, 9, "groups of images make no 9")],
)
def test_impossible_folds_are_refused(data: Dataset, number: int, count: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fold_of(data, number, count)
