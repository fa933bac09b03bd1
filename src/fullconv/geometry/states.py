"""What is known of a value while an image is followed through a network: what its cells read, or what is in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from fullconv.geometry.fields import Field

Tag = Literal["", "rows", "cols", "cells", "row offset", "col offset"]
"""What a dimension of a tensor runs over: nothing of the image (batch, channels), rows, columns, rows and columns
flattened into one, or the position inside blocks of rows or columns."""


@dataclass(frozen=True)
class Plane:
    """A tensor whose cells have a place on the image.

    Args:
        rows, cols: what the cells read, per axis.
        tags: per dimension of the tensor, what it runs over.
        skew: (rows, columns) pixels by which branches that met on the way were out of line, at most.
        widths: columns in a row at each of the two image sizes, where rows and columns are flattened into cells.
    """

    rows: Field
    cols: Field
    tags: tuple[Tag, ...] = ("", "", "rows", "cols")
    skew: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))
    widths: tuple[int, int] | None = None

    def along(self, tag: Tag, field: Field) -> Plane:
        """The same with another field along rows or columns."""
        return replace(self, rows=field) if tag == "rows" else replace(self, cols=field)

    def field(self, tag: Tag) -> Field:
        """The field along rows or columns."""
        return self.rows if tag == "rows" else self.cols

    def tagged(self, *tags: Tag) -> Plane:
        return replace(self, tags=tags)

    @property
    def spatial(self) -> set[int]:
        """Dimensions that run over places of the image."""
        return {dim for dim, tag in enumerate(self.tags) if tag in ("rows", "cols", "cells")}


@dataclass(frozen=True)
class Whole:
    """A tensor of which every value may depend on the whole image."""


WHOLE = Whole()

State = Plane | Whole | None | tuple[Any, ...]
"""A tensor that depends on the image, one that does not (None), or several of them."""


@dataclass(frozen=True)
class Obstacle:
    """An operation whose result depends on the whole image or on its size.

    Args:
        name: of the module, or of the operation inside one.
        kind: in one word: "global-pooling", "normalization", "attention", "batch-statistics", "resizing",
            "size-dependent-padding", "size-dependent", "adaptive-pooling", "flattening", "fixed-size", "misaligned",
            "changed-in-place" or "unknown".
        reason: what it does, in words.
    """

    name: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class Blocked(Exception):
    """Raised by a rule: the operation is an obstacle; `state` is what its result is taken for afterwards."""

    def __init__(self, kind: str, reason: str, state: State = WHOLE) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.state = state


class Lost(Exception):
    """Raised by a rule: what the operation reads may depend on the whole image already, and so may its result."""


def planes(states: Any) -> list[Plane]:
    """All planes among states, however nested."""
    if isinstance(states, Plane):
        return [states]
    if isinstance(states, list | tuple):
        return [plane for state in states for plane in planes(state)]
    return planes(list(states.values())) if isinstance(states, Mapping) else []


def depends(states: Any) -> bool:
    """Whether any of the states depends on the image; numbers among them do not."""
    if isinstance(states, list | tuple):
        return any(depends(state) for state in states)
    if isinstance(states, Mapping):
        return depends(list(states.values()))
    return isinstance(states, Plane | Whole)


def words(tag: Tag) -> str:
    """What a dimension runs over, in a sentence."""
    return {"cols": "columns"}.get(tag, tag)
