"""Options that must fit the set: codes to remap, lists, shares, groups, seed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from folders import class_file, label, picture, save_label, write_set
from fullconv.data.class_edits import ClassEdits
from fullconv.data.examination import SplitPlan, examine
from fullconv.errors import DataError


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [("ids", "#804080", "which hold ids"), ("ids", "70000", "beyond 65535"), ("colors", "2", "which hold colours")],
)
def test_codes_to_remap_must_be_of_the_format(tmp_path: Path, kind: str, code: str, message: str):
    with pytest.raises(DataError, match=f"--remap: .*{message}"):
        examine(write_set(tmp_path, kind=kind), edits=ClassEdits(remap={code: "road"}))


def test_a_remapped_code_that_never_occurs_is_noted(tmp_path: Path):
    examination = examine(write_set(tmp_path), edits=ClassEdits(remap={"3": "road", "99": "road"}))
    notes = [problem.message for problem in examination.problems if problem.where == "--remap"]
    assert notes == ["99 occurs in no label, so remapping it changes nothing"]


def write_list(path: Path, numbers: range) -> Path:
    path.write_text("\n".join(f"{number:03}" for number in numbers))
    return path


def test_lists_may_bear_any_usual_name_of_a_split(tmp_path: Path):
    root = write_set(tmp_path / "set")
    lists = {"Training": write_list(tmp_path / "a", range(8)), "validation": write_list(tmp_path / "b", range(8, 12))}
    assert set(examine(root, lists=lists).splits) == {"train", "val"}


def test_lists_of_no_split_and_lists_with_shares_are_refused(tmp_path: Path):
    root = write_set(tmp_path / "set")
    some = write_list(tmp_path / "a", range(8))
    with pytest.raises(DataError, match="'holdout' is no split"):
        examine(root, lists={"holdout": some})
    with pytest.raises(DataError, match="val has two lists"):
        examine(root, lists={"val": some, "valid": some})
    with pytest.raises(DataError, match="--list and --split"):
        examine(root, lists={"train": some}, plan=SplitPlan("80/20", forced=True))


def test_a_negative_seed_is_refused():
    with pytest.raises(DataError, match="--seed: -1 is no seed"):
        SplitPlan(seed=-1)


def sequences(root: Path) -> Path:
    """Two sequences, both of them in train and in val, with frames numbered anew in each."""
    for split in ("train", "val"):
        for number in range(12):
            name = f"seq{number // 6}_{number % 6}.png"
            (root / split / "images").mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(number + 100 * (split == "val"))).save(root / split / "images" / name)
            save_label(root / split / "labels" / name, label(number))
    class_file(root)
    return root


def test_groups_that_given_splits_divide_are_told(tmp_path: Path):
    examination = examine(sequences(tmp_path), plan=SplitPlan(group_by=r"seq\d"))
    problem = next(problem for problem in examination.problems if problem.kind == "group-in-two-splits")
    assert problem.severity == "warning"
    assert "'seq0' is in train and val (and 1 more such groups)" in problem.message


def test_groups_hold_across_the_split_folders_that_shares_replace(tmp_path: Path):
    plan = SplitPlan("50/50", r"^(.*)_\d$", forced=True)
    examination = examine(sequences(tmp_path), plan=plan)
    homes = {
        (found.sample.image.name[:4], split)
        for found, split in zip(examination.inspections, examination.splits, strict=True)
    }
    assert len(homes) == 2


def test_equal_names_in_two_split_folders_are_no_group(tmp_path: Path):
    plan = SplitPlan("50/50", "none", forced=True)
    examination = examine(sequences(tmp_path), plan=plan)
    homes: dict[str, set[str]] = {}
    for seen, split in zip(examination.inspections, examination.splits, strict=True):
        homes.setdefault(seen.sample.image.name, set()).add(split)
    assert max(len(splits) for splits in homes.values()) == 2


def test_the_pattern_of_groups_is_checked_where_folders_split_too(tmp_path: Path):
    with pytest.raises(DataError, match="--group-by"):
        examine(sequences(tmp_path), plan=SplitPlan(group_by="["))


def test_a_seed_that_changes_nothing_is_noted(tmp_path: Path):
    examination = examine(sequences(tmp_path), plan=SplitPlan(seed=4))
    assert any("the seed changes nothing" in problem.message for problem in examination.problems)
