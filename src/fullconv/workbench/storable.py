"""Columns that take whatever comes from logs, file names and arithmetic, in every database.

PostgreSQL has no zero characters in texts and no NaN in JSON; no database takes the half characters (surrogates) that
stand for bytes of file names which are no UTF-8.
"""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import JSON, Dialect, Float, String, Text
from sqlalchemy.types import TypeDecorator

LONGEST_TEXT = 500


def storable(text: str) -> str:
    """The same text without what a database refuses.

    >>> storable("tail\\0 of caf\\udce9")
    'tail� of caf?'
    """
    return text.replace("\0", "�").encode(errors="replace").decode()


def column_text(text: str) -> str:
    """The beginning of a text that people can make as long as they like, for a column that is sorted and found by.

    PostgreSQL takes no more than some 2,700 bytes into an index, and a letter may take four.
    """
    return storable(text)[:LONGEST_TEXT]


def _storable_value(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_storable_value(key): _storable_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_storable_value(inner) for inner in value]
    return value


class Words(TypeDecorator[str]):
    """A text of one line or so."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class Lines(Words):
    """A text of any length."""

    impl = Text
    cache_ok = True


class Document(TypeDecorator[Any]):
    """JSON; numbers that are none become null."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return _storable_value(value)


class Score(TypeDecorator[float]):
    """A number, or nothing where there is none."""

    impl = Float
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None or not math.isfinite(value) else value
