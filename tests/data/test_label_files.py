"""What a label file says beyond its codes is never dropped in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fullconv.data.images import read_stored
from fullconv.data.label_files import color_codes, count_cores, level_codes, survey_label
from fullconv.errors import DataError

RED = np.zeros((4, 6, 4), dtype=np.uint8)
RED[:, 3:, 0] = 255


def with_alpha(path: Path, alpha: object) -> Path:
    colors = RED.copy()
    colors[:, :, 3] = alpha
    Image.fromarray(colors).save(path)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_more_than_four_bands_are_refused(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 6, 7), dtype=dtype), photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match=r"a.tif: has 7 bands, and nothing tells which"):
        survey_label(path)


@pytest.mark.parametrize("alpha", [0, 200, 255, [0, 0, 0, 255, 255, 255]])
def test_alpha_that_tells_nothing_new_is_left_out(tmp_path: Path, alpha: object) -> None:
    assert survey_label(with_alpha(tmp_path / "a.png", alpha)).codes.tolist() == [0, 0xFF0000]


@pytest.mark.parametrize("alpha", [[0, 255, 255, 255, 255, 255], [1, 2, 3, 255, 255, 255]])
def test_alpha_that_tells_pixels_of_one_colour_apart_is_refused(tmp_path: Path, alpha: object) -> None:
    path = with_alpha(tmp_path / "a.png", alpha)
    with pytest.raises(DataError, match=r"alpha channel that tells pixels of the colour \(0, 0, 0\) apart"):
        color_codes(read_stored(path), path)


def test_alpha_of_grey_labels_is_looked_at_too(tmp_path: Path) -> None:
    grey = np.array([[[1, 255], [1, 0], [2, 255]]] * 2, dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.merge("LA", [Image.fromarray(grey[:, :, band]) for band in range(2)]).save(path)
    with pytest.raises(DataError, match="pixels of the level 1 apart"):
        level_codes(read_stored(path), path)


def test_cores_agree_with_a_plain_count() -> None:
    label = np.random.default_rng(0).integers(0, 3, (12, 9)).repeat(3, axis=0).repeat(2, axis=1)
    expected = {0: 0, 1: 0, 2: 0}
    for row in range(1, label.shape[0] - 1):
        for column in range(1, label.shape[1] - 1):
            own = label[row, column]
            around = (label[row - 1, column], label[row + 1, column], label[row, column - 1], label[row, column + 1])
            expected[int(own)] += all(other == own for other in around)
    label[0, 0] = 9
    assert count_cores(label, np.array([0, 1, 2, 9])).tolist() == [expected[0], expected[1], expected[2], 0]
