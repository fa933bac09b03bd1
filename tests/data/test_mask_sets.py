"""Masks of one class each keep their class, however rare it is and whatever its folder is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fullconv.data.labels import LabelReader
from fullconv.data.scan import Scan, scan
from fullconv.errors import DataError


def save(path: Path, levels: object = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.broadcast_to(np.asarray(levels, dtype=np.uint8), (4, 6))
    Image.fromarray(np.ascontiguousarray(values)).save(path)


THING = [[0, 255, 255, 255, 0, 0]]


def firsts(found: Scan) -> dict[str, set[int]]:
    reader = LabelReader(found.format, found.classes)
    return {sample.key: set(reader.read(sample)[0].tolist()) for sample in found.samples}


@pytest.mark.parametrize("place", ["{1}/{0}", "{0}_{1}"])
def test_one_mask_per_image_of_the_class_in_its_suffix_or_folder(tmp_path: Path, place: str) -> None:
    for number in range(20):
        save(tmp_path / f"images/{number:02}.png")
        save(tmp_path / f"masks/{place.format(f'{number:02}', 'cat' if number < 10 else 'dog')}.png", THING)
    found = scan(tmp_path)
    assert (found.format.kind, found.classes.names) == ("masks", ("background", "cat", "dog"))
    assert {key: values - {0} for key, values in firsts(found).items()} == {
        f"{number:02}": {1 if number < 10 else 2} for number in range(20)
    }
    assert "if all show the same class, say --format binary" in found.notes[-1]
    assert scan(tmp_path, format="binary").format.kind == "binary"


@pytest.mark.parametrize("place", ["leaf/{0}", "{0}_leaf"])
def test_masks_of_a_single_class_can_be_forced(tmp_path: Path, place: str) -> None:
    for number in range(3):
        save(tmp_path / f"images/{number}.png")
        save(tmp_path / f"masks/{place.format(number)}.png", THING)
    assert scan(tmp_path).format.kind == "binary"
    assert scan(tmp_path, format="masks").classes.names == ("background", "leaf")


def test_masks_cannot_be_forced_where_nothing_tells_a_class(tmp_path: Path) -> None:
    save(tmp_path / "images/1.png")
    save(tmp_path / "masks/1.png", THING)
    with pytest.raises(DataError, match="has 1 label file and nothing tells the classes of masks"):
        scan(tmp_path, format="masks")


def test_folders_that_images_have_too_are_no_classes(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"images/seq_{number % 2}/{number}.png")
        save(tmp_path / f"masks/seq_{number % 2}/{number}.png", THING)
    assert scan(tmp_path).format.kind == "binary"


@pytest.mark.parametrize("inside", ["", "train/"])
@pytest.mark.parametrize("together", [True, False])
def test_a_class_called_train_is_no_split(tmp_path: Path, inside: str, together: bool) -> None:
    for number in range(3):
        save(tmp_path / f"images/{inside}{number}.png")
        for column, name in enumerate(("picture", "rider", "train")):
            save(tmp_path / f"masks/{inside}{name}/{number}.png", np.arange(6)[None] == column)
    found = scan(tmp_path) if together else scan(tmp_path / "images", tmp_path / "masks")
    assert found.classes.names == ("background", "picture", "rider", "train")
    assert list(firsts(found).values()) == [{0, 1, 2, 3}] * 3
    assert {sample.split for sample in found.samples} == {"train" if inside else None}
    assert (found.unmatched_images, found.unmatched_labels, found.problems) == ((), (), ())


def test_a_split_beside_a_folder_of_another_name_stays_a_split(tmp_path: Path) -> None:
    for number, folder in enumerate(("train", "val", "extra")):
        save(tmp_path / f"images/{folder}/{number}.png")
        save(tmp_path / f"masks/{folder}/{number}.png", THING)
    found = scan(tmp_path)
    assert [sample.split for sample in found.samples] == [None, "train", "val"]
    assert found.format.kind == "binary"


def test_a_label_that_fits_several_images_is_a_problem(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"images/{number}_left.png")
        save(tmp_path / f"images/{number}_right.png")
        save(tmp_path / f"labels/{number}.png", [[0, 1, 2, 0, 1, 2]])
    with pytest.raises(DataError, match=r"the label 0.png fits 2 images \(0_left.png, 0_right.png\)"):
        scan(tmp_path)
    (tmp_path / "images/2_right.png").unlink()
    found = scan(tmp_path, unlabelled="background")
    assert [sample.key for sample in found.samples] == ["2_left"]
    assert len(found.problems) == 6


def test_images_and_labels_on_two_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "images/1.png")
    save(tmp_path / "masks/1.png", THING)

    def refuse(_: object) -> str:
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr("os.path.commonpath", refuse)
    assert scan(tmp_path / "images", tmp_path / "masks").root == tmp_path / "images"


def test_a_rare_second_class_of_single_masks_is_taken(tmp_path: Path) -> None:
    """150 images have a road and two of them a rider too: too few to trust the affix, were the masks not binary."""
    for number in range(100, 250):
        save(tmp_path / f"images/{number}.png")
        save(tmp_path / f"masks/{number}_road.png", THING)
    for number in (107, 200):
        save(tmp_path / f"masks/{number}_rider.png", [[0, 0, 0, 0, 0, 255]])
    found = scan(tmp_path)
    assert found.classes.names == ("background", "rider", "road")
    assert [key for key, values in firsts(found).items() if 1 in values] == ["107", "200"]
    assert found.unmatched_labels == ()
    save(tmp_path / "masks/107_rider.png", [[0, 1, 2, 3, 4, 5]])
    found = scan(tmp_path)
    assert found.format.kind == "binary"
    assert len(found.unmatched_labels) == 2


def test_folders_that_differ_by_numbers_alone_are_no_classes(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"images/{number}.png")
        save(tmp_path / f"masks/batch_{number % 2}/{number}.png", THING)
    assert scan(tmp_path).format.kind == "binary"
