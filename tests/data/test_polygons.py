"""COCO and LabelMe outlines become the maps that their own tools draw."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco_mask

from fullconv.data.polygons import fill_runs, unpack_runs
from fullconv.data.scan import scan
from fullconv.errors import DataError
from outlines import SQUARE, TRIANGLE, coco, labelme, photos, read, shape, write


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1)))
def test_run_lengths_are_filled_as_pycocotools_does(mask: np.ndarray) -> None:
    packed = coco_mask.encode(np.asfortranarray(mask))["counts"]
    assert np.array_equal(fill_runs(unpack_runs(packed), *mask.shape), mask)


@pytest.mark.parametrize("packed", [b"", b"p", b"5\xff", b"5!"])
def test_damaged_run_lengths_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        unpack_runs(packed)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_polygons_and_both_kinds_of_run_lengths(tmp_path: Path) -> None:
    spot = np.zeros((10, 12), dtype=np.uint8)
    spot[4:6, 4:7] = 1
    packed = coco_mask.encode(np.asfortranarray(spot))
    flat = spot.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(edges, prepend=0, append=flat.size).tolist()
    square = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(SQUARE, 10, 12)))
    expected = np.where(spot, 2, square)
    photos(tmp_path / "images", "a.jpg")
    for outline in ({"size": [10, 12], "counts": packed["counts"].decode()}, {"size": [10, 12], "counts": counts}):
        # The small one comes first in the file and still lies on top.
        content = coco({"segmentation": outline, "category_id": 5, "iscrowd": 1}, {"segmentation": SQUARE})
        found = scan(tmp_path / "images", write(tmp_path / "instances.json", content))
        assert found.format.kind == "coco"
        assert found.classes.names == ("background", "leaf", "spot")
        assert [entry.value for entry in found.classes.classes] == [0, 3, 5]
        assert np.array_equal(read(found), expected)


def test_coco_under_one_root_with_splits_in_the_file_names(tmp_path: Path) -> None:
    photos(tmp_path / "train2017", "a.jpg", "b.jpg")
    photos(tmp_path / "val2017", "a.jpg")
    one = coco({"segmentation": SQUARE}, images=("a.jpg", "b.jpg", "gone.jpg"))
    write(tmp_path / "annotations" / "instances_train2017.json", one)
    write(tmp_path / "annotations" / "instances_val2017.json", coco({"segmentation": SQUARE, "category_id": 5}))
    write(tmp_path / "annotations" / "captions_val2017.json", {"images": [], "annotations": []})
    found = scan(tmp_path)
    assert [(sample.key, sample.split) for sample in found.samples] == [
        ("train/a", "train"), ("train/b", "train"), ("val/a", "val"),
    ]  # fmt: skip
    assert [int(read(found, n).max()) for n in range(3)] == [1, 0, 2]
    assert any("instances_train2017.json names 1 image not there, such as gone.jpg" in note for note in found.notes)


def test_coco_beside_its_images(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        photos(tmp_path / split, f"{split}.jpg")
        write(tmp_path / split / "_annotations.coco.json", coco({"segmentation": SQUARE}, images=(f"{split}.jpg",)))
    found = scan(tmp_path)
    assert [(sample.key, sample.split) for sample in found.samples] == [("train/train", "train"), ("val/valid", "val")]


def test_coco_file_names_with_folders(tmp_path: Path) -> None:
    photos(tmp_path / "images" / "x", "a.jpg")
    photos(tmp_path / "images" / "y", "a.jpg")
    content = coco({"segmentation": SQUARE}, images=("x/a.jpg", "y/a.jpg"))
    found = scan(tmp_path / "images", write(tmp_path / "labels.json", content))
    assert [(sample.key, int(read(found, n).max())) for n, sample in enumerate(found.samples)] == [
        ("x/a", 1),
        ("y/a", 0),
    ]


def test_coco_background_takes_a_free_id(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg")
    categories = [{"id": 0, "name": "leaf", "color": [0, 200, 0]}, {"id": 3, "name": "spot", "color": "#ff0000"}]
    write(tmp_path / "a.json", coco({"segmentation": SQUARE}, categories=categories))
    found = scan(tmp_path)
    assert {entry.name: entry.value for entry in found.classes.classes} == {"background": 255, "leaf": 0, "spot": 3}
    assert found.classes.colors[1:].tolist() == [[0, 200, 0], [255, 0, 0]]


def test_images_that_coco_does_not_name_are_unmatched(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path / "a.json", coco({"segmentation": SQUARE}))
    assert [path.name for path in scan(tmp_path).unmatched_images] == ["b.jpg"]
    assert [len(sample.labels) for sample in scan(tmp_path, unlabelled="ignore").samples] == [1, 0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (coco({"segmentation": []}), "holds boxes but no outlines"),
        (coco({"segmentation": SQUARE}, images=("z.jpg",)), "names none of the images"),
        ({"images": [{}], "annotations": [], "categories": []}, r"is no complete COCO file \('id' is missing"),
        (coco({"segmentation": SQUARE}, categories=[{"id": 70_000, "name": "x"}]), "category id 70000 is too large"),
        ([], "no labels"),
    ],
)
def test_coco_files_that_cannot_be_used(tmp_path: Path, content: object, sentence: str) -> None:
    photos(tmp_path, "a.jpg")
    write(tmp_path / "a.json", content)
    with pytest.raises(DataError, match=sentence):
        scan(tmp_path)


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        ({"segmentation": [[1, 2, 3, 4]]}, "annotation 0: a polygon needs at least three points"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "a polygon needs at least three points"),
        ({"segmentation": {"size": [5, 5], "counts": [25]}}, "run lengths are for 5×5 pixels, the image has 12×10"),
        ({"segmentation": {"size": [10, 12], "counts": [7]}}, "do not add up"),
        ({"segmentation": {"size": [10, 12]}}, "cannot be drawn"),
        ({"segmentation": SQUARE, "category_id": 9}, "category 9 is not there"),
    ],
)
def test_annotations_that_cannot_be_drawn(tmp_path: Path, annotation: dict[str, Any], sentence: str) -> None:
    photos(tmp_path, "a.jpg")
    write(tmp_path / "a.json", coco(annotation))
    found = scan(tmp_path)
    with pytest.raises(DataError, match=sentence):
        read(found)


def test_labelme_shapes_are_drawn_in_their_order(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg", "b.jpg")
    mask = io.BytesIO()
    Image.fromarray(np.array([[1, 0], [1, 1]], dtype=np.uint8)).save(mask, "png")
    shapes = [
        shape("leaf", [[8, 6], [0, 0]], "rectangle"),
        shape("spot", [[2, 2], [3, 2]], "circle"),
        shape("dot", [[10, 8], [11, 9]], "mask", mask=base64.b64encode(mask.getvalue()).decode()),
        shape("_background_", [[0, 0], [1, 1]], "rectangle"),
    ]
    write(tmp_path / "a.json", labelme(*shapes))
    write(tmp_path / "b.json", labelme(TRIANGLE))
    found = scan(tmp_path)
    assert found.format.kind == "labelme"
    assert found.classes.names == ("background", "dot", "leaf", "spot")
    expected = np.zeros((10, 12), dtype=np.uint8)
    expected[0:7, 0:9] = 2
    expected[1:4, 2] = expected[2, 1:4] = 3
    expected[8:10, 10] = expected[9, 11] = 1
    expected[0:2, 0:2] = 0
    drawn = read(found)
    corners = [(1, 3), (3, 1), (3, 3)]  # whether a circle of radius 1 holds its corners is the drawing library's affair
    for corner in corners:
        drawn[corner] = expected[corner]
    assert np.array_equal(drawn, expected)
    assert read(found, 1)[2, 2] == 3


def test_labelme_takes_order_and_colours_from_a_class_file(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg")
    (tmp_path / "classes.txt").write_text("spot 255 0 0\nleaf 0 255 0\n")
    write(
        tmp_path / "a.json",
        labelme(TRIANGLE, shape("leaf", [[5, 5], [6, 6], [5, 7]]), shape("__ignore__", [[0, 0], [1, 0], [1, 1]])),
    )
    found = scan(tmp_path)
    assert found.classes.names == ("background", "spot", "leaf")
    assert found.classes.colors[1:].tolist() == [[255, 0, 0], [0, 255, 0]]
    assert [entry.name for entry in found.classes.ignored] == ["__ignore__"]
    assert read(found)[0, 1] == 255


def test_labelme_in_a_folder_of_its_own(tmp_path: Path) -> None:
    photos(tmp_path / "images", "a.jpg", "b.jpg")
    write(tmp_path / "json" / "a.json", labelme(TRIANGLE))
    found = scan(tmp_path / "images", tmp_path / "json")
    assert [sample.key for sample in found.samples] == ["a"]
    assert [path.name for path in found.unmatched_images] == ["b.jpg"]


@pytest.mark.parametrize(
    ("damaged", "sentence"),
    [
        (shape("spot", [[1, 1], [2, 2]]), r"shape 1: cannot be drawn \(a polygon needs at least three points\)"),
        (shape("spot", [[1, 1], ["x", 2], [3, 3]]), "shape 1: cannot be drawn"),
        (shape("spot", [[1, 1]], "star"), "'star' is no shape type"),
        (shape("spot", [[1, 1], [2, 2]], "mask"), "shape 1: cannot be drawn"),
    ],
)
def test_labelme_shapes_that_cannot_be_drawn(tmp_path: Path, damaged: dict[str, Any], sentence: str) -> None:
    photos(tmp_path, "a.jpg")
    write(tmp_path / "a.json", labelme(damaged))
    found = scan(tmp_path)
    with pytest.raises(DataError, match=sentence):
        read(found)


def test_label_that_came_later_is_named(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg")
    path = write(tmp_path / "a.json", labelme(TRIANGLE))
    found = scan(tmp_path)
    write(path, labelme(shape("stem", [[1, 1], [9, 1], [1, 8]])))
    with pytest.raises(DataError, match=r"a.json, shape 1: 'stem' is no class; classes are: spot"):
        read(found)


def test_broken_json_is_a_problem_of_its_file_alone(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path / "a.json", labelme(TRIANGLE))
    (tmp_path / "b.json").write_text("{")
    found = scan(tmp_path)
    assert [(path.name, "cannot be read as JSON" in sentence) for path, sentence in found.problems] == [
        ("b.json", True)
    ]
    (tmp_path / "a.json").unlink()
    with pytest.raises(DataError, match=r"b.json: cannot be read as JSON"):
        scan(tmp_path)


def test_both_kinds_together_need_a_choice(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg")
    write(tmp_path / "a.json", labelme(TRIANGLE))
    write(tmp_path / "instances.json", coco({"segmentation": SQUARE}))
    with pytest.raises(DataError, match="choose one with --format"):
        scan(tmp_path)
    assert scan(tmp_path, format="coco").format.kind == "coco"
    assert scan(tmp_path, format="labelme").format.kind == "labelme"


def test_polygons_drawn_on_the_stored_picture_are_turned_with_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (12, 10)).save(tmp_path / "a.jpg", exif=exif)
    write(tmp_path / "a.json", coco({"segmentation": SQUARE}))
    assert read(scan(tmp_path)).shape == (12, 10)


def two_cameras(root: Path) -> None:
    for camera in ("camA", "camB"):
        photos(root / "images" / camera, "1.png")


def test_coco_entries_with_folders_name_no_images_of_other_folders(tmp_path: Path) -> None:
    two_cameras(tmp_path)
    found = scan(
        tmp_path / "images", write(tmp_path / "a.json", coco({"segmentation": SQUARE}, images=("camA/1.png",)))
    )
    assert [sample.key for sample in found.samples] == ["camA/1"]
    assert found.unmatched_images == (tmp_path / "images/camB/1.png",)
    with pytest.raises(DataError, match="folders in them must be those of the images"):
        scan(tmp_path / "images", write(tmp_path / "a.json", coco({"segmentation": SQUARE}, images=("camC/1.png",))))


def test_coco_entries_that_fit_several_images_are_in_doubt(tmp_path: Path) -> None:
    two_cameras(tmp_path)
    photos(tmp_path / "images" / "camB", "2.png")
    content = coco({"segmentation": SQUARE}, images=("1.png", "2.png"))
    found = scan(tmp_path / "images", write(tmp_path / "a.json", content), unlabelled="background")
    assert [sample.key for sample in found.samples] == ["camB/2"]
    assert [path.parent.name for path, _ in found.problems] == ["camA", "camB"]
    assert "one entry of a.json fits 2 images" in found.problems[0][1]
    content = coco({"segmentation": SQUARE}, images=("1.png",))
    with pytest.raises(DataError, match="write their folders into its file_name entries"):
        scan(tmp_path / "images", write(tmp_path / "a.json", content))


def test_coco_files_beside_images_of_equal_names(tmp_path: Path) -> None:
    two_cameras(tmp_path)
    for camera, category in (("camA", 3), ("camB", 5)):
        content = coco({"segmentation": SQUARE, "category_id": category}, images=("1.png",))
        write(tmp_path / "images" / camera / "_annotations.coco.json", content)
    found = scan(tmp_path / "images")
    assert [(sample.key, int(read(found, n).max())) for n, sample in enumerate(found.samples)] == [
        ("camA/1", 1), ("camB/1", 2),
    ]  # fmt: skip
    assert found.problems == ()


@pytest.mark.parametrize("folder", ["/home/someone/data", "C:\\\\data"])
def test_coco_paths_into_one_folder_of_another_machine(tmp_path: Path, folder: str) -> None:
    photos(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path / "a.json", coco({"segmentation": SQUARE}, images=(f"{folder}/a.jpg", f"{folder}/b.jpg")))
    found = scan(tmp_path)
    assert [(sample.key, int(read(found, n).max())) for n, sample in enumerate(found.samples)] == [("a", 1), ("b", 0)]


def test_coco_images_of_one_stem_get_keys_of_their_own(tmp_path: Path) -> None:
    photos(tmp_path / "images", "0.png", "0.jpg", "1.jpg", "2.jpg")
    photos(tmp_path / "photos", "1.jpg")
    names = ("0.png", "0.jpg", "images/1.jpg", "photos/1.jpg", "2.jpg")
    path = write(tmp_path / "a.json", coco({"segmentation": SQUARE}, images=names))
    found = scan(tmp_path, path)
    assert [(sample.key, sample.image.relative_to(tmp_path).as_posix()) for sample in found.samples] == [
        ("2", "images/2.jpg"),
        ("images/0_jpg", "images/0.jpg"),
        ("images/0_png", "images/0.png"),
        ("images/1", "images/1.jpg"),
        ("photos/1", "photos/1.jpg"),
    ]
    (tmp_path / "train.txt").write_text("images/1.jpg\nphotos/1.jpg\n2\n")
    keys = [sample.key for sample in scan(tmp_path, path, lists={"train": tmp_path / "train.txt"}).samples]
    assert keys == ["2", "images/1", "photos/1"]


def test_labelme_takes_ids_from_a_class_file(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg")
    write(tmp_path / "a.json", labelme(TRIANGLE, shape("leaf", [[5, 5], [6, 6], [5, 7]])))
    for text, ids in (
        ("0 background\n3 spot\n7 leaf\n", {"background": 0, "spot": 3, "leaf": 7}),
        ("2 background\n1 spot\n0 leaf\n", {"background": 2, "spot": 1, "leaf": 0}),
        ("0 leaf\n5 stem\n", {"background": 255, "leaf": 0, "spot": 1}),
        ("background\nstem\nspot\nleaf\n", {"background": 0, "spot": 2, "leaf": 3}),
    ):
        (tmp_path / "classes.txt").write_text(text)
        found = scan(tmp_path)
        assert {entry.name: entry.value for entry in found.classes.classes} == ids
        names = [found.classes.names[number] for number in (read(found)[0, 11], read(found)[2, 2])]
        assert names == ["background", "spot"]
