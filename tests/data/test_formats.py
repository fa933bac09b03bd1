"""Every label format is found over the whole set, explained in a sentence, and read back to the same ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from folders import COLORS, picture, write_grey_png
from fullconv.data.colormaps import voc_colormap
from fullconv.data.scan import scan
from fullconv.errors import DataError
from label_writers import (
    IDS,
    Save,
    grey,
    levels,
    palette,
    read_all,
    rgb,
    rgba,
    sixteen,
    sixteen_tiff,
    synthia,
    three,
    two,
    write,
)

CLASSES = "0 background 0 0 0\n1 road 128 64 128\n2 sky 70 130 180\n3 rider 220 20 60\n"


CASES: dict[str, tuple[Save, str, Callable[[np.ndarray], np.ndarray], str, tuple[int, ...]]] = {
    # name: (save, suffix, ids meant, kind, own ids of the classes)
    "grey ids": (grey, ".png", np.asarray, "ids", (0, 1, 2, 3)),
    "grey ids in BMP": (grey, ".bmp", np.asarray, "ids", (0, 1, 2, 3)),
    "grey ids in TIFF": (lambda path, ids: tifffile.imwrite(path, ids), ".tif", np.asarray, "ids", (0, 1, 2, 3)),
    "grey ids in float TIFF": (
        lambda path, ids: tifffile.imwrite(path, ids.astype(np.float32)), ".tif", np.asarray, "ids16", (0, 1, 2, 3)),
    "grey ids as RGB": (lambda path, ids: grey(path, np.dstack([ids] * 3)), ".png", np.asarray, "ids", (0, 1, 2, 3)),
    "ids in red alone": (
        lambda path, ids: grey(path, np.dstack([ids, 0 * ids, 0 * ids])), ".png", np.asarray, "ids", (0, 1, 2, 3)),
    "sparse ids": (levels(4, 11, 12, 250), ".png", np.asarray, "ids", (4, 11, 12, 250)),
    "palette": (palette, ".png", np.asarray, "palette", (0, 1, 2, 3)),
    "colours": (rgb, ".png", np.asarray, "colors", (1, 2, 3, 4)),
    "colours with alpha": (rgba, ".png", np.asarray, "colors", (1, 2, 3, 4)),
    "colours in TIFF": (rgb, ".tiff", np.asarray, "colors", (1, 2, 3, 4)),
    "colours in lossless WebP": (
        lambda path, ids: Image.fromarray(COLORS[ids]).save(path, lossless=True), ".webp", np.asarray, "colors",
        (1, 2, 3, 4)),
    "binary": (lambda path, ids: grey(path, two(ids) * 255), ".png", two, "binary", (0, 255)),
    "binary of one bit": (
        lambda path, ids: Image.fromarray(two(ids) * 255).convert("1").save(path), ".png", two, "binary", (0, 255)),
    "binary as RGB": (lambda path, ids: grey(path, np.dstack([two(ids) * 255] * 3)), ".png", two, "binary", (0, 255)),
    "binary of 16 bits": (
        lambda path, ids: Image.fromarray(two(ids).astype(np.uint16) * 65535).save(path), ".png", two, "binary",
        (0, 65535)),
    "codes": (lambda path, ids: levels(0, 128, 255)(path, three(ids)), ".png", three, "codes", (0, 128, 255)),
    "codes without white": (levels(10, 60, 120, 180), ".png", np.asarray, "codes", (10, 60, 120, 180)),
    "ids of 16 bits in PNG": (sixteen, ".png", np.asarray, "ids16", (0, 300, 301, 40_000)),
    "ids of 16 bits in TIFF": (sixteen_tiff, ".tif", np.asarray, "ids16", (0, 300, 301, 40_000)),
    "SYNTHIA": (synthia, ".png", np.asarray, "synthia", (0, 1, 2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_format_is_found_explained_and_read(tmp_path: Path, case: str) -> None:
    save, suffix, meant, kind, own_ids = CASES[case]
    found = scan(write(tmp_path, save, suffix=suffix))
    assert found.format.kind == kind
    assert found.format.explanation.endswith(".")
    assert ". " not in found.format.explanation
    assert tuple(entry.value for entry in found.classes.classes) == own_ids
    # Colours are numbered in their own order, everything else in the order of the ids.
    order = np.argsort(np.argsort([int(r) << 16 | int(g) << 8 | int(b) for r, g, b in COLORS]))
    for ids, read in zip(IDS, read_all(found), strict=True):
        assert np.array_equal(read, order[ids] if kind == "colors" else meant(ids))
    assert found.problems == ()


@pytest.mark.parametrize("case", ["grey ids", "palette", "colours", "colours with alpha", "SYNTHIA", "grey ids as RGB"])
def test_class_file_names_what_is_found(tmp_path: Path, case: str) -> None:
    save, suffix, *_ = CASES[case]
    found = scan(write(tmp_path, save, suffix=suffix, classes=CLASSES))
    assert found.classes.names == ("background", "road", "sky", "rider")
    assert found.classes.colors.tolist() == COLORS.tolist()
    assert [entry.value for entry in found.classes.classes] == [0, 1, 2, 3]
    assert found.class_source == f"Class names come from {tmp_path / 'classes.txt'}."
    for ids, read in zip(IDS, read_all(found), strict=True):
        assert np.array_equal(read, ids)


@pytest.mark.parametrize("bits", [2, 4])
def test_ids_in_grey_png_of_few_bits_are_not_stretched(tmp_path: Path, bits: int) -> None:
    found = scan(write(tmp_path, lambda path, ids: write_grey_png(path, ids, bits)))
    assert found.format.kind == "ids"
    assert all(np.array_equal(read, ids) for read, ids in zip(read_all(found), IDS, strict=True))


def test_255_beside_small_ids_is_ignored(tmp_path: Path) -> None:
    found = scan(write(tmp_path, levels(0, 1, 2, 255)))
    assert found.classes.names == ("class_0", "class_1", "class_2")
    assert [entry.codes for entry in found.classes.ignored] == [(255,)]
    assert "255 is ignored" in found.format.explanation
    assert np.array_equal(read_all(found)[0] == 255, IDS[0] == 3)


def test_255_is_a_class_where_the_class_file_says_so(tmp_path: Path) -> None:
    found = scan(write(tmp_path, levels(0, 1, 2, 255), classes="0 a\n1 b\n2 c\n255 d\n"))
    assert found.classes.names == ("a", "b", "c", "d")


def test_one_file_with_white_alone_does_not_make_a_binary_set(tmp_path: Path) -> None:
    """The decision is over the whole set: a file of {0, 255} among ids has an ignored border."""
    ids = [np.where(IDS[0] > 0, 255, 0).astype(np.uint8), *IDS[1:]]
    found = scan(write(tmp_path, grey, ids))
    assert found.format.kind == "ids"
    assert found.classes.ignored[0].codes == (255,)


def test_black_and_white_alone_are_ids_where_a_class_file_has_more_classes(tmp_path: Path) -> None:
    found = scan(write(tmp_path, levels(0, 255, 255, 255), classes=CLASSES))
    assert found.format.kind == "ids"
    assert found.classes.ignored[0].codes == (255,)


def test_binary_takes_two_names(tmp_path: Path) -> None:
    found = scan(write(tmp_path, levels(0, 255, 255, 255), classes="background\nleaf\n"))
    assert [(entry.name, entry.codes) for entry in found.classes.classes] == [("background", (0,)), ("leaf", (255,))]


def test_codes_take_names_in_order(tmp_path: Path) -> None:
    found = scan(write(tmp_path, levels(0, 85, 170, 255), classes="ground\nleaf\nstem\nspot\n"))
    assert [(entry.name, entry.value) for entry in found.classes.classes] == [
        ("ground", 0), ("leaf", 85), ("stem", 170), ("spot", 255),
    ]  # fmt: skip
    assert any("in this order" in note for note in found.notes)


def test_codes_are_named_by_grey_colours_of_the_class_file(tmp_path: Path) -> None:
    classes = "0 spot 255 255 255\n1 ground 0 0 0\n2 leaf 128 128 128\n"
    found = scan(write(tmp_path, levels(0, 128, 255, 255), classes=classes))
    assert {entry.name: entry.codes for entry in found.classes.classes} == {
        "spot": (255,), "ground": (0,), "leaf": (128,),
    }  # fmt: skip


def test_codes_that_no_class_fits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"classes.txt: its classes do not fit the levels 0, 100, 200"):
        scan(write(tmp_path, levels(0, 100, 200, 200), classes="5 a\n6 b\n"))


def test_names_without_background_are_shifted(tmp_path: Path) -> None:
    found = scan(write(tmp_path, grey, classes="road\nsky\nrider\n"))
    assert found.classes.names == ("background", "road", "sky", "rider")


def test_voc_border_in_a_palette_is_ignored(tmp_path: Path) -> None:
    ids = [np.where(own == 3, 255, own).astype(np.uint8) for own in IDS]
    found = scan(write(tmp_path, lambda path, own: palette(path, own, voc_colormap(256)), ids))
    assert found.format.kind == "palette"
    assert [(entry.codes, entry.color) for entry in found.classes.ignored] == [((255,), (224, 224, 192))]


@pytest.mark.parametrize("values", [(0, 15, 255), (0, 15, 20, 255), (0, 255, 255, 255), (4, 60, 120, 180)])
def test_palette_indices_are_ids_however_far_apart(tmp_path: Path, values: tuple[int, ...]) -> None:
    used = np.array([*values, values[-1]], dtype=np.uint8)
    found = scan(write(tmp_path, lambda path, ids: palette(path, used[ids], voc_colormap(256))))
    assert found.format.kind == "palette"
    assert [entry.value for entry in found.classes.classes] == sorted({*values} - {255})
    ignored = [(entry.codes, entry.color) for entry in found.classes.ignored]
    assert ignored == ([((255,), (224, 224, 192))] if 255 in values else [])


def test_small_levels_beside_255_are_ids_and_255_is_ignored(tmp_path: Path) -> None:
    found = scan(write(tmp_path, levels(0, 15, 40, 255)))
    assert found.format.kind == "ids"
    assert [entry.value for entry in found.classes.classes] == [0, 15, 40]
    assert [entry.codes for entry in found.classes.ignored] == [(255,)]


def test_palette_indices_take_names_in_order(tmp_path: Path) -> None:
    used = np.array([0, 15, 20, 255], dtype=np.uint8)
    save = lambda path, ids: palette(path, used[ids], voc_colormap(256))  # noqa: E731
    found = scan(write(tmp_path, save, classes="ground\nleaf\nstem\n"))
    assert [(entry.name, entry.value) for entry in found.classes.classes] == [("ground", 0), ("leaf", 15), ("stem", 20)]


def test_class_colours_come_from_the_palette(tmp_path: Path) -> None:
    assert scan(write(tmp_path, palette)).classes.colors.tolist() == COLORS.tolist()


def test_palette_indices_are_named_by_colour_where_ids_do_not_fit(tmp_path: Path) -> None:
    classes = "10 rider 220 20 60\n11 sky 70 130 180\n12 road 128 64 128\n13 background 0 0 0\n"
    found = scan(write(tmp_path, palette, classes=classes))
    assert [(entry.name, entry.value) for entry in found.classes.classes] == [
        ("rider", 10), ("sky", 11), ("road", 12), ("background", 13),
    ]  # fmt: skip
    assert all(np.array_equal(read, 3 - ids) for read, ids in zip(read_all(found), IDS, strict=True))


@pytest.mark.parametrize("border", [False, True])
def test_colours_decide_where_palette_indices_contradict_them(tmp_path: Path, border: bool) -> None:
    """Programs that shrink RGB labels to palette images number the colours anew."""
    order = np.array([3, 0, 1, 2])
    colors = np.zeros((256, 3), dtype=np.uint8)
    colors[:4], colors[255] = COLORS[order], (224, 224, 192)

    def renumbered(path: Path, ids: np.ndarray) -> None:
        indices = np.argsort(order).astype(np.uint8)[ids]
        indices[0, :] = 255 if border else indices[0, :]
        palette(path, indices, colors)

    found = scan(write(tmp_path, renumbered, classes=CLASSES))
    assert found.format.kind == "colors"
    assert "their colours stand for other ids in" in found.format.explanation
    assert any("not their indices" in note for note in found.notes)
    assert found.classes.names == ("background", "road", "sky", "rider")
    for ids, read in zip(IDS, read_all(found), strict=True):
        assert np.array_equal(read[1:], ids[1:])
        assert np.array_equal(read[0], np.full_like(ids[0], 255) if border else ids[0])
    assert scan(tmp_path, format="palette").format.kind == "palette"


def test_ids_decide_where_the_palette_is_another_one(tmp_path: Path) -> None:
    found = scan(write(tmp_path, lambda path, ids: palette(path, ids, voc_colormap(256)), classes=CLASSES))
    assert found.format.kind == "palette"
    assert all(np.array_equal(read, ids) for read, ids in zip(read_all(found), IDS, strict=True))


def test_palettes_that_differ_are_read_by_colour(tmp_path: Path) -> None:
    def shuffled(path: Path, ids: np.ndarray) -> None:
        order = np.random.default_rng(int(path.stem)).permutation(4)
        palette(path, np.argsort(order).astype(np.uint8)[ids], COLORS[order])

    found = scan(write(tmp_path, shuffled, classes=CLASSES))
    assert found.format.kind == "colors"
    assert "palettes of the files differ" in found.format.explanation
    assert all(np.array_equal(read, ids) for read, ids in zip(read_all(found), IDS, strict=True))


def test_mixed_palette_and_colour_files_are_read_by_colour(tmp_path: Path) -> None:
    found = scan(write(tmp_path, lambda path, ids: (palette if path.stem in "01" else rgb)(path, ids), classes=CLASSES))
    assert found.format.kind == "colors"
    assert all(np.array_equal(read, ids) for read, ids in zip(read_all(found), IDS, strict=True))


def test_colours_in_two_names_and_one_name_in_two_colours(tmp_path: Path) -> None:
    classes = "background 0 0 0\nstreet 128 64 128\nstreet 70 130 180\nrider 220 20 60\n"
    found = scan(write(tmp_path, rgb, classes=classes))
    assert found.classes.names == ("background", "street", "rider")
    assert np.array_equal(read_all(found)[0], np.array([0, 1, 1, 2])[IDS[0]])
    (tmp_path / "classes.txt").write_text("a 0 0 0\nb 0 0 0\n")
    with pytest.raises(DataError, match=r"the colour \(0, 0, 0\) stands for a and b"):
        scan(tmp_path)


def test_colours_of_another_class_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of its 2 colours occurs in the labels; the first of 4 there is"):
        scan(write(tmp_path, rgb, classes="a 1 2 3\nb 4 5 6\n"))


def test_swapped_red_and_blue_are_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="with red and blue swapped they would"):
        scan(write(tmp_path, rgb, classes="a 180 130 70\nb 60 20 220\n"))


def test_names_without_colours_are_not_guessed_for_colours(tmp_path: Path) -> None:
    found = scan(write(tmp_path, rgb, classes="a\nb\nc\nd\n"))
    assert found.classes.names == ("class_1", "class_2", "class_3", "class_4")
    assert any("has no colours" in note for note in found.notes)


def test_ignored_by_name_id_and_colour(tmp_path: Path) -> None:
    root = write(tmp_path, rgb, classes=CLASSES + "4 void 1 1 1\n")
    for wanted in ("sky", "2", "#4682b4", "SKY"):
        found = scan(root, ignore=[wanted])
        assert found.classes.names == ("background", "road", "rider")
        assert [entry.name for entry in found.classes.ignored] == ["sky", "void"]
    with pytest.raises(DataError, match="there is no class 'moon' to ignore; classes are: background"):
        scan(root, ignore=["moon"])
    with pytest.raises(DataError, match="every class is ignored"):
        scan(root, ignore=["background", "road", "sky", "rider"])


@pytest.mark.parametrize("classes", [CLASSES, ""])
def test_jpeg_compressed_colours_keep_the_classes(tmp_path: Path, classes: str) -> None:
    ids = [np.kron(own, np.ones((8, 8), dtype=np.uint8)) for own in IDS]
    save = lambda path, own: Image.fromarray(COLORS[own]).save(path, quality=60)  # noqa: E731
    found = scan(write(tmp_path, save, ids, classes=classes, suffix=".jpg"))
    assert found.format.kind == "colors"
    assert len(found.classes) == 4
    assert any("JPEG-compressed or smoothed" in note for note in found.notes)


def test_smoothed_levels_keep_the_classes(tmp_path: Path) -> None:
    def smooth(path: Path, ids: np.ndarray) -> None:
        image = Image.fromarray(np.array([0, 85, 170, 255], dtype=np.uint8)[ids])
        image.resize((317, 241), Image.Resampling.BICUBIC).resize((320, 240), Image.Resampling.BILINEAR).save(path)

    found = scan(write(tmp_path, smooth, [np.kron(own, np.ones((10, 10), dtype=np.uint8)) for own in IDS]))
    assert [entry.value for entry in found.classes.classes] == [0, 85, 170, 255]
    assert any("smoothed" in note for note in found.notes)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_photographs_given_as_labels_are_refused(tmp_path: Path, mode: str, suffix: str) -> None:
    def photo(path: Path, ids: np.ndarray) -> None:
        noise = Image.fromarray(picture(int(path.stem), (6, 8))).resize((160, 120), Image.Resampling.BICUBIC)
        noise.convert(mode).save(path)

    with pytest.raises(DataError, match="the label files look like photographs"):
        scan(write(tmp_path, photo))
