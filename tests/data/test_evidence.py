"""Values that smooth edges leave are told from classes, code by code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from folders import COLORS, picture
from fullconv.data.scan import Scan, scan
from fullconv.errors import DataError

SIZE = (96, 128)


def discs(number: int, classes: int = 2, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W) uint8 ids: a disc of each class on background."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[: size[0], : size[1]]
    ids = np.zeros(size, dtype=np.uint8)
    for value in range(1, classes):
        row, column = random.uniform(0.2, 0.8, 2) * size
        ids[(rows - row) ** 2 + (columns - column) ** 2 < (size[0] / 6) ** 2] = value
    return ids


def outlined(inner: int, line: int, outer: int = 0) -> list[np.ndarray]:
    """Discs of one level on another, with a line of one pixel between them."""
    labels = []
    for number in range(4):
        ids = discs(number)
        edge = (ids == 1) & ((np.roll(ids, 1, 0) == 0) | (np.roll(ids, 1, 1) == 0) | (np.roll(ids, -1, 1) == 0))
        labels.append(np.where(edge, line, np.where(ids == 1, inner, outer)).astype(np.uint8))
    return labels


def halved(array: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(array).resize((SIZE[1] // 2, SIZE[0] // 2), Image.Resampling.BOX))


def found(root: Path, labels: list[np.ndarray], classes: str = "") -> Scan:
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for number, array in enumerate(labels):
        Image.fromarray(picture(number, array.shape[:2])).save(root / "images" / f"{number}.png")
        Image.fromarray(array).save(root / "labels" / f"{number}.png")
    if classes:
        (root / "classes.txt").write_text(classes)
    return scan(root)


def test_a_few_levels_between_black_and_white_are_no_classes(tmp_path: Path) -> None:
    labels = [halved(discs(number) * np.uint8(255)) for number in range(4)]
    assert set(np.unique(labels).tolist()) == {0, 64, 128, 192, 255}
    result = found(tmp_path, labels)
    assert result.format.kind == "binary"
    assert [entry.codes for entry in result.classes.classes] == [(0,), (255,)]
    assert any("5 different values, 3 of them between" in note and "smoothed" in note for note in result.notes)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_few_colours_between_others_are_no_classes(tmp_path: Path, classes: int) -> None:
    labels = [halved(COLORS[discs(number, classes)]) for number in range(4)]
    assert len(np.unique(np.concatenate(labels).reshape(-1, 3), axis=0)) > classes + 2
    result = found(tmp_path, labels)
    assert sorted(entry.color for entry in result.classes.classes) == sorted(
        tuple(map(int, c)) for c in COLORS[:classes]
    )
    assert any("smoothed" in note for note in result.notes)


def test_one_thin_level_between_others_may_be_a_class_of_borders(tmp_path: Path) -> None:
    result = found(tmp_path, outlined(255, 128))
    assert [entry.value for entry in result.classes.classes] == [0, 128, 255]
    assert any("the value 128 only draws thin lines" in note for note in result.notes)


@pytest.mark.parametrize(("inner", "line"), [(2, 1), (255, 1), (255, 254), (12, 7)])
def test_thin_classes_of_small_ids_stay_classes(tmp_path: Path, inner: int, line: int) -> None:
    result = found(tmp_path, outlined(inner, line))
    assert line in [code for entry in result.classes.classes for code in entry.codes]
    assert not any("smoothed" in note for note in result.notes)


def test_thin_levels_that_the_class_file_names_are_classes(tmp_path: Path) -> None:
    labels = [halved(discs(number) * np.uint8(255)) for number in range(4)]
    result = found(tmp_path, labels, "0 a\n64 b\n128 c\n192 d\n255 e\n")
    assert result.classes.names == ("a", "b", "c", "d", "e")


def test_thousands_of_codes_are_asked_about(tmp_path: Path) -> None:
    ids = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40).repeat(4, axis=0).repeat(4, axis=1)
    with pytest.raises(DataError, match=r"hold 1600 different codes, 1600 of them in this file: .* instance labels"):
        found(tmp_path, [ids, ids])


def test_thousands_of_colours_are_asked_about(tmp_path: Path) -> None:
    ids = np.arange(1, 1601).reshape(40, 40).repeat(4, axis=0).repeat(4, axis=1) * 4099
    colors = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], axis=-1).astype(np.uint8)
    with pytest.raises(DataError, match="1600 different codes"):
        found(tmp_path, [colors])
