"""Facts of every image in a few arrays: counted, kept in a file, taken over, and brought under other classes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from folders import write_set
from fullconv.data.class_edits import ClassEdits
from fullconv.data.dataset import Dataset
from fullconv.data.description import DatasetDescription
from fullconv.data.examination import Examination, SplitPlan, examine
from fullconv.data.image_index import ImageIndex, count_images
from fullconv.data.inspection import SampleDecoder
from fullconv.data.reexamination import reconsidered


@pytest.fixture
def examination(tmp_path: Path) -> Examination:
    root = write_set(tmp_path / "set", splits={"train": 8, "val": 4})
    shutil.copyfile(root / "train/images/000.png", root / "train/images/copy.png")
    shutil.copyfile(root / "train/labels/000.png", root / "train/labels/copy.png")
    return examine(root)


def decoder_of(examination: Examination, index: ImageIndex) -> SampleDecoder:
    return SampleDecoder.of(examination.found.format, index.classes, unedited=examination.found.classes)


def same(one: ImageIndex, other: ImageIndex) -> bool:
    arrays = ("splits", "sizes", "known", "pixels", "ignored")
    lists = ("classes", "keys", "images", "labels", "checksums", "pictures")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays) and all(
        getattr(one, name) == getattr(other, name) for name in lists
    )


def test_it_reads_back_from_its_file(tmp_path: Path, examination: Examination):
    index = ImageIndex.of_examination(examination)
    index.write(tmp_path / "index.npz", about="as of today")
    found = ImageIndex.read(tmp_path / "index.npz")
    assert found is not None
    assert same(found[0], index)
    assert found[1] == "as of today"


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no archive", b"\x93NUMPY"])
def test_a_damaged_file_is_none(tmp_path: Path, content: bytes):
    (tmp_path / "index.npz").write_bytes(content)
    assert ImageIndex.read(tmp_path / "index.npz") is None
    assert ImageIndex.read(tmp_path / "missing.npz") is None


def test_counting_later_gives_what_the_examination_counted(examination: Examination):
    counted = ImageIndex.of_examination(examination)
    dataset = Dataset.from_examination(examination, name="set")
    plain = ImageIndex.of_description(DatasetDescription.of(dataset, root=str(dataset.root)))
    assert not plain.complete
    seen: list[int] = []
    later = count_images(
        plain, decoder_of(examination, plain), dataset.root, threads=2, on=lambda: seen.append(len(seen))
    )
    assert same(later, counted)
    assert len(seen) == 13
    assert [[counted.keys[place] for place in group] for group in counted.copies()] == [["train/000", "train/copy"]]


def test_a_file_that_cannot_be_read_counts_as_empty(examination: Examination):
    index = ImageIndex.of_examination(examination)
    uncounted = ImageIndex(**{**vars(index), "known": np.arange(len(index)) > 0})
    examination.inspections[0].sample.labels[0].write_bytes(b"broken")
    later = count_images(uncounted, decoder_of(examination, index), examination.found.root)
    assert later.complete
    assert not later.pixels[0].any()
    assert later.pictures[0] == ""
    assert (later.pixels[1:] == index.pixels[1:]).all()


def test_other_classes_are_counted_by_adding_up(examination: Examination):
    index = ImageIndex.of_examination(examination)
    edits = ClassEdits(merge={"way": ("road", "rider")}, drop=("sky",), recolor={"way": "#123456"})
    moved = index.under(edits.apply(examination.found.classes))
    assert moved.classes.names == ("background", "way")
    assert (moved.pixels[:, 1] == index.pixels[:, 1] + index.pixels[:, 3]).all()
    assert (moved.ignored == index.ignored + index.pixels[:, 2]).all()
    assert moved.complete
    assert not moved.under(examination.found.classes).known.any()


def test_counts_are_taken_over_where_the_files_are_the_same(examination: Examination):
    counted = ImageIndex.of_examination(examination)
    fresh = ImageIndex(
        **{
            **vars(counted),
            "checksums": ("other", *counted.checksums[1:]),
            "known": np.zeros(len(counted), dtype=bool),
            "pixels": np.zeros_like(counted.pixels),
            "pictures": ("",) * len(counted),
        }
    )
    taken = fresh.with_counts_of(counted)
    assert taken.known.tolist() == [False, *[True] * (len(counted) - 1)]
    assert (taken.pixels[1:] == counted.pixels[1:]).all()
    assert not taken.pixels[0].any()


@pytest.mark.parametrize(
    "edits",
    [
        ClassEdits(),
        ClassEdits(rename={"road": "street"}, recolor={"street": "#ffffff"}),
        ClassEdits(merge={"way": ("road", "rider")}, drop=("sky",)),
    ],
)
@pytest.mark.parametrize("shares", [None, "50/50"])
def test_choices_made_later_give_what_an_examination_with_them_gives(
    examination: Examination, edits: ClassEdits, shares: str | None
):
    plan = SplitPlan(shares or SplitPlan.shares, seed=3, forced=shares is not None)
    quick = reconsidered(examination, edits, plan)
    slow = examine(examination.found.root, edits=edits, plan=plan)
    assert quick is not None
    assert (quick.classes, quick.splits, quick.problems) == (slow.classes, slow.splits, slow.problems)
    assert quick.statistics is not None
    assert slow.statistics is not None
    left_out = set() if not edits.merge else {"stride_ceiling"}
    assert quick.statistics.model_dump(exclude=left_out) == slow.statistics.model_dump(exclude=left_out)


def test_choices_that_need_another_look_are_told(examination: Examination):
    merged = examine(examination.found.root, edits=ClassEdits(merge={"way": ("road", "rider")}))
    assert reconsidered(merged, ClassEdits(), SplitPlan()) is None
    assert reconsidered(examination, ClassEdits(remap={"3": "road"}), SplitPlan()) is None
