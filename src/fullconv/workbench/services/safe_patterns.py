"""Regular expressions from visitors: only those that end soon on any text."""

from __future__ import annotations

import re
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

LONGEST = 200
MOST_LOOSE = 3
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT)


def is_safe_pattern(pattern: str) -> bool:
    """Whether matching takes time in proportion to a small power of the text's length.

    Repeats within repeats, and back references, are what makes matching take for ever; some harmless patterns are
    refused with them.

    >>> is_safe_pattern(r"^(\\d+)_"), is_safe_pattern(r"(a+)+$"), is_safe_pattern("(")
    (True, False, False)
    """
    if len(pattern) > LONGEST:
        return False
    try:
        tree = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return _loose(tree, inside=False) <= MOST_LOOSE


def _loose(tree: Any, *, inside: bool) -> int:
    """How many repeats without a small bound there are; more than allowed where one lies in another."""
    count = 0
    for code, argument in tree:
        if code is codes.GROUPREF:
            return MOST_LOOSE + 1
        if code in _REPEATS:
            _, most, inner = argument
            loose = most is codes.MAXREPEAT or most > 8
            if loose and (inside or any(part is codes.BRANCH for part, _ in _flat(inner))):
                return MOST_LOOSE + 1
            count += loose + _loose(inner, inside=inside or loose)
        else:
            for inner in _parts(argument):
                count += _loose(inner, inside=inside)
    return count


def _flat(tree: Any) -> list[tuple[Any, Any]]:
    found = []
    for code, argument in tree:
        found.append((code, argument))
        for inner in _parts(argument):
            found += _flat(inner)
    return found


def _parts(argument: Any) -> list[Any]:
    """Sub-patterns in what a code stands with."""
    if isinstance(argument, parser.SubPattern):
        return [argument]
    if isinstance(argument, list | tuple):
        return [part for each in argument for part in _parts(each)]
    return []
