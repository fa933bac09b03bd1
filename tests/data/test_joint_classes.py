"""Classes of several tables under one order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.differences import DIFFERENT, FIRST, NEITHER, SAME, SECOND, UNKNOWN, difference_states
from fullconv.data.joint_classes import JointClasses

NAMES = ("road", "sky", "car", "tree", "pole", "sign")


def table(names: list[str], *, hue: int = 0) -> ClassTable:
    return ClassTable(
        classes=tuple(
            SegmentationClass(name=name, color=(hue, 10 * place, 200), value=place, codes=(place,))
            for place, name in enumerate(names)
        )
    )


some_names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True)


@given(tables=st.lists(some_names, min_size=1, max_size=4), seed=st.integers(0, 99))
def test_labels_keep_their_names(tables: list[list[str]], seed: int) -> None:
    given_tables = [table(names, hue=place) for place, names in enumerate(tables)]
    joint = JointClasses.of(given_tables)
    assert joint.table.names[: len(tables[0])] == tuple(tables[0])
    assert set(joint.table.names) == {name for names in tables for name in names}
    for place, names in enumerate(tables):
        labels = np.random.default_rng(seed).integers(0, len(names), (3, 4)).astype(np.uint8)
        labels[0, 0] = 255
        moved = joint.labels(labels, of=place)
        assert moved[0, 0] == joint.table.ignore_index
        for before, after in zip(labels.ravel()[1:], moved.ravel()[1:], strict=True):
            assert joint.table.names[after] == names[before]
    for name in joint.table.names:
        having = tuple(place for place, names in enumerate(tables) if name in names)
        assert joint.partial.get(name, tuple(range(len(tables)))) == having


def test_two_classes_never_share_a_colour() -> None:
    first, second = table(["road", "sky"]), table(["car", "tree"])
    colors = [entry.color for entry in JointClasses.of([first, second]).table.classes]
    assert colors[:2] == [entry.color for entry in first.classes]
    assert len(set(colors)) == 4


def test_a_class_keeps_the_colour_of_the_first_table() -> None:
    joint = JointClasses.of([table(["road"], hue=1), table(["sky", "road"], hue=2)])
    assert [entry.color for entry in joint.table.classes] == [(1, 0, 200), (2, 0, 200)]


def test_more_than_255_classes_keep_what_is_ignored() -> None:
    small, large = table(["road"]), table([f"class {number}" for number in range(300)])
    joint = JointClasses.of([small, large])
    assert joint.table.ignore_index == 65535
    assert joint.labels(np.array([[0, 255]], dtype=np.uint8), of=0).tolist() == [[0, 65535]]
    assert joint.labels(np.array([[299, 65535]], dtype=np.uint16), of=1).tolist() == [[300, 65535]]


@given(seed=st.integers(0, 999), models=st.integers(2, 4), truth=st.booleans())
def test_every_pixel_has_the_state_that_its_labels_tell(seed: int, models: int, truth: bool) -> None:
    rng = np.random.default_rng(seed)
    maps = [rng.integers(0, 3, (4, 5)) for _ in range(models)]
    true = np.where(rng.random((4, 5)) < 0.2, 255, rng.integers(0, 3, (4, 5))) if truth else None
    states = difference_states(maps, true)
    for place in np.ndindex(4, 5):
        said = [int(labels[place]) for labels in maps]
        if true is None:
            expected = SAME if len(set(said)) == 1 else DIFFERENT
        elif true[place] == 255:
            expected = UNKNOWN
        else:
            right = [label == true[place] for label in said]
            if all(right):
                expected = SAME
            elif not any(right):
                expected = NEITHER
            else:
                expected = (FIRST if right[0] else SECOND) if models == 2 else DIFFERENT
        assert states[place] == expected
