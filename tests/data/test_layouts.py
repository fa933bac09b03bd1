"""Folders of many makers: which files are images, which are labels, which split they belong to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fullconv.data.layouts import FoundFile, one_root, two_folders
from fullconv.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def told(places: tuple[FoundFile, ...]) -> list[tuple[str | None, str, str]]:
    return [(place.split, place.folder, place.stem) for place in places]


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("train/images/a.jpg", "train/labels/a.png"),
        ("images/train/a.jpg", "labels/train/a.png"),
        ("Train/Image/a.jpg", "Train/Mask/a.png"),
        ("train/a.jpg", "trainannot/a.png"),
        ("train/a.jpg", "train_labels/a.png"),
        ("train_images/a.jpg", "train_masks/a.png"),
        ("images/training/a.jpg", "annotations/training/a.png"),
        ("imgs/train2017/a.jpg", "segmentations/train2017/a.png"),
        ("img_train/a.jpg", "gt_train/a.png"),
        ("set/train/input/a.jpg", "set/train/target/a.png"),
        ("train/rgb/a.jpg", "train/semantic/a.png"),
        ("segmentation/train/images/a.jpg", "segmentation/train/labels/a.png"),
    ],
)
def test_split_and_role_by_folder_names(tmp_path: Path, image: str, label: str) -> None:
    layout = one_root(touch(tmp_path, image, label))
    assert [place.path.relative_to(tmp_path).as_posix() for place in layout.images] == [image]
    assert [place.path.relative_to(tmp_path).as_posix() for place in layout.labels] == [label]
    for (place,) in (layout.images, layout.labels):
        assert place.split == "train"
    assert layout.images[0].folder == layout.labels[0].folder


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/a.jpg", "masks/a.png"),
        ("JPEGImages/a.jpg", "Annotations/a.png"),
        ("701_StillsRaw_full/a.png", "LabeledApproved_full/a_L.png"),
        ("photos/a.jpg", "ground_truth/a.png"),
        ("a.jpg", "a_mask.png"),
        ("x/a.png", "x/a_label.png"),
        ("a.jpg", "a.png"),
        ("images/a.jpg", "something/a.png"),
        ("something/a.jpg", "labels/a.png"),
    ],
)
def test_roles_without_split(tmp_path: Path, image: str, label: str) -> None:
    layout = one_root(touch(tmp_path, image, label))
    assert [place.path.relative_to(tmp_path).as_posix() for place in layout.images] == [image]
    assert [place.path.relative_to(tmp_path).as_posix() for place in layout.labels] == [label]
    assert layout.images[0].split is None


@pytest.mark.parametrize(
    ("folder", "split"),
    [("validation", "val"), ("valid", "val"), ("VAL", "val"), ("testing", "test"), ("test", "test"), ("eval", None),
     ("testbed", None), ("trainer", None)],
)  # fmt: skip
def test_names_of_splits(tmp_path: Path, folder: str, split: str | None) -> None:
    layout = one_root(touch(tmp_path, f"{folder}/images/a.jpg", f"{folder}/labels/a.png"))
    assert layout.images[0].split == split


def test_further_folders_stay_in_the_name(tmp_path: Path) -> None:
    layout = one_root(touch(tmp_path, "images/train/seq_1/a.jpg", "labels/train/seq_1/a.png"))
    assert told(layout.images) == told(layout.labels) == [("train", "seq_1", "a")]


def test_hidden_files_are_not_seen(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/._a.jpg", "images/.cache/b.jpg", "__MACOSX/images/a.jpg", "images/a.txt")
    assert told(one_root(tmp_path).images) == [(None, "", "a")]


def test_pictures_of_another_kind_are_left_aside(tmp_path: Path) -> None:
    layout = one_root(touch(tmp_path, "images/a.jpg", "labels/a.png", "depth/a.png"))
    assert len(layout.images) == len(layout.labels) == 1
    assert layout.notes == (
        f"folders that are neither images nor labels were left aside: 1 files, such as {tmp_path / 'depth/a.png'}",
    )


def test_cityscapes(tmp_path: Path) -> None:
    stem = "aachen_000000_000019"
    touch(tmp_path, f"leftImg8bit/train/aachen/{stem}_leftImg8bit.png")
    for kind in ("labelIds", "instanceIds", "color"):
        touch(tmp_path, f"gtFine/train/aachen/{stem}_gtFine_{kind}.png")
    touch(tmp_path, f"gtFine/train/aachen/{stem}_gtFine_polygons.json")
    for layout in (one_root(tmp_path), two_folders(tmp_path / "leftImg8bit", tmp_path / "gtFine")):
        assert layout.known == "Cityscapes"
        assert told(layout.images) == told(layout.labels) == [("train", "aachen", stem)]
        assert layout.labels[0].path.name.endswith("_labelIds.png")
        assert [entry.name for entry in layout.entries if not entry.is_ignored][:2] == ["road", "sidewalk"]
        assert sum(not entry.is_ignored for entry in layout.entries) == 19


def test_cityscapes_training_ids(tmp_path: Path) -> None:
    touch(tmp_path, "leftImg8bit/val/x/x_1_2_leftImg8bit.png", "gtFine/val/x/x_1_2_gtFine_labelTrainIds.png")
    layout = one_root(tmp_path)
    assert [entry.id for entry in layout.entries] == list(range(19))


@pytest.mark.parametrize("base", ["", "VOCdevkit/VOC2012"])
def test_voc(tmp_path: Path, base: str) -> None:
    root = tmp_path / base
    touch(root, "JPEGImages/a.jpg", "JPEGImages/b.jpg", "SegmentationClass/a.png", "SegmentationObject/a.png")
    touch(root, "Annotations/a.xml", "ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/trainval.txt")
    layout = one_root(tmp_path)
    assert layout.known == "VOC"
    assert len(layout.images) == 2
    assert [place.path.parent.name for place in layout.labels] == ["SegmentationClass"]
    assert layout.lists == (("train", root / "ImageSets/Segmentation/train.txt"),)
    assert layout.entries[-1].is_ignored


def test_synthia(tmp_path: Path) -> None:
    touch(tmp_path, "RGB/0001.png", "GT/LABELS/0001.png", "GT/COLOR/0001.png", "Depth/Depth/0001.png")
    layout = one_root(tmp_path)
    assert layout.known == "SYNTHIA"
    assert told(layout.images) == told(layout.labels) == [(None, "", "0001")]
    assert layout.labels[0].path.parent.name == "LABELS"


def test_labels_inside_the_folder_of_images(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "labels/a.png")
    layout = two_folders(tmp_path, tmp_path / "labels")
    assert told(layout.images) == told(layout.labels) == [(None, "", "a")]


def test_missing_folder_and_file_for_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        one_root(tmp_path / "none")
    touch(tmp_path, "a.jpg")
    with pytest.raises(DataError, match="is a file, not a folder"):
        one_root(tmp_path / "a.jpg")


def test_links_that_lead_back_are_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "labels/a.png", ".store/b.jpg")
    (tmp_path / "images" / "again").symlink_to(tmp_path)
    (tmp_path / "labels" / "self").symlink_to(tmp_path / "labels")
    (tmp_path / "images" / "more").symlink_to(tmp_path / ".store")
    layout = one_root(tmp_path)
    assert told(layout.images) == [(None, "", "a"), (None, "more", "b")]
    assert told(layout.labels) == [(None, "", "a")]


def test_file_names_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg")
    (tmp_path / "images" / os.fsdecode(b"bl\xe4tter.jpg")).touch()
    with pytest.raises(DataError, match=r"bl\\xe4tter.jpg: its name is no UTF-8 text; rename it"):
        one_root(tmp_path)


def test_folders_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"cannot be reached \(File name too long\)"):
        one_root(tmp_path / ("x" * 300))

    touch(tmp_path, "images/a.jpg")
    stat = Path.stat

    def refuse(path: Path, **more: bool) -> os.stat_result:
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(DataError, match=r"locked: cannot be reached \(Permission denied\)"):
        one_root(tmp_path / "locked")
    with pytest.raises(DataError, match=r"locked: cannot be reached \(Permission denied\)"):
        two_folders(tmp_path / "images", tmp_path / "locked")
