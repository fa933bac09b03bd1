"""Images of several value types, of small floats and with values that are no numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from folders import label, picture, write_set
from fullconv.data.cache import prepared_samples
from fullconv.data.dataset import Dataset
from fullconv.errors import DataError


def test_one_16_bit_image_among_8_bit_ones_is_read_and_prepared_as_the_same_picture(tmp_path: Path):
    root = write_set(tmp_path / "set")
    plain = Dataset.from_folders(root)
    (root / "images" / "003.png").unlink()
    tifffile.imwrite(root / "images" / "003.tif", picture(3).astype(np.uint16) * 257, photometric="rgb")
    dataset = Dataset.from_folders(root)
    assert dataset.dtype == "uint16"
    assert dataset.statistics == plain.statistics
    assert [problem.severity for problem in dataset.problems if problem.kind == "mixed-value-types"] == ["warning"]
    prepared = prepared_samples(dataset, tmp_path / "cache", sizes=dataset.sizes, itemsize=7)
    assert prepared is not None
    for number in range(12):
        assert dataset[number][0].dtype == np.uint16
        np.testing.assert_array_equal(dataset[number][0], picture(number).astype(np.uint16) * 257)
        np.testing.assert_array_equal(prepared.read(number)[0], dataset[number][0])


class Mixed:
    """A source that breaks its promise of one value type."""

    fingerprint = "mixed"

    def __len__(self) -> int:
        return 2

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((4, 4, 3), [np.uint8, np.uint16][index]), np.zeros((4, 4), np.uint8)


def test_prepared_samples_never_mix_value_types(tmp_path: Path):
    with pytest.raises(DataError, match=r"sample 1 has 3 channels of uint16.*uint8"):
        prepared_samples(Mixed(), tmp_path / "cache", sizes=[(4, 4)] * 2, itemsize=7)
    assert not list((tmp_path / "cache").glob("*/index.json"))


def float_set(root: Path, change: Callable[[int, np.ndarray], None] = lambda number, image: None) -> Path:
    """Images of three float bands between 0 and 1."""
    write_set(root)
    for number in range(12):
        image = picture(number).astype(np.float32) / 255
        change(number, image)
        (root / "images" / f"{number:03}.png").unlink()
        tifffile.imwrite(root / "images" / f"{number:03}.tif", image, photometric="rgb")
    return root


def test_float_images_among_integers_are_refused(tmp_path: Path):
    root = write_set(tmp_path)
    (root / "images" / "003.png").unlink()
    tifffile.imwrite(root / "images" / "003.tif", picture(3).astype(np.float32), photometric="rgb")
    with pytest.raises(DataError, match=r"003\.tif: .*11 uint8, 1 float32.*no scale in common"):
        Dataset.from_folders(root)


def test_pixels_that_are_not_a_number_are_zero_and_ignored(tmp_path: Path):
    def nodata(number: int, image: np.ndarray) -> None:
        if number in (3, 5):
            image[2, 4:6] = np.nan
            image[7, 1, 0] = np.inf

    dataset = Dataset.from_folders(float_set(tmp_path, nodata))
    problem = next(problem for problem in dataset.problems if problem.kind == "not-a-number")
    assert (problem.severity, problem.count, problem.where) == ("warning", 2, "images/003.tif")
    assert "6 pixels in 2 images" in problem.message
    index = next(index for index, sample in enumerate(dataset) if sample.key.endswith("003"))
    image, ids = dataset[index]
    expected, expected_ids = picture(3).astype(np.float32) / 255, label(3)
    expected[2, 4:6], expected[7, 1, 0] = 0, 0
    expected_ids[2, 4:6], expected_ids[7, 1] = 255, 255
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(ids, expected_ids)
    assert sum(counts.ignored_pixels for counts in dataset.statistics.splits.values()) == 6
    assert np.isfinite(dataset.statistics.channel_mean).all()


def test_small_float_values_keep_their_statistics(tmp_path: Path):
    def shrink(number: int, image: np.ndarray) -> None:
        image *= 1e-7

    small = Dataset.from_folders(float_set(tmp_path / "small", shrink)).statistics
    large = Dataset.from_folders(float_set(tmp_path / "large")).statistics
    assert small.channel_mean == pytest.approx(np.array(large.channel_mean) * 1e-7, rel=1e-5, abs=0)
    assert small.channel_std == pytest.approx(np.array(large.channel_std) * 1e-7, rel=1e-5, abs=0)
