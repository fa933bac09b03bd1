"""Broken datasets: each gives its sentence, exit code 2, and leaves nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from typer.testing import CliRunner

from folders import COLORS, class_file, label, picture, save_label, write_set
from fullconv.cli.data import app

Damage = Callable[[Path], list[str] | None]
"""Breaks a sound set below a folder; returns other arguments than the folder, where they are needed."""

DAMAGES: dict[str, tuple[Damage, str]] = {}


def damage(sentence: str) -> Callable[[Damage], Damage]:
    """Register a way to break a set, with a part of the sentence that must be printed."""

    def register(break_it: Damage) -> Damage:
        DAMAGES[break_it.__name__] = (break_it, sentence)
        return break_it

    return register


def options(root: Path, *more: str) -> list[str]:
    return [str(root), *more]


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def truncate(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def replace_labels(root: Path, write: Callable[[int, Path], None]) -> None:
    """Write all labels anew; `write` gets the number and the path without suffix."""
    for number in range(12):
        (root / "labels" / f"{number:03}.png").unlink()
        write(number, root / "labels" / f"{number:03}")


# Nothing there


@damage("no such")
def folder_is_missing(root: Path) -> list[str]:
    return options(root / "nowhere")


@damage("no image")
def folder_is_empty(root: Path) -> list[str]:
    (root / "empty").mkdir()
    return options(root / "empty")


@damage("classes.txt: is a file, not a folder")
def root_is_a_file(root: Path) -> list[str]:
    return options(root / "classes.txt")


@damage("no image")
def only_text_files(root: Path) -> list[str]:
    (root / "texts").mkdir()
    (root / "texts" / "a.txt").write_text("no picture")
    return options(root / "texts")


@damage("label")
def images_without_any_label(root: Path) -> list[str]:
    return options(root / "images")


@damage("set: holds no images")
def labels_without_any_image(root: Path) -> None:
    for path in (root / "images").iterdir():
        path.unlink()


@damage("no such")
def label_folder_is_missing(root: Path) -> list[str]:
    return options(root / "images", str(root / "masks"))


@damage("masks: holds no labels")
def label_folder_is_empty(root: Path) -> list[str]:
    (root / "masks").mkdir()
    return options(root / "images", str(root / "masks"))


@damage("photographs")
def label_folder_given_as_images(root: Path) -> list[str]:
    return options(root / "labels", str(root / "images"))


@damage("is given as images and as labels")
def images_given_as_labels_too(root: Path) -> list[str]:
    return options(root / "images", str(root / "images"))


@damage("none of the 12 labels matches one of the 12 images by name")
def names_that_do_not_match(root: Path) -> None:
    for number, path in enumerate(sorted((root / "labels").iterdir())):
        path.rename(path.with_name(f"other{number * 7919 % 1000}x.png"))


# Broken files


@damage("images/003.png")
def truncated_png_image(root: Path) -> None:
    truncate(root / "images" / "003.png")


@damage("images/003.jpg")
def truncated_jpeg_image(root: Path) -> None:
    (root / "images" / "003.png").unlink()
    Image.fromarray(picture(3)).save(root / "images" / "003.jpg")
    truncate(root / "images" / "003.jpg")


@damage("images/003.tif")
def truncated_tiff_image(root: Path) -> None:
    (root / "images" / "003.png").unlink()
    tifffile.imwrite(root / "images" / "003.tif", picture(3), photometric="rgb")
    truncate(root / "images" / "003.tif")


@damage("images/003.webp")
def truncated_webp_image(root: Path) -> None:
    (root / "images" / "003.png").unlink()
    Image.fromarray(picture(3)).save(root / "images" / "003.webp")
    truncate(root / "images" / "003.webp")


@damage("images/003.bmp")
def truncated_bmp_image(root: Path) -> None:
    (root / "images" / "003.png").unlink()
    Image.fromarray(picture(3)).save(root / "images" / "003.bmp")
    truncate(root / "images" / "003.bmp")


@damage("images/003.png")
def empty_image_file(root: Path) -> None:
    (root / "images" / "003.png").write_bytes(b"")


@damage("images/003.png")
def text_named_png(root: Path) -> None:
    (root / "images" / "003.png").write_text("<html>404</html>")


@damage("labels/003.png")
def truncated_label(root: Path) -> None:
    truncate(root / "labels" / "003.png")


@damage("labels/003.png")
def empty_label_file(root: Path) -> None:
    (root / "labels" / "003.png").write_bytes(b"")


@damage("none of the 12 label files can be read")
def every_label_is_broken(root: Path) -> None:
    for path in (root / "labels").iterdir():
        path.write_bytes(b"broken")


@damage("none of 12 images can be used")
def every_image_is_broken(root: Path) -> None:
    for path in (root / "images").iterdir():
        path.write_bytes(b"broken")


@damage("bomb")
def image_is_a_bomb(root: Path) -> None:
    (root / "images" / "003.png").write_bytes(png_header(50_000, 50_000))


@damage("bomb")
def label_is_a_bomb(root: Path) -> None:
    (root / "labels" / "003.png").write_bytes(png_header(50_000, 50_000))


# Images and labels that contradict each other


@damage("the image is 32×24, the label 30×24")
def label_of_another_size(root: Path) -> None:
    save_label(root / "labels" / "003.png", label(3, (24, 30)))


@damage("EXIF orientation")
def orientation_of_the_image_alone(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(picture(3)).save(root / "images" / "003.png", exif=exif)


@damage("9 is no class")
def id_beyond_the_class_file(root: Path) -> None:
    ids = label(3)
    ids[5, 6] = 9
    save_label(root / "labels" / "003.png", ids)


@damage("#010203 is no class")
def color_beyond_the_class_file(root: Path) -> None:
    replace_labels(root, lambda number, path: Image.fromarray(COLORS[label(number)]).save(f"{path}.png"))
    colors = COLORS[label(3)]
    colors[5, 6] = (1, 2, 3)
    Image.fromarray(colors).save(root / "labels" / "003.png")


@damage("JPEG")
def labels_saved_as_jpeg(root: Path) -> list[str]:
    size = (120, 160)
    other = write_set(root / "other", kind="colors", size=size)
    replace_labels(other, lambda number, path: Image.fromarray(COLORS[label(number, size)]).save(f"{path}.jpg"))
    return options(other)


@damage("smooth edges")
def labels_with_smooth_edges(root: Path) -> None:
    def write(number: int, path: Path) -> None:
        large = Image.fromarray(COLORS[label(number)]).resize((100, 70), Image.Resampling.BILINEAR)
        large.resize((32, 24), Image.Resampling.BILINEAR).save(f"{path}.png")

    replace_labels(root, write)


@damage("all are ignored")
def nothing_is_labelled(root: Path) -> None:
    (root / "classes.txt").write_text("0 void 0 0 0\n1 road 9 9 9\n")
    replace_labels(root, lambda number, path: save_label(Path(f"{path}.png"), np.zeros((24, 32), np.uint8)))


@damage("nothing to tell apart")
def only_one_class(root: Path) -> None:
    replace_labels(root, lambda number, path: save_label(Path(f"{path}.png"), np.ones((24, 32), np.uint8)))


@damage("channels")
def images_with_different_channels(root: Path) -> None:
    (root / "images" / "003.png").unlink()
    tifffile.imwrite(root / "images" / "003.tif", np.zeros((24, 32, 7), np.uint8), photometric="rgb")


@damage("same picture")
def one_picture_in_two_splits(root: Path) -> list[str]:
    other = write_set(root / "other", splits={"train": 10, "val": 6})
    Image.fromarray(picture(2)).save(other / "val" / "images" / "011.png")
    return options(other)


@damage("no image is for training")
def no_training_images(root: Path) -> list[str]:
    return options(write_set(root / "other", splits={"val": 5, "test": 5}))


# One broken label in each format


@damage("labels/003.png")
def broken_palette_label(root: Path) -> list[str]:
    other = write_set(root / "other", kind="palette")
    truncate(other / "labels" / "003.png", 0.7)
    return options(other)


@damage("labels/003.png")
def broken_color_label(root: Path) -> list[str]:
    other = write_set(root / "other", kind="colors")
    truncate(other / "labels" / "003.png")
    return options(other)


def written(root: Path, levels: list[int], suffix: str = ".png", dtype: type = np.uint8) -> list[str]:
    """Labels whose four classes are these levels, the third file cut short."""
    (root / "classes.txt").unlink()

    def write(number: int, path: Path) -> None:
        ids = np.array(levels, dtype=dtype)[label(number)]
        if suffix == ".tif":
            tifffile.imwrite(f"{path}.tif", ids)
        else:
            Image.fromarray(ids).save(f"{path}{suffix}")

    replace_labels(root, write)
    truncate(root / "labels" / f"003{suffix}")
    return options(root)


@damage("labels/003.png")
def broken_binary_label(root: Path) -> list[str]:
    return written(root, [0, 255, 255, 0])


@damage("labels/003.png")
def broken_grey_code_label(root: Path) -> list[str]:
    return written(root, [0, 85, 170, 255])


@damage("labels/003.png")
def broken_16_bit_png_label(root: Path) -> list[str]:
    return written(root, [0, 300, 7000, 40000], dtype=np.uint16)


@damage("labels/003.tif")
def broken_16_bit_tiff_label(root: Path) -> list[str]:
    return written(root, [0, 300, 7000, 40000], ".tif", np.uint16)


def masks(root: Path) -> None:
    """One binary file per class: masks/car/003.png, masks/bus/003.png."""
    (root / "classes.txt").unlink()
    for value, name in ((1, "car"), (2, "bus")):
        for number in range(12):
            save_label(root / "labels" / name / f"{number:03}.png", (label(number) == value).astype(np.uint8) * 255)
    for path in (root / "labels").glob("*.png"):
        path.unlink()


@damage("labels/bus/003.png")
def broken_mask_of_several(root: Path) -> None:
    masks(root)
    truncate(root / "labels" / "bus" / "003.png")


@damage("the other masks of this image are 9×9")
def mask_of_another_size(root: Path) -> None:
    masks(root)
    save_label(root / "labels" / "bus" / "003.png", np.full((9, 9), 255, np.uint8))


@damage("berlin_000003_gtFine_labelIds.png")
def broken_cityscapes_label(root: Path) -> list[str]:
    other = root / "cityscapes"
    for number in range(12):
        image = other / "leftImg8bit" / "train" / "berlin" / f"berlin_{number:06}_leftImg8bit.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(image)
        name = f"berlin_{number:06}_gtFine_labelIds.png"
        save_label(other / "gtFine" / "train" / "berlin" / name, np.array([7, 8, 11, 26], np.uint8)[label(number)])
    truncate(other / "gtFine" / "train" / "berlin" / "berlin_000003_gtFine_labelIds.png")
    return options(other)


@damage("SegmentationClass/003.png")
def broken_voc_label(root: Path) -> list[str]:
    other = root / "VOC2012"
    for number in range(12):
        image = other / "JPEGImages" / f"{number:03}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(image)
        save_label(other / "SegmentationClass" / f"{number:03}.png", label(number), "palette")
    truncate(other / "SegmentationClass" / "003.png", 0.8)
    return options(other)


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


def test_there_are_at_least_forty_ways_to_break_a_set_and_each_has_its_sentence():
    assert len(DAMAGES) >= 40
    assert all(sentence for _, sentence in DAMAGES.values())


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("command", ["check", "create"])
def test_damage_gives_one_sentence_and_leaves_nothing(name: str, command: str, tmp_path: Path, workspace_home: Path):
    break_it, sentence = DAMAGES[name]
    root = write_set(tmp_path / "set", 12)
    arguments = break_it(root) or [str(root)]
    result = CliRunner().invoke(app, ["create", "broken", *arguments] if command == "create" else ["check", *arguments])
    output = result.stderr if command == "create" else result.stdout + result.stderr
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in output
    assert sentence.replace(" ", "") in "".join(output.split()), output
    if command == "create":
        assert len(result.stderr.strip().splitlines()) == 1
        assert result.stderr.rstrip().endswith(".")
        assert result.stdout == ""
    assert not any(workspace_home.rglob("*"))


# Where it is written to


def test_workspace_below_a_file_is_refused(tmp_path: Path):
    root = write_set(tmp_path / "set", 12)
    (tmp_path / "taken").write_text("a file")
    result = CliRunner().invoke(app, ["create", "set", str(root), "--workspace", str(tmp_path / "taken" / "home")])
    assert result.exit_code == 2
    assert "file" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_fails_while_writing_leaves_nothing(
    code: int, tmp_path: Path, workspace_home: Path, monkeypatch: pytest.MonkeyPatch
):
    root = write_set(tmp_path / "set", 12)

    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fullconv.files.os.fsync", fail)
    result = CliRunner().invoke(app, ["create", "set", str(root)])
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert not [path for path in workspace_home.rglob("*") if path.is_file() or path.parent.name == "datasets"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of a process")
def test_a_real_limit_of_the_disk_leaves_nothing(tmp_path: Path, workspace_home: Path):
    import subprocess
    import sys

    root = write_set(tmp_path / "set", 12)
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500));"
        "from fullconv.cli.data import app; app(['create', 'set', sys.argv[1]])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in workspace_home.rglob("*") if path.is_file() or path.parent.name == "datasets"]


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden"])
def test_names_that_are_no_folder_names_are_refused(name: str, tmp_path: Path):
    result = CliRunner().invoke(app, ["create", "--", name, str(write_set(tmp_path / "set", 12))])
    assert result.exit_code == 2
    assert "cannot be a name" in result.stderr


def test_a_name_that_is_taken_is_refused_before_anything_is_read(tmp_path: Path):
    root = write_set(tmp_path / "set", 12)
    assert CliRunner().invoke(app, ["create", "set", str(root)]).exit_code == 0
    result = CliRunner().invoke(app, ["create", "set", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "exists already" in result.stderr


# dataset.yaml


def broken_description(change: Callable[[dict], None] | str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        if isinstance(change, str):
            path.write_text(change)
            return
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content))

    return write


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("", "holds no settings"),
        ("name: [", "not valid YAML"),
        ("- a\n- b\n", "holds no settings"),
        (lambda content: content.update(format=2), "format"),
        (lambda content: content.update(colour="red"), "colour"),
        (lambda content: content.pop("samples"), "samples"),
        (lambda content: content.update(samples=[]), "samples"),
        (lambda content: content["samples"].append(content["samples"][0]), "two samples"),
        (lambda content: content["samples"][0].update(split="holdout"), "samples.0.split"),
        (lambda content: content["classes"][0].update(color=[1, 2]), "classes.0.color"),
        (lambda content: content["classes"][1].update(name="background"), "two classes"),
        (lambda content: content["classes"][1].update(codes=[0]), "two classes"),
        (lambda content: content["edits"].update(rename={"lorry": "car"}), "'lorry'"),
        (lambda content: content["edits"].update(drop="road"), "edits.drop"),
        (lambda content: content["label_format"].update(kind="runes"), "label_format.kind"),
        (lambda content: content.update(root="/nowhere"), "are gone"),
        (lambda content: content["samples"][0].update(image="images/none.png"), "1 of 12"),
    ],
)
def test_a_broken_description_names_the_field(change: Callable[[dict], None] | str, sentence: str, tmp_path: Path):
    root = write_set(tmp_path / "set", 12)
    class_file(root)
    CliRunner().invoke(app, ["create", "set", str(root), "--workspace", str(tmp_path / "home")])
    path = tmp_path / "home" / "datasets" / "set" / "dataset.yaml"
    broken_description(change)(path)
    result = CliRunner().invoke(app, ["show", "set", "--workspace", str(tmp_path / "home")])
    assert result.exit_code == 2, (result.output, result.exception)
    assert sentence in result.stderr
    assert "dataset.yaml" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
