"""Generated street scenes: the same every time, labels that are exact, folders that other programs read."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fullconv.data.scenes import SCENE_CLASSES, generate_scene, scene_conditions, write_scenes
from fullconv.data.scenes.camera import Camera
from fullconv.data.scenes.canvas import PLAIN, SUPERSAMPLING, Canvas, Paint
from fullconv.data.scenes.classes import BUILDING, ROAD, SKY, VOID
from fullconv.data.scenes.things import back_to_front
from fullconv.data.scenes.vehicles import Car
from fullconv.errors import DataError, StorageError

SMALL = (160, 120)
NAMES = ["sky", "building", "road", "sidewalk", "fence", "vegetation", "pole", "car", "sign", "pedestrian", "bicyclist"]


def camera(**changes: float) -> Camera:
    values = {
        "width": 80,
        "height": 60,
        "focal": 60.0,
        "center_x": 40.0,
        "horizon": 30.0,
        "x": 0.0,
        "y": 1.5,
        "yaw": 0.0,
    }
    return Camera(**(values | changes))  # type: ignore[arg-type]


def shares(count: int, size: tuple[int, int] = SMALL) -> np.ndarray:
    pixels = sum(np.bincount(generate_scene(11, index, size)[1].ravel(), minlength=12) for index in range(count))
    return pixels / pixels.sum()


def test_classes_are_synthias_in_its_order_and_void_is_ignored() -> None:
    assert list(SCENE_CLASSES.names) == NAMES
    assert [(entry.name, entry.value) for entry in SCENE_CLASSES.ignored] == [("void", VOID)]
    assert len({entry.color for entry in (*SCENE_CLASSES.classes, *SCENE_CLASSES.ignored)}) == 12


def test_same_seed_and_index_give_the_same_scene() -> None:
    first, second = generate_scene(5, 17, SMALL), generate_scene(5, 17, SMALL)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("other", [(5, 18), (6, 17)])
def test_another_seed_or_index_gives_another_scene(other: tuple[int, int]) -> None:
    assert (generate_scene(5, 17, SMALL)[1] != generate_scene(*other, SMALL)[1]).mean() > 0.05


@pytest.mark.parametrize("size", [(480, 360), (240, 180), (320, 240), (180, 240), (33, 200)])
def test_any_size_gives_image_and_labels_of_that_size(size: tuple[int, int]) -> None:
    image, labels = generate_scene(0, 4, size)
    assert image.shape == (size[1], size[0], 3)
    assert labels.shape == (size[1], size[0])
    assert image.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) <= set(range(12))


def test_a_scene_keeps_its_layout_at_another_size() -> None:
    small, large = generate_scene(2, 8, (240, 180))[1], generate_scene(2, 8, (720, 540))[1]
    assert (small == large[1::3, 1::3]).mean() > 0.93


@pytest.mark.parametrize("size", [(0, 100), (100, 31), (5000, 100)])
def test_impossible_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="choose a width and height"):
        generate_scene(0, 0, size)


def test_every_class_occurs_and_building_is_the_commonest() -> None:
    found = shares(40)
    assert found[:VOID].argmax() == BUILDING
    assert 0.27 < found[BUILDING] < 0.40
    assert found.min() > 0.003
    assert 0.005 < found[VOID] < 0.04


def test_seasons_and_times_of_day_all_occur() -> None:
    seen = {(scene.season, scene.time) for scene in (scene_conditions(0, index) for index in range(300))}
    seasons, times = ("spring", "summer", "autumn", "winter"), ("day", "dusk", "night")
    assert seen == set(itertools.product(seasons, times))


def test_nights_are_darker_than_days() -> None:
    brightness: dict[str, list[float]] = {"day": [], "dusk": [], "night": []}
    for index in range(30):
        brightness[scene_conditions(3, index).time].append(float(generate_scene(3, index, (64, 48))[0].mean()))
    assert max(brightness["night"]) < min(brightness["day"])


def test_sky_lies_above_road() -> None:
    for index in range(10):
        labels = generate_scene(1, index, SMALL)[1]
        assert np.median(np.nonzero(labels == SKY)[0]) < np.median(np.nonzero(labels == ROAD)[0])


def test_label_is_what_lies_at_the_pixels_centre() -> None:
    canvas = Canvas(camera(), (0.0, 1.0, 0.0))
    canvas.background(Paint((0.5, 0.5, 0.5), SKY, PLAIN))
    canvas.flat([(10.8, 10.8), (20.2, 10.8), (20.2, 15.2), (10.8, 15.2)], 5.0, Paint((1.0, 0.0, 0.0), BUILDING))
    surface_map, surfaces = canvas.finished()
    middle = SUPERSAMPLING // 2
    rows, columns = np.nonzero(surfaces.label[surface_map[middle::SUPERSAMPLING, middle::SUPERSAMPLING]] == BUILDING)
    # Centres lie at .5: column 10's (10.5) is outside, column 20's (20.5) too.
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (11, 19, 11, 14)


def test_projection_follows_similar_triangles() -> None:
    assert camera().project((2.0, 1.5, 6.0)) == (60.0, 30.0, 6.0)
    assert camera(yaw=0.1).project((0.0, 1.5, 6.0))[0] < 40.0


def test_polygons_behind_the_camera_are_clipped_away() -> None:
    ground = [(-1.0, 0.0, -5.0), (1.0, 0.0, -5.0), (1.0, 0.0, 10.0), (-1.0, 0.0, 10.0)]
    corners = camera().outline(ground)
    assert len(corners) == 4
    assert all(row > 30.0 for _, row in corners)
    assert camera().outline([(x, y, z - 11.0) for x, y, z in ground]) == []


def test_nearer_things_come_after_those_they_hide() -> None:
    def car(x: float, z: float) -> Car:
        return Car(x, z, 0.0, "sedan", (0.5, 0.5, 0.5), False)

    far, near, aside = car(0.0, 30.0), car(0.0, 10.0), car(4.0, 11.0)
    order = back_to_front([near, aside, far], camera_x=0.0)
    assert order.index(far) < order.index(near)
    assert order.index(aside) < order.index(near)


def test_splits_lie_in_folders_with_a_class_file(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "scenes", count=20, size=(48, 36), processes=1)
    counted = {name: len(list((root / name / "images").iterdir())) for name in ("train", "val", "test")}
    assert counted == {"train": 14, "val": 3, "test": 3}
    for image in root.glob("*/images/*.png"):
        assert (image.parent.parent / "labels" / image.name).is_file()
    lines = (root / "classes.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split()[1] for line in lines] == [*NAMES, "void"]
    assert lines[VOID] == "11 void 0 0 0"


@pytest.mark.parametrize(("labels", "mode"), [("palette", "P"), ("colors", "RGB"), ("ids", "L")])
def test_each_label_format_holds_the_same_classes(tmp_path: Path, labels: str, mode: str) -> None:
    root = write_scenes(tmp_path / "s", count=1, seed=4, size=(96, 72), labels=labels, splits=False, processes=1)  # type: ignore[arg-type]
    truth = generate_scene(4, 0, (96, 72))[1]
    with Image.open(root / "labels" / "scene_00000.png") as label:
        assert label.mode == mode
        found = np.asarray(label)
        if labels == "palette":
            assert label.getpalette()[:36] == SCENE_CLASSES.palette()[:36]  # type: ignore[index]
    if labels == "colors":
        colors = np.array(SCENE_CLASSES.palette(), dtype=np.uint8).reshape(256, 3)
        np.testing.assert_array_equal(found, colors[truth])
    else:
        np.testing.assert_array_equal(found, truth)
    with Image.open(root / "images" / "scene_00000.png") as image:
        np.testing.assert_array_equal(np.asarray(image), generate_scene(4, 0, (96, 72))[0])


def test_several_processes_write_the_same_files(tmp_path: Path) -> None:
    one = write_scenes(tmp_path / "one", count=3, size=(48, 36), processes=1)
    two = write_scenes(tmp_path / "two", count=3, size=(48, 36), processes=2)
    files = sorted(path.relative_to(one) for path in one.rglob("*.*"))
    assert files == sorted(path.relative_to(two) for path in two.rglob("*.*"))
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)


def test_a_script_on_standard_input_draws_all_scenes(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from fullconv.data.scenes import write_scenes;"
        f"write_scenes(Path({str(tmp_path / 'scenes')!r}), count=3, size=(48, 36), processes=2)"
    )
    subprocess.run([sys.executable, "-"], input=script, text=True, check=True, capture_output=True)
    assert len(list((tmp_path / "scenes").glob("*/images/*.png"))) == 3


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(StorageError, match="exists already"):
        write_scenes(tmp_path, count=1, size=(48, 36))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("wrong", [{"count": 0}, {"labels": "masks"}, {"size": (1, 1)}])
def test_wrong_arguments_are_named_and_write_nothing(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(DataError):
        write_scenes(tmp_path / "scenes", **({"count": 1, "size": (48, 36)} | wrong))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_conditions_travel_to_other_processes() -> None:
    conditions = scene_conditions(0, 0)
    assert pickle.loads(pickle.dumps(conditions)) == conditions
