"""Codes become contiguous ids; strange codes, masks and orientations are handled or refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.label_files import count_codes, pack_colors, unpack_color
from fullconv.data.labels import LabelFormat, LabelReader
from fullconv.data.scan import Sample
from fullconv.errors import DataError

ROAD = SegmentationClass(name="road", color=(128, 64, 128), value=7, codes=(7, 8))
SKY = SegmentationClass(name="sky", color=(70, 130, 180), value=23, codes=(23,))
VOID = SegmentationClass(name="void", color=(0, 0, 0), value=0, codes=(0, 255))
IDS = ClassTable(classes=(ROAD, SKY), ignored=(VOID,))
RED, BLACK = 0xFF0000, 0
COLORS = ClassTable(
    classes=(
        SegmentationClass(name="ground", color=(0, 0, 0), value=0, codes=(BLACK,)),
        SegmentationClass(name="leaf", color=(255, 0, 0), value=1, codes=(RED,)),
    )
)


def sample(folder: Path, label: np.ndarray, *, image: tuple[int, int] | None = None, exif: int = 1) -> Sample:
    height, width = image or label.shape[:2]
    tags = Image.Exif()
    tags[0x0112] = exif
    Image.new("RGB", (width, height)).save(folder / "a.jpg", exif=tags)
    Image.fromarray(label).save(folder / "a.png")
    return Sample("a", folder / "a.jpg", (folder / "a.png",), None)


def reader(kind: str = "ids", classes: ClassTable = IDS, **parameters: object) -> LabelReader:
    return LabelReader(LabelFormat(kind=kind, explanation="given", **parameters), classes)


def test_merged_codes_and_ignored_codes(tmp_path: Path) -> None:
    label = np.array([[7, 8, 23], [0, 255, 7]], dtype=np.uint8)
    read = reader().read(sample(tmp_path, label))
    assert read.dtype == np.uint8
    assert read.tolist() == [[0, 0, 1], [255, 255, 0]]


def test_unknown_codes_are_counted_and_placed(tmp_path: Path) -> None:
    label = np.array([[7, 9, 23], [9, 200, 7]], dtype=np.uint8)
    given = sample(tmp_path, label)
    assert reader().unknown_codes(label) == {9: (2, (0, 1)), 200: (1, (1, 1))}
    with pytest.raises(DataError, match=r"a.png: id 9 is no class \(2 pixels, the first at row 0, column 1\)"):
        reader().read(given)
    assert reader().read(given, unknown="ignore").tolist() == [[0, 255, 1], [255, 255, 0]]


def test_unknown_colours_are_named_as_colours(tmp_path: Path) -> None:
    label = np.array([[[255, 0, 0], [254, 0, 1]]], dtype=np.uint8)
    with pytest.raises(DataError, match=r"colour \(254, 0, 1\) is no class"):
        reader("colors", COLORS).read(sample(tmp_path, label))


@given(arrays(np.uint8, (5, 6), elements=st.sampled_from([0, 7, 8, 9, 23, 255])))
@settings(max_examples=50)
def test_lookup_equals_class_by_class(label: np.ndarray) -> None:
    expected = np.full(label.shape, 255)
    for index, entry in enumerate(IDS.classes):
        expected[np.isin(label, entry.codes)] = index
    assert np.array_equal(reader()._lookup(reader()._table, label), expected)
    strange = reader().unknown_codes(label)
    assert {code: count for code, (count, _) in strange.items()} == (
        {9: count} if (count := (label == 9).sum()) else {}
    )
    for code, (_, place) in strange.items():
        assert label[place] == code


@given(arrays(np.uint8, (4, 3, 3)))
def test_colours_pack_and_unpack(colors: np.ndarray) -> None:
    packed = pack_colors(colors)
    assert packed.dtype == np.int32
    assert [list(unpack_color(int(code))) for code in packed.ravel()] == colors.reshape(-1, 3).tolist()


@given(arrays(np.int32, (4, 7), elements=st.integers(-1, 5)))
def test_counts_equal_numpy(codes: np.ndarray) -> None:
    found, pixels, runs = count_codes(codes)
    expected, counts = np.unique(codes, return_counts=True)
    assert np.array_equal(found, expected)
    assert np.array_equal(pixels, counts)
    assert ((runs >= 1) & (runs <= pixels)).all()


def test_reader_travels_to_other_processes_without_its_tables(tmp_path: Path) -> None:
    given = sample(tmp_path, np.array([[[255, 0, 0], [0, 0, 0]]], dtype=np.uint8))
    used = reader("colors", COLORS)
    assert used.read(given).tolist() == [[1, 0]]
    sent = pickle.dumps(used)
    assert len(sent) < 10_000
    assert pickle.loads(sent).read(given).tolist() == [[1, 0]]


def test_nan_is_ignored_and_fractions_are_refused(tmp_path: Path) -> None:
    given = sample(tmp_path, np.zeros((1, 2), dtype=np.uint8))
    path = tmp_path / "a.tif"
    given = Sample("a", given.image, (path,), None)
    tifffile.imwrite(path, np.array([[7, np.nan]], dtype=np.float32))
    assert reader().read(given).tolist() == [[0, 255]]
    tifffile.imwrite(path, np.array([[7, 0.5]], dtype=np.float32))
    with pytest.raises(DataError, match=r"pixel \(row 0, column 1\) is 0.5, which is no class id"):
        reader().read(given)


def test_codes_beyond_the_table_are_unknown(tmp_path: Path) -> None:
    given = sample(tmp_path, np.zeros((1, 3), dtype=np.uint8))
    given = Sample("a", given.image, (tmp_path / "a.tif",), None)
    tifffile.imwrite(tmp_path / "a.tif", np.array([[7, 1_000_000, -5]], dtype=np.int32))
    assert set(reader().unknown_codes(reader().raw(given))) == {1_000_000, -5}


def test_image_without_label_is_ignored_throughout(tmp_path: Path) -> None:
    given = sample(tmp_path, np.zeros((2, 3), dtype=np.uint8))
    assert reader().read(Sample("a", given.image, (), None)).tolist() == [[255] * 3] * 2


def test_other_kinds_of_file_than_the_format_are_refused(tmp_path: Path) -> None:
    deep = sample(tmp_path, np.zeros((2, 3), dtype=np.uint16))
    with pytest.raises(DataError, match="holds uint16 levels where 8-bit colours are needed"):
        reader("colors", COLORS).raw(deep)
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((2, 3, 2), dtype=np.uint16), photometric="minisblack")
    with pytest.raises(DataError, match="has 2 channels and no channel 3"):
        reader("synthia", channel=3).raw(Sample("b", deep.image, (tmp_path / "b.tif",), None))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_equal_orientation_is_applied_to_both(tmp_path: Path, orientation: int) -> None:
    label = np.array([[7, 7, 23], [23, 7, 7]], dtype=np.uint8)
    given = sample(tmp_path, label, exif=orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(label).save(given.labels[0], exif=exif)
    assert reader().read(given).shape == ((2, 3) if orientation < 5 else (3, 2))


def test_label_drawn_on_the_stored_picture_is_turned_with_it(tmp_path: Path) -> None:
    label = np.array([[7, 7, 23]], dtype=np.uint8)
    assert reader().read(sample(tmp_path, label, exif=6)).tolist() == [[0], [0], [1]]
    assert reader().read(sample(tmp_path, label, exif=8)).tolist() == [[1], [0], [0]]


def test_label_drawn_on_the_shown_picture_stays(tmp_path: Path) -> None:
    label = np.array([[7], [7], [23]], dtype=np.uint8)
    assert reader().read(sample(tmp_path, label, image=(1, 3), exif=6)).tolist() == [[0], [0], [1]]


@pytest.mark.parametrize(("size", "orientation"), [((2, 3), 3), ((2, 3), 2), ((2, 2), 6)])
def test_orientations_that_contradict_are_refused(tmp_path: Path, size: tuple[int, int], orientation: int) -> None:
    given = sample(tmp_path, np.full(size, 7, dtype=np.uint8), exif=orientation)
    with pytest.raises(DataError, match=rf"orientation is 1, the image's is {orientation}, and nothing tells"):
        reader().raw(given)


def test_masks_lie_over_each_other_in_class_order(tmp_path: Path) -> None:
    given = sample(tmp_path, np.zeros((1, 4), dtype=np.uint8))
    for name, row in {"a_leaf": [255, 255, 0, 0], "a_spot": [0, 200, 100, 0]}.items():
        Image.fromarray(np.array([row], dtype=np.uint8)).save(tmp_path / f"{name}.png")
    masks = tuple(tmp_path / f"{name}.png" for name in ("a_spot", "a_leaf"))
    kind = reader("masks", IDS, names={"_leaf": 7, "_spot": 23}, masks_by="suffix")
    raw = kind.raw(Sample("a", given.image, masks, None))
    assert raw.tolist() == [[7, 23, 0, 0]]
    assert kind.raw(Sample("a", given.image, masks[1:], None)).tolist() == [[7, 7, 0, 0]]
    with pytest.raises(DataError, match=r"a\.png: belongs to no class; classes are: _leaf, _spot"):
        kind.raw(given)
    Image.new("L", (2, 2)).save(masks[0])
    with pytest.raises(DataError, match="is 2×2, the other masks of this image are 4×1"):
        kind.raw(Sample("a", given.image, masks, None))
