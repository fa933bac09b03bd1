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
    images = files(*sorted(names))
    labels = files(*sorted(data.draw(st.sets(st.text("abc01_", min_size=1, max_size=8), min_size=1, max_size=8))))
    found = pair(images, labels)
    used = [path for paths in found.labels.values() for path in paths]
    assert len(used) == len(set(used))
    assert sorted([*used, *(place.path for place in found.unmatched_labels)]) == sorted(place.path for place in labels)
    assert len(found.labels) + len(found.unmatched_images) == len(images)
    for image, paths in found.labels.items():
        if image.stem in {label.stem for label in labels}:
            assert image.stem in {path.stem for path in paths}
