"""Class files of many makers mean the same classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fullconv.data.class_files import find_class_file, parse_class_text, read_class_file
from fullconv.errors import DataError

FULL = [(7, "road", (128, 64, 128)), (11, "traffic light", (250, 170, 30))]
COLORED = [(None, name, color) for _, name, color in FULL]
NUMBERED = [(number, name, None) for number, name, _ in FULL]
NAMED = [(None, name, None) for _, name, _ in FULL]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7 road 128 64 128\n11 traffic light 250 170 30\n", FULL),
        ("# id name r g b\n\n7\troad\t128\t64\t128\n11\ttraffic light\t250\t170\t30", FULL),
        ("7,road,128,64,128\n11,traffic light,250,170,30", FULL),
        ("7;road;128;64;128\r\n11;traffic light;250;170;30\r\n", FULL),
        ("id,name,r,g,b\n7,road,128,64,128\n11,traffic light,250,170,30", FULL),
        ("name,r,g,b,id\nroad,128,64,128,7\ntraffic light,250,170,30,11", FULL),
        ("road 128 64 128 7\ntraffic light 250 170 30 11", FULL),
        ("7 128 64 128 road\n11 250 170 30 traffic light", FULL),
        ("128 64 128 road 7\n250 170 30 traffic light 11", FULL),
        ('7 "road" 128 64 128\n11 "traffic light" 250 170 30', FULL),
        ("7: road 128 64 128\n11: traffic light 250 170 30", FULL),
        ("7 road #804080\n11 traffic light #FAAA1E", FULL),
        ("128 64 128\troad\n250 170 30\ttraffic light", COLORED),
        ("128 64 128\t\troad\n250 170 30\t\ttraffic light", COLORED),
        ("name,r,g,b\nroad,128,64,128\ntraffic light,250,170,30", COLORED),
        ("# label:color_rgb:parts:actions\nroad:128,64,128::\ntraffic light:250,170,30::\n", COLORED),
        ("#804080 road\n#FAAA1E traffic light", COLORED),
        ("7 road\n11 traffic light", NUMBERED),
        ("road 7\ntraffic light 11", NUMBERED),
        ("7: road\n11: traffic light", NUMBERED),
        ("road\ntraffic light\n", NAMED),
        ("\ufeffroad\n\ntraffic light", NAMED),
    ],
)
def test_text_in_any_column_order(tmp_path: Path, text: str, expected: list[tuple[object, ...]]) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(text, encoding="utf-8")
    assert [(entry.id, entry.name, entry.color) for entry in read_class_file(path)] == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["road", "traffic light"], NAMED),
        ({"classes": ["road", "traffic light"]}, NAMED),
        ({"7": "road", "11": "traffic light"}, NUMBERED),
        ({"road": 7, "traffic light": 11}, NUMBERED),
        ({"road": "7", "traffic light": "11"}, NUMBERED),
        ([{"id": "7", "name": "road"}, {"id": "11", "name": "traffic light"}], NUMBERED),
        ([{"id": 7.0, "name": "road"}, {"id": 11.0, "name": "traffic light"}], NUMBERED),
        ([{"id": "ckx1", "name": "road"}, {"id": "ckx2", "name": "traffic light"}], NAMED),
        ({"road": [128, 64, 128], "traffic light": "#faaa1e"}, COLORED),
        ([{"id": 7, "name": "road", "color": "#804080"},
          {"id": 11, "name": "traffic light", "color": [250, 170, 30]}], FULL),
        ({"classes": [{"title": "road", "color": "#804080"}, {"title": "traffic light", "color": "#FAAA1E"}]}, COLORED),
        ({"7": {"name": "road", "color": [128, 64, 128]},
          "11": {"name": "traffic light", "color": [250, 170, 30]}}, FULL),
        ({"labels": [{"name": "a--road", "readable": "road", "color": [128, 64, 128]},
                     {"name": "b", "readable": "traffic light", "color": [250, 170, 30]}]}, COLORED),
    ],
)  # fmt: skip
def test_json_in_many_shapes(tmp_path: Path, content: object, expected: list[tuple[object, ...]]) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(content))
    assert [(entry.id, entry.name, entry.color) for entry in read_class_file(path)] == expected


def test_digits_colour_map_beside_the_names(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("road\ntraffic light\n")
    (tmp_path / "colormap.txt").write_text("128 64 128\n250 170 30\n0 0 0\n")
    read = read_class_file(tmp_path / "labels.txt")
    assert [(entry.name, entry.color) for entry in read] == [(name, color) for _, name, color in FULL]


def test_colour_map_that_is_too_short(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("road\ntraffic light\n")
    (tmp_path / "colormap.txt").write_text("128 64 128\n")
    with pytest.raises(DataError, match=r"colormap.txt: has 1 colours for 2 names"):
        read_class_file(tmp_path / "labels.txt")


@pytest.mark.parametrize("name", ["void", "Ignore", "unlabelled", "__ignore__", "UNKNOWN"])
def test_ignored_names(name: str) -> None:
    assert parse_class_text(f"{name} 0 0 0", "")[0].is_ignored


def test_json_can_say_what_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"labels": [{"name": "car", "evaluate": True}, {"name": "ego", "evaluate": False}]}))
    assert [entry.is_ignored for entry in read_class_file(path)] == [False, True]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("classes.txt", "", "names no classes"),
        ("classes.txt", "0 road 1 2 3\n1 sky 1 2", "line 2 has 3 numbers where other lines have"),
        ("classes.txt", "0 road 1 2 3\n1 sky 1 2 300", r"line 2: \(1, 2, 300\) is no colour"),
        ("classes.txt", "0 road\n0 sky", "the id 0 stands for road and sky"),
        ("classes.txt", "road\nroad", "'road' is there twice"),
        ("classes.txt", "1 2 3\n4 5 6", "colour map without names"),
        ("classes.txt", "road 1 2 3 4 5", "line 1 has 5 numbers"),
        ("classes.txt", "70000 road", "70000 is no class id"),
        ("classes.txt", "-1 x\n70000 d", "70000 is no class id"),
        ("classes.json", "{", "not valid JSON"),
        ("classes.json", "3", "names no classes"),
        ("classes.json", '{"road": [1, 2]}', r"'\[1, 2\]' is no colour"),
        ("classes.json", '[{"name": "a", "id": 1}, {"name": "b"}]', "'b' has no id, but others have"),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=sentence) as caught:
        read_class_file(path)
    assert caught.value.remedy


def test_binary_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_class_file(tmp_path / "classes.txt")
    with pytest.raises(DataError, match="no such class file"):
        read_class_file(tmp_path / "none.txt")


def test_one_name_may_have_several_colours(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("car 1 2 3\ncar 4 5 6\n")
    assert len(read_class_file(path)) == 2


@pytest.mark.parametrize("name", ["labels.txt", "names.txt", "categories.csv", "classes.txt", "label_map.txt"])
def test_a_list_of_images_is_no_class_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("000.png\nlabels/001.png\n")
    assert find_class_file([tmp_path]) is None


def test_files_of_vague_names_are_passed_over_where_they_cannot_be_understood(tmp_path: Path) -> None:
    for name in ("names.txt", "categories.txt"):
        (tmp_path / name).write_text("0001\n0002\n")
    assert find_class_file([tmp_path]) is None
    (tmp_path / "classes.txt").write_text("0 road 1 2\n")
    assert find_class_file([tmp_path]) == tmp_path / "classes.txt"


def test_labels_txt_names_classes(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("road\nsky\n")
    assert find_class_file([tmp_path]) == tmp_path / "labels.txt"


def test_settings_of_other_tools_are_no_class_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"width": 480, "height": 360}')
    assert find_class_file([tmp_path]) is None
    (tmp_path / "config.json").write_text('{"labels": [{"name": "road", "color": [1, 2, 3]}]}')
    assert find_class_file([tmp_path]) == tmp_path / "config.json"
