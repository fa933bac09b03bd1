"""What a problem is: how grave, of which kind, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fullconv.errors import DataError

Severity = Literal["error", "warning", "note"]

KINDS: dict[str, Severity] = {
    "no-usable-image": "error",
    "unreadable-image": "error",
    "decompression-bomb": "error",
    "unreadable-label": "error",
    "size-mismatch": "error",
    "orientation-mismatch": "error",
    "blurred-label": "error",
    "unknown-class-code": "error",
    "nothing-labelled": "error",
    "single-class": "error",
    "mixed-channels": "error",
    "float-among-integers": "error",
    "no-training-image": "error",
    "same-picture-in-two-splits": "error",
    "all-ignored-label": "warning",
    "class-never-occurs": "warning",
    "class-missing-in-training": "warning",
    "tiny-set": "warning",
    "no-validation-image": "warning",
    "group-in-two-splits": "warning",
    "not-a-number": "warning",
    "mixed-value-types": "warning",
    "doubtful-pair": "warning",
    "unmatched-image": "warning",
    "unmatched-label": "warning",
    "same-picture-twice": "note",
    "remark": "note",
}
"""Every kind of problem and how grave it is, worst first."""

_WHOLE_SET = {"no-usable-image", "nothing-labelled", "mixed-channels", "float-among-integers"}
ALLOWABLE = tuple(kind for kind, severity in KINDS.items() if severity == "error" and kind not in _WHOLE_SET)
"""Errors that can be let pass: a set without the images or pixels that they concern is still a set."""

_ORDER = {kind: position for position, kind in enumerate(KINDS)}
_SEVERITIES: dict[str, int] = {"error": 0, "warning": 1, "note": 2}


class Problem(BaseModel):
    """One thing that is wrong, or worth knowing.

    Args:
        severity: an "error" keeps the set from being used, a "warning" makes results worse, a "note" is good to know.
        kind: one of `KINDS`.
        where: the file, with the place in it where there is one.
        message: what is wrong.
        remedy: what to do about it.
        count: how many files (or pixels, for codes) it concerns.
        files: the files, the first hundred.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    severity: Severity
    kind: str
    where: str
    message: str
    remedy: str
    count: int = 1
    files: tuple[str, ...] = ()


def worst_first(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Errors, then warnings, then notes; within these in the order of `KINDS`, the most frequent first."""
    return tuple(
        sorted(problems, key=lambda found: (_SEVERITIES[found.severity], _ORDER[found.kind], -found.count, found.where))
    )


def refuse_errors(problems: Sequence[Problem], root: Path) -> None:
    """Raise the worst error among problems as one sentence; nothing where there is none.

    Raises:
        DataError: what is wrong first of all, and how many errors there are.
    """
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors:
        return
    worst = errors[0]
    more = "" if len(errors) == 1 else f" (one of {len(errors)} errors: fullconv data check {root} lists all)"
    raise DataError(worst.message + more, where=worst.where, remedy=worst.remedy)
