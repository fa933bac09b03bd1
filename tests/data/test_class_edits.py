"""Classes renamed, merged, remapped, dropped and kept."""

from __future__ import annotations

import pytest

from fullconv.data.class_edits import ClassEdits, parse_code, parse_pairs
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.errors import DataError


@pytest.fixture
def table() -> ClassTable:
    names = ("road", "car", "bus", "sky")
    entries = [SegmentationClass(name=n, color=(i, 0, 0), value=i + 1, codes=(i + 1,)) for i, n in enumerate(names)]
    void = SegmentationClass(name="void", color=(9, 9, 9), value=0, codes=(0, 255))
    return ClassTable(classes=tuple(entries), ignored=(void,))


def codes(table: ClassTable) -> dict[str, tuple[int, ...]]:
    return {entry.name: entry.codes for entry in table.classes}


def test_no_edits_change_nothing(table: ClassTable):
    assert ClassEdits().apply(table) == table


def test_rename_keeps_id_color_and_codes(table: ClassTable):
    renamed = ClassEdits(rename={"car": "Auto"}).apply(table)
    assert renamed.names == ("road", "Auto", "bus", "sky")
    assert renamed.classes[1].model_dump(exclude={"name"}) == table.classes[1].model_dump(exclude={"name"})


def test_merge_joins_codes_under_the_first_members_id(table: ClassTable):
    merged = ClassEdits(merge={"vehicle": ("car", "bus")}).apply(table)
    assert codes(merged) == {"road": (1,), "vehicle": (2, 3), "sky": (4,)}
    assert merged.classes[1].value == 2


def test_merge_into_an_existing_class_keeps_its_id(table: ClassTable):
    merged = ClassEdits(merge={"bus": ("car",)}).apply(table)
    assert codes(merged) == {"road": (1,), "bus": (3, 2), "sky": (4,)}
    assert merged.classes[1].value == 3


def test_drop_ignores_the_pixels(table: ClassTable):
    dropped = ClassEdits(drop=("sky",)).apply(table)
    assert dropped.names == ("road", "car", "bus")
    assert [entry.name for entry in dropped.ignored] == ["void", "sky"]


def test_keep_makes_an_ignored_class_count_in_the_order_of_ids(table: ClassTable):
    assert ClassEdits(keep=("void",)).apply(table).names == ("void", "road", "car", "bus", "sky")


def test_remap_moves_a_code_and_drops_a_class_left_without_any(table: ClassTable):
    remapped = ClassEdits(remap={"3": "car", "99": "road", "4": "ignore"}).apply(table)
    assert codes(remapped) == {"road": (1, 99), "car": (2, 3)}
    assert remapped.ignored[0].codes == (0, 255, 4)


def test_remap_to_ignore_makes_an_ignored_class_where_there_is_none(table: ClassTable):
    plain = table.model_copy(update={"ignored": ()})
    remapped = ClassEdits(remap={"77": "ignore"}).apply(plain)
    assert remapped.ignored[0].codes == (77,)
    assert remapped.ignore_value == 255


def test_recolor_changes_pictures_alone(table: ClassTable):
    edits = ClassEdits(rename={"car": "auto"}, recolor={"auto": "#0a0B0c", "void": "#ffffff"})
    recolored = edits.apply(table)
    assert recolored.classes[1].color == (10, 11, 12)
    assert recolored.ignored[0].color == (255, 255, 255)
    plain = edits.without_colors.apply(table)
    assert [entry.model_dump(exclude={"color"}) for entry in recolored.classes] == [
        entry.model_dump(exclude={"color"}) for entry in plain.classes
    ]


def test_edits_follow_one_another(table: ClassTable):
    edits = ClassEdits(rename={"car": "auto"}, merge={"vehicle": ("auto", "bus")}, drop=("vehicle",))
    assert edits.apply(table).names == ("road", "sky")


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (ClassEdits(rename={"cra": "auto"}), "choose from: road, car, bus, sky"),
        (ClassEdits(rename={"car": "bus"}), "merge them"),
        (ClassEdits(merge={"vehicle": ()}), "nothing is merged"),
        (ClassEdits(recolor={"tram": "#000000"}), "no class is named 'tram'"),
        (ClassEdits(recolor={"car": "red"}), "'red' is no colour; write it as #rrggbb"),
        (ClassEdits(merge={"vehicle": ("truck",)}), "'truck'"),
        (ClassEdits(drop=("road", "car", "bus", "sky")), "no class is left"),
        (ClassEdits(drop=("void",)), "'void'"),
        (ClassEdits(keep=("road",)), "no ignored class"),
        (ClassEdits(remap={"5": "plane"}), "'plane'"),
        (ClassEdits(remap={"red": "car"}), "no code"),
    ],
)
def test_impossible_edits_are_refused(table: ClassTable, edits: ClassEdits, message: str):
    with pytest.raises(DataError, match=message):
        edits.apply(table)


def test_codes_are_ids_or_hex_colors():
    assert parse_code("12") == 12
    assert parse_code("#0a0B0c") == 0x0A0B0C


@pytest.mark.parametrize("text", ["a=", "=b", "ab"])
def test_pairs_need_both_sides(text: str):
    with pytest.raises(DataError, match="--rename"):
        parse_pairs([text], option="--rename")


def test_a_name_given_twice_is_refused():
    with pytest.raises(DataError, match="twice"):
        parse_pairs(["a=b", "a=c"], option="--rename")
