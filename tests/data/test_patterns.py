"""Patterns for groups, which may be anybody's: none holds up the process that asks."""

from __future__ import annotations

import pytest

from fullconv.data.patterns import found_by
from fullconv.data.splits import groups_by_pattern
from fullconv.errors import DataError


@pytest.mark.parametrize("pattern", ["(a+)+$", r"(?:(?:(?:\w{0,8}){0,8}){0,8}){0,8}!", r"(?=(a+)+$)b", "(a|a)*b"])
def test_a_pattern_that_never_ends_is_stopped(pattern: str) -> None:
    with pytest.raises(DataError, match="takes too long"):
        found_by(pattern, ["a" * 60 + "-"], seconds=0.3)


def test_nothing_wrong_with_a_pattern_without_names() -> None:
    assert found_by("(a+)+$", []) == []
    with pytest.raises(DataError, match="no regular expression"):
        found_by("(a+", [])


def test_groups_are_those_of_the_parts_that_are_found() -> None:
    keys = ["a1/x", "a2/y", "b1/x", "straße\udc80/7", "-"]
    assert found_by(r"^(\w)(\d)?", keys) == ["a/1", "a/2", "b/1", "s/", None]
    assert groups_by_pattern(keys, r"^[a-z]") == ["a", "a", "b", "s", "\0004"]
