"""Datasets from folders, written, opened again, edited by hand, read."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from folders import COLORS, class_file, label, picture, save_label, write_set
from fullconv.data.class_edits import ClassEdits
from fullconv.data.dataset import Dataset
from fullconv.data.dataset_paths import dataset_names, default_name
from fullconv.errors import DataError, StorageError
from fullconv.workspace import Workspace

SPLITS = {"train": 6, "val": 3, "test": 2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path / "streets", splits=SPLITS)


@pytest.fixture
def workspace(workspace_home: Path) -> Workspace:
    return Workspace.find(workspace_home)


def edit(path: Path, **changes: object) -> None:
    content = yaml.safe_load(path.read_text())
    content.update(changes)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def test_folders_named_as_splits_are_splits(root: Path):
    dataset = Dataset.from_folders(root)
    assert dataset.name == "streets"
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [6, 3, 2]
    assert all(sample.split == "val" for sample in dataset.val)


@pytest.mark.parametrize("kind", ["ids", "colors", "palette"])
def test_samples_are_read_as_they_were_written(tmp_path: Path, kind: str):
    dataset = Dataset.from_folders(write_set(tmp_path, 6, kind=kind))
    for number, sample in enumerate(sorted(dataset, key=lambda sample: sample.key)):
        np.testing.assert_array_equal(dataset.read_image(sample), picture(number))
        np.testing.assert_array_equal(dataset.read_label(sample), label(number))


def test_indexing_gives_image_and_label(root: Path):
    image, ids = Dataset.from_folders(root).val[1]
    assert image.shape == (24, 32, 3)
    assert ids.shape == (24, 32)
    assert ids.dtype == np.uint8


def test_without_split_folders_percentages_hold(tmp_path: Path):
    dataset = Dataset.from_folders(write_set(tmp_path, 20))
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [14, 3, 3]


def test_percentages_given_overrule_folders(root: Path):
    dataset = Dataset.from_folders(root, split="50/50")
    assert len(dataset.test) == 0
    assert abs(len(dataset.train) - len(dataset.val)) <= 1


def test_training_without_validation_folder_gives_some_of_it(tmp_path: Path):
    dataset = Dataset.from_folders(write_set(tmp_path, splits={"train": 20, "test": 5}))
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [17, 3, 5]


def test_groups_stay_together(tmp_path: Path):
    root = write_set(tmp_path, 20)
    dataset = Dataset.from_folders(root, group_by=r"(\d\d)\d$", split="50/50")
    homes = {(sample.key.split("/")[-1][:2], sample.split) for sample in dataset}
    assert len(homes) == 2


def test_separate_folders_and_list_files(tmp_path: Path):
    root = write_set(tmp_path / "set", 10)
    for split, numbers in (("train", range(6)), ("val", range(6, 10))):
        (tmp_path / f"{split}.txt").write_text("\n".join(f"{number:03}" for number in numbers))
    lists = {split: tmp_path / f"{split}.txt" for split in ("train", "val")}
    dataset = Dataset.from_folders(root / "images", root / "labels", lists=lists)
    assert [len(dataset.train), len(dataset.val)] == [6, 4]


def test_classes_are_edited_without_touching_files(root: Path):
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    dataset = Dataset.from_folders(
        root, rename={"rider": "cyclist"}, merge={"outside": ["road", "sky"]}, remap={"0": "ignore"}
    )
    assert dataset.classes.names == ("outside", "cyclist")
    expected = np.array([255, 0, 0, 1], dtype=np.uint8)[label(0)]
    np.testing.assert_array_equal(dataset.read_label(dataset.train.samples[0]), expected)
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("unlabelled", "value"), [("background", 0), ("ignore", 255)])
def test_images_without_label_mean_what_was_said(tmp_path: Path, unlabelled: str, value: int):
    root = write_set(tmp_path)
    (root / "labels" / "003.png").unlink()
    dataset = Dataset.from_folders(root, unlabelled=unlabelled)  # type: ignore[arg-type]
    assert len(dataset) == 12
    sample = next(sample for sample in dataset if sample.key.endswith("003"))
    assert (dataset.read_label(sample) == value).all()


def test_saved_and_opened_again_is_the_same(root: Path, workspace: Workspace):
    dataset = Dataset.from_folders(root, drop=["sky"])
    path = dataset.save(workspace)
    assert path == workspace.root / "datasets" / "streets" / "dataset.yaml"
    for where in ("streets", path, path.parent):
        again = Dataset.load(where, workspace)
        assert again.fingerprint == dataset.fingerprint
        assert again.samples == dataset.samples
        assert again.statistics == dataset.statistics
        assert again.classes == dataset.classes
        assert again.sizes == ((24, 32),) * 11
    assert dataset_names(workspace) == ["streets"]


def test_opening_an_unchanged_dataset_writes_and_decodes_nothing(root: Path, workspace: Workspace, monkeypatch):
    path = Dataset.from_folders(root).save(workspace)
    state = path.stat().st_mtime_ns, path.read_bytes()
    monkeypatch.setattr("fullconv.data.examination.inspect_samples", None)
    Dataset.load("streets", workspace)
    assert (path.stat().st_mtime_ns, path.read_bytes()) == state


def test_classes_are_changed_and_counted_again(root: Path, workspace: Workspace):
    path = Dataset.from_folders(root).save(workspace)
    before = Dataset.load(path)
    changed = Dataset.change_classes(path, ClassEdits(merge={"way": ("road", "rider")}))
    assert changed.classes.names == ("background", "way", "sky")
    assert changed.statistics.splits["train"].pixels["way"] > 0
    again = Dataset.load(path)
    assert (again.statistics, again.fingerprint) == (changed.statistics, changed.fingerprint)
    assert again.fingerprint != before.fingerprint


def test_a_change_that_leaves_nothing_to_learn_is_not_written(root: Path, workspace: Workspace):
    path = Dataset.from_folders(root).save(workspace)
    written = path.read_bytes()
    with pytest.raises(DataError, match="nothing to tell apart"):
        Dataset.change_classes(path, ClassEdits(drop=("road", "sky", "rider")))
    assert path.read_bytes() == written


def test_other_colours_change_nothing_but_pictures(root: Path, workspace: Workspace):
    path = Dataset.from_folders(root).save(workspace)
    before = Dataset.load(path)
    changed = Dataset.change_classes(path, ClassEdits(recolor={"road": "#010203"}))
    assert changed.classes.classes[1].color == (1, 2, 3)
    assert (changed.fingerprint, changed.statistics) == (before.fingerprint, before.statistics)
    assert Dataset.load(path).classes == changed.classes


def test_classes_edited_in_the_file_are_counted_again(root: Path, workspace: Workspace):
    path = Dataset.from_folders(root).save(workspace)
    edit(path, edits={"rename": {"rider": "cyclist"}, "drop": ["sky"]})
    dataset = Dataset.load(path)
    assert dataset.classes.names == ("background", "road", "cyclist")
    assert list(dataset.statistics.splits["train"].pixels) == ["background", "road", "cyclist"]
    assert dataset.statistics == Dataset.from_folders(root, rename={"rider": "cyclist"}, drop=["sky"]).statistics
    assert Dataset.load(path).statistics == dataset.statistics


def test_a_changed_label_changes_the_fingerprint_and_the_counts(root: Path, workspace: Workspace):
    dataset = Dataset.from_folders(root)
    dataset.save(workspace)
    save_label(root / "train" / "labels" / "000.png", np.full((24, 32), 3, dtype=np.uint8))
    again = Dataset.load("streets", workspace)
    assert again.fingerprint != dataset.fingerprint
    assert again.statistics.splits["train"].pixels["rider"] > dataset.statistics.splits["train"].pixels["rider"]


def test_a_touched_file_keeps_the_fingerprint(root: Path, workspace: Workspace):
    dataset = Dataset.from_folders(root)
    dataset.save(workspace)
    os.utime(root / "train" / "labels" / "000.png", (1, 1))
    assert Dataset.load("streets", workspace).fingerprint == dataset.fingerprint


def test_a_label_broken_after_creation_is_told_on_opening(root: Path, workspace: Workspace):
    Dataset.from_folders(root).save(workspace)
    (root / "train" / "labels" / "000.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"000\.png"):
        Dataset.load("streets", workspace)


def test_splits_and_edits_have_fingerprints_of_their_own(root: Path):
    dataset = Dataset.from_folders(root)
    others = [dataset.train, dataset.val, Dataset.from_folders(root, drop=["sky"])]
    assert len({dataset.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert dataset.train.fingerprint == Dataset.from_folders(root).train.fingerprint


def test_a_dataset_moves_with_a_relative_root(root: Path, tmp_path: Path):
    path = Dataset.from_folders(root).save(Workspace(tmp_path / "here"))
    edit(path, root=".")
    path.rename(root / "dataset.yaml")
    root.rename(tmp_path / "moved")
    assert len(Dataset.load(tmp_path / "moved")) == 11


def test_a_name_that_is_taken_is_refused(root: Path, workspace: Workspace):
    dataset = Dataset.from_folders(root)
    dataset.save(workspace)
    with pytest.raises(StorageError, match="exists already"):
        dataset.save(workspace)


def test_errors_refuse_the_set_in_one_sentence(root: Path):
    (root / "train" / "images" / "001.png").write_bytes(b"")
    save_label(root / "val" / "labels" / "007.png", label(7, (9, 9)))
    with pytest.raises(DataError, match=r"train/images/001.png: .*\(one of 2 errors: fullconv data check"):
        Dataset.from_folders(root)


def test_allowed_strange_codes_are_ignored_pixels(root: Path):
    ids = label(0)
    ids[0, 0] = 200
    save_label(root / "train" / "labels" / "000.png", ids)
    with pytest.raises(DataError, match="200 is no class"):
        Dataset.from_folders(root)
    dataset = Dataset.from_folders(root, allow=["unknown-class-code"])
    assert dataset.read_label(dataset.train.samples[0])[0, 0] == 255
    remapped = Dataset.from_folders(root, remap={"200": "sky"})
    assert remapped.read_label(remapped.train.samples[0])[0, 0] == 2


def test_grey_and_colored_images_are_read_alike(tmp_path: Path):
    root = write_set(tmp_path)
    Image.fromarray(picture(3)).convert("L").save(root / "images" / "003.png")
    dataset = Dataset.from_folders(root)
    assert {image.shape[2] for image, _ in (dataset[index] for index in range(12))} == {3}


@pytest.mark.parametrize(
    ("alpha", "channels"), [(np.full((24, 32), 200), 3), (np.arange(24 * 32).reshape(24, 32) % 256, 4)]
)
def test_alpha_reaches_the_network_only_where_it_says_something(tmp_path: Path, alpha: np.ndarray, channels: int):
    root = write_set(tmp_path)
    for number in range(12):
        image = np.dstack([picture(number), alpha.astype(np.uint8)])
        Image.fromarray(image).save(root / "images" / f"{number:03}.png")
    dataset = Dataset.from_folders(root)
    assert dataset.channels == channels == len(dataset.statistics.channel_mean)
    assert dataset[0][0].shape == (24, 32, channels)


def test_bands_and_bits_of_tiff_are_kept(tmp_path: Path):
    root = write_set(tmp_path)
    stack = np.random.default_rng(0).integers(0, 65536, (12, 24, 32, 5), dtype=np.uint16)
    for number, bands in enumerate(stack):
        (root / "images" / f"{number:03}.png").unlink()
        tifffile.imwrite(root / "images" / f"{number:03}.tif", bands, photometric="minisblack", planarconfig="contig")
    dataset = Dataset.from_folders(root)
    assert (dataset.channels, dataset.dtype) == (5, "uint16")
    for number, sample in enumerate(dataset):
        np.testing.assert_array_equal(dataset.read_image(sample), stack[number])


def test_one_mask_per_class_survives_saving(tmp_path: Path, workspace: Workspace):
    root = write_set(tmp_path / "set", names=False)
    for number in range(12):
        (root / "labels" / f"{number:03}.png").unlink()
        for value, name in ((1, "bus"), (2, "car")):
            mask = (label(number, classes=3) == value).astype(np.uint8) * 255
            save_label(root / "labels" / name / f"{number:03}.png", mask)
    Dataset.from_folders(root).save(workspace)
    dataset = Dataset.load("set", workspace)
    assert dataset.classes.names == ("background", "bus", "car")
    for number, sample in enumerate(dataset):
        np.testing.assert_array_equal(dataset.read_label(sample), label(number, classes=3))


def test_more_than_255_classes_are_kept_apart(tmp_path: Path, workspace: Workspace):
    root = write_set(tmp_path / "set", names=False)
    ids = (np.arange(24 * 32).reshape(24, 32) // 2 % 300).astype(np.uint16)
    for number in range(12):
        Image.fromarray(ids).save(root / "labels" / f"{number:03}.png")
    Dataset.from_folders(root).save(workspace)
    dataset = Dataset.load("set", workspace)
    assert dataset.classes.ignore_index == 65535
    np.testing.assert_array_equal(dataset.read_label(dataset.samples[0]), ids)


def test_it_can_be_sent_to_worker_processes(root: Path):
    dataset = Dataset.from_folders(root)
    again = pickle.loads(pickle.dumps(dataset.train))
    np.testing.assert_array_equal(again[0][1], dataset.train[0][1])


def test_an_unknown_name_lists_those_that_exist(root: Path, workspace: Workspace):
    Dataset.from_folders(root).save(workspace)
    with pytest.raises(DataError, match="are: streets"):
        Dataset.load("street", workspace)


@pytest.mark.parametrize(
    ("path", "name"), [("/a/b/images", "b"), ("/a/My set (1)", "My-set-1"), ("/images", "images"), ("/é/ü", "dataset")]
)
def test_names_are_taken_from_folders(path: str, name: str):
    assert default_name(Path(path)) == name


def test_editing_classes_keeps_splits_and_what_the_scan_told(tmp_path: Path, workspace: Workspace):
    root = write_set(tmp_path / "set", 30)
    (root / "labels" / "003.png").unlink()
    dataset = Dataset.from_folders(root, split="50/50", seed=7)
    path = dataset.save(workspace)
    told = {(problem.kind, problem.message) for problem in dataset.problems}
    assert "unmatched-image" in {kind for kind, _ in told}
    edit(path, edits={"rename": {"rider": "cyclist"}})
    again = Dataset.load(path)
    assert again.classes.names[-1] == "cyclist"
    assert [sample.split for sample in again] == [sample.split for sample in dataset]
    assert {(problem.kind, problem.message) for problem in again.problems} == told


def test_a_set_of_training_images_alone_is_not_split_on_editing(tmp_path: Path, workspace: Workspace):
    path = Dataset.from_folders(write_set(tmp_path / "set", 24)).save(workspace)
    samples = [{**sample, "split": "train"} for sample in yaml.safe_load(path.read_text())["samples"]]
    edit(path, samples=samples)
    assert len(Dataset.load(path).train) == 24


def test_a_file_changed_at_equal_size_and_older_than_its_image_is_noticed(tmp_path: Path, workspace: Workspace):
    root = write_set(tmp_path / "set")
    for number in range(12):
        (root / "labels" / f"{number:03}.png").unlink()
        tifffile.imwrite(root / "labels" / f"{number:03}.tif", label(number))
    changed = root / "labels" / "000.tif"
    os.utime(changed, (1_000_000, 1_000_000))
    before = Dataset.from_folders(root)
    before.save(workspace)
    tifffile.imwrite(changed, label(50))
    os.utime(changed, (2_000_000, 2_000_000))
    again = Dataset.load("set", workspace)
    assert again.fingerprint != before.fingerprint
    assert again.statistics != before.statistics


@pytest.mark.parametrize(
    ("edits", "value"),
    [
        ({"rename": {"background": "nothing"}}, 0),
        ({"merge": {"ground": ["road", "background"]}}, 0),
        ({"drop": ["background"]}, 255),
    ],
)
def test_background_is_what_the_files_call_so_whatever_becomes_of_it(tmp_path: Path, edits: dict, value: int):
    root = write_set(tmp_path)
    (root / "labels" / "003.png").unlink()
    dataset = Dataset.from_folders(root, unlabelled="background", **edits)
    sample = next(sample for sample in dataset if sample.key.endswith("003"))
    assert (dataset.read_label(sample) == value).all()


def test_unlabelled_images_are_no_background_where_there_is_none(tmp_path: Path):
    root = write_set(tmp_path)
    class_file(root, ("ground", "road", "sky", "rider"))
    (root / "labels" / "003.png").unlink()
    with pytest.raises(DataError, match="--unlabelled background"):
        Dataset.from_folders(root, unlabelled="background")
    named = Dataset.from_folders(root, unlabelled="background", rename={"sky": "Background"})
    assert (named.read_label(next(sample for sample in named if sample.key.endswith("003"))) == 2).all()


@pytest.mark.realdata
def test_coffee_leaf_pairs_by_suffix(shared: Path):
    dataset = Dataset.from_folders(shared / "data" / "coffee_leaf")
    assert dataset.classes.names == ("background", "leaf", "symptom")
    assert len(dataset) == 64
    assert len(COLORS) > len(dataset.classes)
