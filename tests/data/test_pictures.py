"""Pictures of labels: pixel by pixel on small ones, and read back by Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.pictures import (
    RIGHT,
    WRONG,
    class_borders,
    colorize,
    display_rgb,
    error_map,
    legend,
    overlay,
    save_label_png,
)
from fullconv.errors import DataError, StorageError

RED, BLUE, WHITE = (200, 0, 0), (0, 0, 200), (255, 255, 255)


def table(*values: int, ignored: int | None = None) -> ClassTable:
    entries = tuple(
        SegmentationClass(name=f"class {value}", color=(value % 256, 7, value // 256), value=value, codes=(value,))
        for value in values
    )
    void = (
        () if ignored is None else (SegmentationClass(name="void", color=(1, 2, 3), value=ignored, codes=(ignored,)),)
    )
    return ClassTable(classes=entries, ignored=void)


@pytest.fixture
def two() -> ClassTable:
    return ClassTable(
        classes=(
            SegmentationClass(name="road", color=RED, value=7, codes=(7,)),
            SegmentationClass(name="sky", color=BLUE, value=23, codes=(23,)),
        )
    )


def test_labels_take_their_colours_and_ignored_pixels_are_white(two: ClassTable) -> None:
    picture = colorize(np.array([[0, 1], [255, 0]], dtype=np.uint8), two)
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[list(RED), list(BLUE)], [list(WHITE), list(RED)]]


def test_sixteen_bit_labels_take_their_colours() -> None:
    classes = table(*range(300))
    picture = colorize(np.array([[0, 299, 65535]], dtype=np.uint16), classes)
    assert picture.tolist() == [[[0, 7, 0], [43, 7, 1], list(WHITE)]]


def test_an_overlay_mixes_and_leaves_ignored_pixels_alone(two: ClassTable) -> None:
    image = np.full((2, 2, 3), 100, dtype=np.uint8)
    labels = np.array([[0, 0], [255, 255]], dtype=np.uint8)
    mixed = overlay(image, labels, two, opacity=0.25, outline=False)
    assert mixed[0, 0].tolist() == [125, 75, 75]
    assert mixed[1].tolist() == [[100] * 3] * 2


def test_the_opacity_runs_from_the_image_to_the_colours(two: ClassTable) -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    labels = generator.integers(0, 2, (9, 9), dtype=np.uint8)
    np.testing.assert_array_equal(overlay(image, labels, two, opacity=0, outline=False), image)
    np.testing.assert_array_equal(overlay(image, labels, two, opacity=1, outline=False), colorize(labels, two))


def test_the_outline_of_an_overlay_has_the_full_colour(two: ClassTable) -> None:
    labels = np.array([[0, 0, 1, 1]], dtype=np.uint8)
    picture = overlay(np.zeros((1, 4, 3), dtype=np.uint8), labels, two)
    assert picture[0, 1].tolist() == list(RED)
    assert picture[0, 0].tolist() == [100, 0, 0]


def test_borders_are_where_right_or_lower_neighbours_differ() -> None:
    assert class_borders(np.array([[0, 0], [0, 1]])).tolist() == [[False, True], [True, False]]


def test_an_overlay_of_another_size_is_refused(two: ClassTable) -> None:
    with pytest.raises(DataError, match="the image is 5×4 pixels and the labels 4×5"):
        overlay(np.zeros((4, 5, 3), dtype=np.uint8), np.zeros((5, 4), dtype=np.uint8), two)


def test_an_impossible_opacity_is_refused(two: ClassTable) -> None:
    with pytest.raises(DataError, match="an opacity of 50"):
        overlay(np.zeros((1, 1, 3), dtype=np.uint8), np.zeros((1, 1), dtype=np.uint8), two, opacity=50)


def test_an_error_map_shows_right_wrong_and_undefined(two: ClassTable) -> None:
    truth = np.array([[0, 1, 255]], dtype=np.uint8)
    assert error_map(truth, np.array([[0, 0, 0]], dtype=np.uint8), two).tolist() == [
        [list(RIGHT), list(WRONG), list(WHITE)]
    ]


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 13])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
def test_any_band_count_and_type_becomes_a_picture(bands: int, dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, 200, (20, 30, bands)).astype(dtype)
    picture = display_rgb(image)
    assert picture.shape == (20, 30, 3)
    assert picture.dtype == np.uint8
    if dtype == np.uint8:
        np.testing.assert_array_equal(picture, image[..., :3] if bands >= 3 else image[..., :1].repeat(3, axis=-1))
    else:
        assert picture.min() == 0
        assert picture.max() == 255


def test_grey_images_without_a_band_axis_become_pictures() -> None:
    assert display_rgb(np.array([[3, 4]], dtype=np.uint8)).tolist() == [[[3] * 3, [4] * 3]]


def test_what_is_no_number_is_black_and_does_not_disturb_the_rest() -> None:
    image = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10, 1)
    image[0, 0], image[5, 5], image[9, 9] = np.nan, np.inf, -np.inf
    picture = display_rgb(image)
    assert picture[5, 5].tolist() == picture[9, 9].tolist() == [0, 0, 0]
    assert 100 < picture[4, 9, 0] < 155


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan])
def test_a_band_without_contrast_is_no_error(value: float) -> None:
    assert display_rgb(np.full((4, 4, 1), value, dtype=np.float32)).max() == 0


def test_a_rare_bright_spot_still_gives_contrast() -> None:
    image = np.zeros((100, 100), dtype=np.uint16)
    image[0, 0] = 60000
    assert display_rgb(image)[0, 0].tolist() == [255] * 3


def test_a_legend_shows_the_colour_of_each_class(two: ClassTable) -> None:
    colors = {color for _, color in legend(two).getcolors(100_000) or []}
    assert {RED, BLUE} <= colors


def test_a_legend_with_shares_leaves_out_what_does_not_occur(two: ClassTable) -> None:
    shown = legend(two, [1.0, 0.0])
    colors = {color for _, color in shown.getcolors(100_000) or []}
    assert RED in colors
    assert BLUE not in colors
    assert shown.height < legend(two).height


@pytest.mark.parametrize("ignored", [None, 0, 11])
def test_label_files_hold_the_own_ids_and_show_the_colours(tmp_path: Path, ignored: int | None) -> None:
    classes = table(3, 7, 200, ignored=ignored)
    labels = np.array([[0, 1, 2], [255, 255, 0]], dtype=np.uint8)
    save_label_png(tmp_path / "new" / "out.png", labels, classes)
    with Image.open(tmp_path / "new" / "out.png") as file:
        assert file.mode == "P"
        np.testing.assert_array_equal(np.array(file), classes.own_ids(labels))
        colors = np.array(file.convert("RGB"))
    np.testing.assert_array_equal(colors[0], classes.colors)
    assert colors[1, 0].tolist() == ([255] * 3 if ignored is None else [1, 2, 3])


def test_ids_beyond_255_become_sixteen_bit_grey(tmp_path: Path) -> None:
    classes = table(3, 1000, 40000)
    labels = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    save_label_png(tmp_path / "out.png", labels, classes)
    with Image.open(tmp_path / "out.png") as file:
        assert file.mode == "I;16"
        assert np.array(file).tolist() == [[3, 1000], [40000, 255]]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, two: ClassTable) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        save_label_png(tmp_path / "file" / "out.png", np.zeros((2, 2), dtype=np.uint8), two)
