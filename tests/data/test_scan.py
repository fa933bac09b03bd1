"""A scan finds samples, format and classes; what does not fit is listed or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fullconv.data.images import image_info
from fullconv.data.known_sets import VOC
from fullconv.data.labels import LabelReader
from fullconv.data.scan import scan
from fullconv.errors import DataError


def save(path: Path, levels: object = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.broadcast_to(np.asarray(levels, dtype=np.uint8), (4, 6))
    Image.fromarray(np.ascontiguousarray(values)).save(path)
    return path


IDS = [[0, 1, 2, 0, 1, 2]]


def write(root: Path, *stems: str, label: str = "{}") -> Path:
    for stem in stems:
        folder, _, name = stem.rpartition("/")
        save(root / folder / "images" / f"{name}.png")
        save(root / folder / "labels" / f"{label.format(name)}.png", IDS)
    return root


def test_samples_are_sorted_and_their_keys_unique(tmp_path: Path) -> None:
    found = scan(write(tmp_path, "val/b", "train/b", "train/a"))
    assert [(sample.key, sample.split) for sample in found.samples] == [
        ("train/a", "train"), ("train/b", "train"), ("val/b", "val"),
    ]  # fmt: skip
    assert found.root == tmp_path
    assert found.samples[0].labels == (tmp_path / "train/labels/a.png",)


def test_relative_paths_and_parent_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a")
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    assert scan(Path("../images"), Path("../labels")).samples[0].image == tmp_path / "images/a.png"


def test_unmatched_files_are_listed(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    save(tmp_path / "images/c.png")
    save(tmp_path / "labels/d.png")
    found = scan(tmp_path)
    assert found.unmatched_images == (tmp_path / "images/c.png",)
    assert found.unmatched_labels == (tmp_path / "labels/d.png",)
    assert [sample.key for sample in found.samples] == ["a", "b"]


@pytest.mark.parametrize("meaning", ["background", "ignore"])
def test_images_without_label_become_samples_where_told(tmp_path: Path, meaning: str) -> None:
    write(tmp_path, "a", "b")
    save(tmp_path / "images/c.png")
    found = scan(tmp_path, unlabelled=meaning)
    assert [len(sample.labels) for sample in found.samples] == [1, 1, 0]
    assert found.unmatched_images == ()


def test_two_images_of_one_name_are_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    save(tmp_path / "images/a.bmp")
    found = scan(tmp_path)
    assert len(found.samples) == 2
    assert "another image has the same name" in found.problems[0][1]


def test_unreadable_label_is_a_problem_and_stays_a_sample(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    (tmp_path / "labels/b.png").write_bytes(b"")
    found = scan(tmp_path)
    assert [sample.key for sample in found.samples] == ["a", "b"]
    assert [(path.name, "is empty" in sentence) for path, sentence in found.problems] == [("b.png", True)]
    (tmp_path / "labels/a.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 2 label files can be read"):
        scan(tmp_path)


@pytest.mark.parametrize("place", [".", "../", "train/labels", "train"])
def test_class_file_beside_or_above_the_labels(tmp_path: Path, place: str) -> None:
    root = write(tmp_path / "set", "train/a")
    (root / place / "classes.txt").parent.mkdir(parents=True, exist_ok=True)
    (root / place / "classes.txt").write_text("0 a\n1 b\n2 c\n")
    assert scan(root).classes.names == ("a", "b", "c")


def test_class_file_two_folders_above_the_labels(tmp_path: Path) -> None:
    root = write(tmp_path / "set", "train/a")
    (tmp_path / "classes.txt").write_text("0 x\n1 y\n2 z\n")
    assert scan(root / "train/images", root / "train/labels").classes.names == ("class_0", "class_1", "class_2")
    (root / "classes.txt").write_text("0 a\n1 b\n2 c\n")
    assert scan(root / "train/images", root / "train/labels").classes.names == ("a", "b", "c")


def test_given_class_file_comes_first(tmp_path: Path) -> None:
    root = write(tmp_path / "set", "a")
    (root / "classes.txt").write_text("0 a\n1 b\n2 c\n")
    (tmp_path / "mine.txt").write_text("0 x\n1 y\n2 z\n")
    assert scan(root, classes=tmp_path / "mine.txt").classes.names == ("x", "y", "z")
    with pytest.raises(DataError, match="no such class file"):
        scan(root, classes=tmp_path / "none.txt")


def test_lists_give_splits_and_leave_the_rest_out(tmp_path: Path) -> None:
    root = write(tmp_path / "set", *"abcd")
    (tmp_path / "one.txt").write_text("a\n/elsewhere/set/images/b.png /elsewhere/set/labels/b.png\n\n# note\n")
    (tmp_path / "two.txt").write_text("images/c.png\n")
    found = scan(root, lists={"train": tmp_path / "one.txt", "val": tmp_path / "two.txt"})
    assert [(sample.key, sample.split) for sample in found.samples] == [("a", "train"), ("b", "train"), ("c", "val")]
    assert any("1 samples are in no list" in note for note in found.notes)


def test_lists_with_folders_tell_equal_stems_apart(tmp_path: Path) -> None:
    root = write(tmp_path / "set", "x/a", "y/a")
    (tmp_path / "one.txt").write_text("y/a\n")
    found = scan(root, lists={"train": tmp_path / "one.txt"})
    assert [sample.key for sample in found.samples] == ["y/a"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a\nz\n", "one.txt: line 2: 'z' names no image with a label"),
        ("b\n", "two.txt: line 1: b is in the list of train too"),
        ("", "one.txt: names none of the images; check the lists"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, text: str, sentence: str) -> None:
    root = write(tmp_path / "set", *"abc")
    (tmp_path / "one.txt").write_text(text)
    (tmp_path / "two.txt").write_text("b\n" if text else "")
    with pytest.raises(DataError, match=sentence):
        scan(root, lists={"train": tmp_path / "one.txt", "val": tmp_path / "two.txt"})
    with pytest.raises(DataError, match="no such list file"):
        scan(root, lists={"train": tmp_path / "none.txt"})


def test_lists_in_the_root_are_found(tmp_path: Path) -> None:
    root = write(tmp_path, *"abc")
    (root / "train.txt").write_text("a\nb\n")
    (root / "test.txt").write_text("c\n")
    assert [sample.split for sample in scan(root).samples] == ["train", "train", "test"]


def test_voc_takes_its_own_lists_names_and_border(tmp_path: Path) -> None:
    for name in "abcdefg":
        save(tmp_path / "JPEGImages" / f"{name}.jpg")
    for name in "abc":
        image = Image.fromarray(np.array([[0, 15, 255]] * 4, dtype=np.uint8))
        image.putpalette([value for entry in VOC[:21] for value in entry.color or ()])
        (tmp_path / "SegmentationClass").mkdir(exist_ok=True)
        image.save(tmp_path / "SegmentationClass" / f"{name}.png")
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c\n")
    found = scan(tmp_path)
    assert [sample.split for sample in found.samples] == ["train", "train", "val"]
    assert (len(found.classes), found.classes.names[15]) == (21, "person")
    assert found.classes.ignored[0].codes == (255,)
    assert found.format.explanation == (
        "The labels, laid out as in VOC, are palette images: the indices 0, 15 are the ids, 255 is ignored."
    )
    assert found.class_source == "Class names are those of VOC."
    assert found.unmatched_images == ()
    assert any("4 images of VOC have no segmentation" in note for note in found.notes)


def test_voc_layout_with_other_classes_is_not_named_by_voc(tmp_path: Path) -> None:
    save(tmp_path / "JPEGImages/a.jpg")
    save(tmp_path / "SegmentationClass/a.png", [[0, 30, 31, 32, 33, 34]])
    assert scan(tmp_path).classes.names[1] == "class_30"


def test_cityscapes_end_to_end(tmp_path: Path) -> None:
    for number in range(3):
        stem = f"aachen_00000{number}_000019"
        save(tmp_path / f"leftImg8bit/train/aachen/{stem}_leftImg8bit.png")
        save(tmp_path / f"gtFine/train/aachen/{stem}_gtFine_labelIds.png", [[0, 7, 7, 8, 11, 26]])
        save(tmp_path / f"gtFine/train/aachen/{stem}_gtFine_color.png", [[3, 4, 5, 6, 7, 8]])
    found = scan(tmp_path)
    assert [sample.key for sample in found.samples][:1] == ["train/aachen/aachen_000000_000019"]
    assert len(found.classes) == 19
    assert found.format.explanation.startswith("The labels, laid out as in Cityscapes, are 8-bit class ids")
    read = LabelReader(found.format, found.classes).read(found.samples[0])
    assert read[0].tolist() == [255, 0, 0, 1, 2, 13]


@pytest.mark.parametrize("place", ["{1}/{0}", "{0}_{1}", "{0}-{1}"])
def test_one_binary_mask_per_class(tmp_path: Path, place: str) -> None:
    leaf, spot = [[0, 255, 255, 255, 0, 0]], [[0, 0, 255, 0, 0, 0]]
    for number in range(3):
        save(tmp_path / "images" / f"{number}.png")
        save(tmp_path / "masks" / f"{place.format(number, 'leaf')}.png", leaf)
        if number != 1:
            save(tmp_path / "masks" / f"{place.format(number, 'spot')}.png", spot)
    found = scan(tmp_path)
    assert found.format.kind == "masks"
    assert found.classes.names == ("background", "leaf", "spot")
    reader = LabelReader(found.format, found.classes)
    assert [reader.read(sample)[0].tolist() for sample in found.samples] == [
        [0, 1, 2, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0, 1, 2, 1, 0, 0],
    ]  # fmt: skip


def test_masks_take_ids_order_and_ignored_classes_from_a_class_file(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "images" / f"{number}.png")
        for name in ("leaf", "spot", "void"):
            save(tmp_path / "masks" / name / f"{number}.png", [[0, 255, 0, 0, 0, 0]])
    (tmp_path / "classes.txt").write_text("0 ground 9 9 9\n3 spot 255 0 0\n5 leaf 0 255 0\n")
    found = scan(tmp_path)
    assert [(entry.name, entry.value, entry.color) for entry in found.classes.classes] == [
        ("background", 0, (0, 0, 0)), ("spot", 3, (255, 0, 0)), ("leaf", 5, (0, 255, 0)),
    ]  # fmt: skip
    assert [entry.name for entry in found.classes.ignored] == ["void"]


def test_several_labels_that_are_no_masks_are_refused(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "images" / f"{number}.png")
        save(tmp_path / "labels" / f"{number}_ids.png", IDS)
        save(tmp_path / "labels" / f"{number}_color.png", [[0, 50, 60, 70, 80, 90]])
    with pytest.raises(DataError, match="holds 6 values and is no binary mask, but images have up to 2 label files"):
        scan(tmp_path)
    with pytest.raises(DataError, match="where 'ids' needs one"):
        scan(tmp_path, format="ids")


def test_nothing_to_work_with(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        scan(tmp_path / "none")
    with pytest.raises(DataError, match=r"holds no images; images are files ending in \.bmp"):
        scan(tmp_path)
    save(tmp_path / "a/images/1.png")
    with pytest.raises(DataError, match="1 images but no labels were found"):
        scan(tmp_path / "a")
    with pytest.raises(DataError, match="is given as images and as labels"):
        scan(tmp_path / "a/images", tmp_path / "a/images")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no labels"):
        scan(tmp_path / "a/images", tmp_path / "empty")
    save(tmp_path / "b/labels/x.png")
    with pytest.raises(DataError, match=r"none of the 1 labels matches one of the 1 images by name: x.png and 1.png"):
        scan(tmp_path / "a/images", tmp_path / "b/labels")


@pytest.mark.realdata
def test_camvid(shared: Path) -> None:
    found = scan(shared / "data/camvid")
    assert [sum(sample.split == split for sample in found.samples) for split in ("train", "val", "test")] == [
        367,
        101,
        233,
    ]
    assert (found.format.kind, len(found.classes), found.classes.ignored[0].name) == ("ids", 11, "void")
    assert (found.unmatched_images, found.unmatched_labels, found.problems) == ((), (), ())


@pytest.mark.realdata
def test_coffee_leaf(shared: Path) -> None:
    found = scan(shared / "data/coffee_leaf")
    assert (len(found.samples), found.format.kind, found.classes.names) == (
        64,
        "colors",
        ("background", "leaf", "symptom"),
    )
    assert found.notes == ("images and labels were matched by the suffix '_mask'",)
    sample = found.samples[0]
    info = image_info(sample.image)
    assert LabelReader(found.format, found.classes).read(sample).shape == (info.height, info.width)
