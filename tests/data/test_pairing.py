"""Names are matched by rules that hold for the whole set; nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullconv.data.layouts import FoundFile
from fullconv.data.pairing import Pairing, pair


def files(*names: str, suffix: str = ".png") -> list[FoundFile]:
    """ "train:folder/stem" → a found file."""
    found = []
    for name in names:
        split, _, rest = name.rpartition(":")
        folder, _, stem = rest.rpartition("/")
        found.append(FoundFile(Path("/", split, rest + suffix), split or None, folder, stem))
    return found


def pairs(found: Pairing) -> dict[str, list[str]]:
    return {place.stem: [path.stem for path in paths] for place, paths in found.labels.items()}


@pytest.mark.parametrize(
    ("image", "label", "rule"),
    [
        ("{}", "{}", "equal names"),
        ("{}", "{}_mask", "the suffix '_mask'"),
        ("{}", "mask_{}", "the prefix 'mask_'"),
        ("{}", "gt{}", "the prefix 'gt'"),
        ("{}_rgb", "{}", "the suffix of the images '_rgb'"),
        ("{}_sat", "{}_mask", "the suffixes '_sat' and '_mask'"),
        ("x_{}_leftImg8bit", "x_{}_gtFine_labelIds", "the suffixes '_leftImg8bit' and '_gtFine_labelIds'"),
    ],
)
def test_constant_prefix_or_suffix(image: str, label: str, rule: str) -> None:
    numbers = ["1", "11", "111", "2", "21"]
    found = pair(files(*map(image.format, numbers), suffix=".jpg"), files(*map(label.format, reversed(numbers))))
    assert pairs(found) == {image.format(number): [label.format(number)] for number in numbers}
    assert found.rule == rule
    assert not found.unmatched_images
    assert not found.unmatched_labels


def test_what_stays_alone_is_listed() -> None:
    found = pair(files("1", "2", "3"), files("2_mask", "3_mask", "4_mask", "5"))
    assert pairs(found) == {"2": ["2_mask"], "3": ["3_mask"]}
    assert [place.stem for place in found.unmatched_images] == ["1"]
    assert [place.stem for place in found.unmatched_labels] == ["4_mask", "5"]


def test_a_rare_affix_is_not_trusted() -> None:
    """30 labels end in _mask; that 7_old looks like 7 with another suffix is an accident."""
    numbers = [str(number) for number in range(10, 40)]
    found = pair(files(*numbers, "7"), files(*(f"{number}_mask" for number in numbers), "7_old"))
    assert [place.stem for place in found.unmatched_labels] == ["7_old"]


def test_digits_are_never_cut_apart() -> None:
    found = pair(files("1"), files("11"))
    assert not found.labels


def test_same_names_in_other_folders_and_splits_stay_apart() -> None:
    found = pair(files("train:a/1", "train:b/1", "val:a/1"), files("val:a/1", "train:b/1", "train:a/1"))
    assert [(place.split, place.folder, *paths) for place, paths in found.labels.items()] == [
        ("train", "a", Path("/train/a/1.png")),
        ("train", "b", Path("/train/b/1.png")),
        ("val", "a", Path("/val/a/1.png")),
    ]


def test_folders_may_differ_where_names_are_unique() -> None:
    assert pairs(pair(files("seq1/1", "seq2/2"), files("1", "2"))) == {"1": ["1"], "2": ["2"]}
    assert not pair(files("seq1/1", "seq2/1"), files("1")).labels


def test_labels_without_split_serve_images_with_split() -> None:
    assert pairs(pair(files("train:1", "val:2"), files("1", "2"))) == {"1": ["1"], "2": ["2"]}


def test_images_of_one_name_are_doubles() -> None:
    jpg, png = files("1", suffix=".jpg"), files("1")
    found = pair([*jpg, *png], files("1_mask"))
    assert list(found.labels) == jpg
    assert found.doubles == png


def test_masks_by_folder() -> None:
    found = pair(files("1", "2", "3"), files("leaf/1", "leaf/2", "spot/2", "spot/3"))
    assert pairs(found) == {"1": ["1"], "2": ["2", "2"], "3": ["3"]}
    assert (found.masks_by, found.mask_names) == ("folder", ("leaf", "spot"))


@pytest.mark.parametrize(("pattern", "by"), [("{0}_{1}", "suffix"), ("{1}_{0}", "prefix")])
def test_masks_by_affix(pattern: str, by: str) -> None:
    labels = [pattern.format(number, name) for number in (1, 2, 3) for name in ("leaf", "spot")]
    found = pair(files("1", "2", "3"), files(*labels))
    assert found.masks_by == by
    assert found.mask_names == (("_leaf", "_spot") if by == "suffix" else ("leaf_", "spot_"))
    assert all(len(paths) == 2 for paths in found.labels.values())


@given(st.sets(st.text("abc01_", min_size=1, max_size=6), min_size=1, max_size=8), st.data())
def test_nothing_is_used_twice_and_nothing_is_lost(names: set[str], data: st.DataObject) -> None:
    images = files(*sorted(names), suffix=".jpg")
    labels = files(*sorted(data.draw(st.sets(st.text("abc01_", min_size=1, max_size=8), min_size=1, max_size=8))))
    found = pair(images, labels)
    used = [path for paths in found.labels.values() for path in paths]
    assert len(used) == len(set(used))
    doubtful_labels = [place.path for place in found.doubtful if place in labels and place not in images]
    alone = [place.path for place in found.unmatched_labels]
    assert sorted([*used, *alone, *doubtful_labels]) == sorted(place.path for place in labels)
    doubtful_images = [place for place in found.doubtful if place in images]
    assert len(found.labels) + len(found.unmatched_images) + len(doubtful_images) == len(images)
    for image, paths in found.labels.items():
        if image.stem in {label.stem for label in labels}:
            assert image.stem in {path.stem for path in paths}


def test_a_name_that_a_paired_image_has_too_is_not_given_away() -> None:
    found = pair(files("train:a/7", "val:a/7"), files("train:a/7", "b/7"))
    assert [(place.split, *paths) for place, paths in found.labels.items()] == [("train", Path("/train/a/7.png"))]
    assert [place.folder for place in found.unmatched_labels] == ["b"]


@pytest.mark.parametrize(("image", "label"), [("7", "7"), ("7", "7_mask"), ("7_rgb", "7"), ("7_rgb", "7_mask")])
def test_splits_are_never_crossed(image: str, label: str) -> None:
    """Names are unique everywhere, and still a label of val is none of train's."""
    numbers = ("", "0", "1", "2")
    found = pair(files(*(f"train:{n}{image}" for n in numbers)), files(*(f"val:{n}{label}" for n in numbers)))
    assert not found.labels
    assert len(found.unmatched_images) == len(found.unmatched_labels) == 4


def test_labels_of_two_other_folders_of_images_are_no_masks_of_one() -> None:
    found = pair(files("a/1", "b/2", "c/3"), files("b/1", "c/1"))
    assert not found.labels


def test_labels_of_several_splits_are_no_masks_of_one_image() -> None:
    assert not pair(files("1", "2"), files("train:1", "val:1", "train:2", "val:2")).labels


def test_one_label_for_several_images_is_in_doubt() -> None:
    images = [f"{number}_{side}" for number in (1, 2, 3) for side in ("left", "right")]
    found = pair(files(*images, "4_left"), files("1", "2", "3", "4"))
    assert pairs(found) == {"4_left": ["4"]}
    assert {place.stem for place in found.doubtful} == {*images, "1", "2", "3"}
    assert "the label 1.png fits 2 images (1_left.png, 1_right.png)" in next(iter(found.doubtful.values()))
    assert not found.unmatched_images
    assert not found.unmatched_labels


@pytest.mark.parametrize(("pattern", "rare"), [("{0}_{1}", "_rider"), ("{1}_{0}", "rider_")])
def test_masks_of_rare_classes_are_taken_too(pattern: str, rare: str) -> None:
    """Two of 200 images show a rider; without its mask its pixels would be taught as background."""
    numbers = [str(number) for number in range(1000, 1200)]
    labels = [pattern.format(number, name) for number in numbers for name in ("road", "sky")]
    found = pair(files(*numbers), files(*labels, pattern.format("1007", "rider"), pattern.format("1100", "rider")))
    assert not found.unmatched_labels
    assert rare in found.mask_names
    assert [len(paths) for paths in found.labels.values()].count(3) == 2


def test_single_masks_tell_their_class_unless_words_say_nothing() -> None:
    numbers = [f"{number}" for number in range(10, 20)]
    classes = [f"{number}_{'cat' if int(number) % 2 else 'dog'}" for number in numbers]
    assert pair(files(*numbers), files(*classes)).mask_names == ("_cat", "_dog")
    for even, odd in (("mask", "label"), ("20250101", "20250102")):
        found = pair(files(*numbers), files(*(f"{n}_{odd if int(n) % 2 else even}" for n in numbers)))
        assert len(found.labels) == 10
        assert found.masks_by is None
