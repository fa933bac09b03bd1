"""Percentages, groups and stratification."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullconv.data.splits import assign_splits, few_sequences, groups_by_name, groups_by_pattern, parse_split
from fullconv.errors import DataError

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def presence(images: int, classes: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.random((images, classes)) < np.linspace(0.05, 1, classes)) * random.integers(
        1, 500, (images, classes)
    )


def test_percentages_become_the_nearest_whole_numbers():
    assert Counter(assign_splits(presence(100, 5), shares=SHARES)) == {"train": 70, "val": 15, "test": 15}


def test_every_class_is_shared_out_like_the_images():
    pixels = presence(400, 8)
    splits = np.array(assign_splits(pixels, shares=SHARES))
    for column in (pixels > 0).T:
        assert (column & (splits == "train")).sum() / column.sum() == pytest.approx(0.7, abs=0.08)
        assert (column & (splits == "val")).any()
        assert (column & (splits == "test")).any()


def test_stratified_is_closer_than_chance():
    pixels = presence(200, 10, seed=3)
    has = pixels > 0

    def imbalance(splits: np.ndarray) -> float:
        return float(np.abs(has[splits == "val"].sum(axis=0) / has.sum(axis=0) - 0.15).mean())

    random = np.random.default_rng(0)
    chance = [imbalance(random.choice(list(SHARES), 200, p=list(SHARES.values()))) for _ in range(20)]
    assert imbalance(np.array(assign_splits(pixels, shares=SHARES))) < min(chance)


def test_same_seed_same_split_and_another_seed_another():
    pixels = presence(60, 4)
    first = assign_splits(pixels, shares=SHARES, seed=1)
    assert first == assign_splits(pixels, shares=SHARES, seed=1)
    assert first != assign_splits(pixels, shares=SHARES, seed=2)


@settings(max_examples=50, deadline=None)
@given(
    groups=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    classes=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_groups_stay_together_and_no_split_is_empty(groups: list[int], classes: int, seed: int):
    names = [str(group) for group in groups]
    splits = assign_splits(presence(len(groups), classes, seed), shares=SHARES, groups=names, seed=seed)
    homes = defaultdict(set)
    for group, split in zip(names, splits, strict=True):
        homes[group].add(split)
    assert all(len(found) == 1 for found in homes.values())
    assert len(set(splits)) == min(3, len(set(names)))
    assert "train" in splits


def test_images_without_any_labelled_pixel_are_shared_out_too():
    assert Counter(assign_splits(np.zeros((20, 3), dtype=int), shares=SHARES)) == {"train": 14, "val": 3, "test": 3}


@pytest.mark.parametrize(
    ("text", "shares"),
    [("70/15/15", SHARES), ("80/20", {"train": 0.8, "val": 0.2}), ("0.5/0.5", {"train": 0.5, "val": 0.5})],
)
def test_percentages_are_read(text: str, shares: dict[str, float]):
    assert parse_split(text) == pytest.approx(shares)


def test_a_share_of_zero_makes_no_split():
    assert parse_split("90/10/0") == {"train": 0.9, "val": 0.1}


@pytest.mark.parametrize("text", ["", "100", "a/b", "70/15/10", "-10/110", "0/100", "25/25/25/25", "nan/1"])
def test_wrong_percentages_are_refused(text: str):
    with pytest.raises(DataError, match="--split"):
        parse_split(text)


def test_pattern_groups_by_what_it_captures():
    keys = ["a/patient07_1", "b/patient07_2", "patient08_1", "other"]
    groups = groups_by_pattern(keys, r"patient(\d+)")
    assert groups[:3] == ["07", "07", "08"]
    assert groups[3] not in groups[:3]


def test_pattern_without_capture_groups_by_all_that_it_matches():
    assert groups_by_pattern(["s1_a", "s1_b", "s2_a"], r"^s\d") == ["s1", "s1", "s2"]


@pytest.mark.parametrize(("pattern", "message"), [("[", "regular"), ("zzz", "found in no"), ("frame", "one group")])
def test_useless_patterns_are_refused(pattern: str, message: str):
    with pytest.raises(DataError, match=message):
        groups_by_pattern(["frame1", "frame2"], pattern)


def test_folders_of_sequences_are_groups():
    keys = [f"city{city}/{number}" for city in range(7) for number in range(5)]
    assert len(set(groups_by_name(keys) or ())) == 7


@pytest.mark.parametrize(
    "keys",
    [
        [f"{number:04}" for number in range(50)],
        [f"healthy_{number}" for number in range(25)] + [f"sick_{number}" for number in range(25)],
        [f"photo of thing {number}x" for number in range(50)],
    ],
)
def test_plain_names_show_no_groups(keys: list[str]):
    assert groups_by_name(keys) is None


def test_few_sequences_are_named_but_not_split_by():
    keys = [f"seq{sequence}_{frame:05}" for sequence in range(3) for frame in range(20)]
    assert groups_by_name(keys) is None
    assert few_sequences(keys) == ["seq0", "seq1", "seq2"]
    assert few_sequences([str(number) for number in range(20)]) == []
