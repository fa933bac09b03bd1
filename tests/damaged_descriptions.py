"""Sets with broken class files and polygons, and options that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

from damages import damage, options, replace_labels, truncate

# Class files


@damage("classes.txt")
def class_file_with_a_wrong_color(root: Path) -> None:
    (root / "classes.txt").write_text("0 background 0 0 0\n1 road 300 0 0\n2 sky 0 0 9\n3 rider 1 1 1\n")


@damage("classes.txt")
def class_file_with_one_id_twice(root: Path) -> None:
    (root / "classes.txt").write_text("0 background 0 0 0\n1 road 3 0 0\n1 sky 0 0 9\n3 rider 1 1 1\n")


@damage("none.txt")
def class_file_is_missing(root: Path) -> list[str]:
    return options(root, "--classes", str(root / "none.txt"))


@damage("own.json")
def class_file_is_broken_json(root: Path) -> list[str]:
    (root / "own.json").write_text('{"classes": [')
    return options(root, "--classes", str(root / "own.json"))


@damage("own.txt")
def class_file_is_empty(root: Path) -> list[str]:
    (root / "own.txt").write_text("")
    return options(root, "--classes", str(root / "own.txt"))


@damage("own.txt")
def class_file_is_binary(root: Path) -> list[str]:
    (root / "own.txt").write_bytes(bytes(range(256)))
    return options(root, "--classes", str(root / "own.txt"))


# Polygons


def coco(root: Path, **changes: object) -> list[str]:
    images = [{"id": n, "file_name": f"{n:03}.png", "height": 24, "width": 32} for n in range(12)]
    box = [2, 2, 20, 2, 20, 15, 2, 15]
    annotations = [{"id": n, "image_id": n, "category_id": 1 + n % 2, "segmentation": [box]} for n in range(12)]
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]
    content = {"images": images, "annotations": annotations, "categories": categories, **changes}
    path = root / "instances.json"
    path.write_text(json.dumps(content))
    (root / "classes.txt").unlink()
    return options(root / "images", str(path))


@damage("instances.json")
def coco_is_no_json(root: Path) -> list[str]:
    arguments = coco(root)
    truncate(root / "instances.json")
    return arguments


@damage("instances.json")
def coco_without_images(root: Path) -> list[str]:
    return coco(root, images=[])


@damage("instances.json")
def coco_with_an_unknown_category(root: Path) -> list[str]:
    box = [[2, 2, 20, 2, 20, 15]]
    return coco(root, annotations=[{"id": 0, "image_id": 0, "category_id": 77, "segmentation": box}])


@damage("instances.json")
def coco_with_a_broken_polygon(root: Path) -> list[str]:
    broken = {"id": 0, "image_id": 0, "category_id": 1, "segmentation": [[1, "x", 3]]}
    return coco(root, annotations=[broken])


def labelme(number: int, path: Path) -> None:
    shape = {"label": "car", "points": [[1, 1], [20, 1], [20, 15]], "shape_type": "polygon"}
    content = {"version": "5", "shapes": [shape], "imagePath": f"{number:03}.png", "imageHeight": 24, "imageWidth": 32}
    path.with_suffix(".json").write_text(json.dumps(content))


@damage("003.json")
def labelme_is_no_json(root: Path) -> None:
    (root / "classes.txt").unlink()
    replace_labels(root, labelme)
    (root / "labels" / "003.json").write_text('{"shapes": [')


@damage("003.json")
def labelme_without_points(root: Path) -> None:
    (root / "classes.txt").unlink()
    replace_labels(root, labelme)
    path = root / "labels" / "003.json"
    content = json.loads(path.read_text())
    content["shapes"][0]["points"] = "none"
    path.write_text(json.dumps(content))


# Options


@damage("format")
def format_that_does_not_exist(root: Path) -> list[str]:
    return options(root, "--format", "hieroglyphs")


@damage("--split")
def split_that_does_not_add_up(root: Path) -> list[str]:
    return options(root, "--split", "70/70")


@damage("--group-by")
def pattern_that_is_found_nowhere(root: Path) -> list[str]:
    return options(root, "--group-by", "patient(\\d+)")


@damage("'lorry'")
def merging_an_unknown_class(root: Path) -> list[str]:
    return options(root, "--merge", "vehicle=lorry,road")


@damage("--rename")
def renaming_without_equals_sign(root: Path) -> list[str]:
    return options(root, "--rename", "road")


@damage("--allow")
def allowing_what_is_no_error(root: Path) -> list[str]:
    return options(root, "--allow", "everything")


@damage("nowhere.txt")
def list_file_is_missing(root: Path) -> list[str]:
    return options(root, "--list", f"train={root}/nowhere.txt")


@damage("line 1: 'one' names no image with a label")
def list_file_names_nothing_that_exists(root: Path) -> list[str]:
    (root / "train.txt").write_text("one\ntwo\n")
    return options(root, "--list", f"train={root}/train.txt")
