"""Settings that are wrong, field by field: every one of them is told, with where it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ValidationError

from fullconv.errors import FullconvError, NetworkError, PlanError
from fullconv.training.settings.experiment import Experiment

LONGEST_REMEDY = 300
"""Longer ones list what a page shows anyway."""
_NAMED = re.compile(r"(?P<field>[a-z_]+(\.[a-z_]+)*): (?P<said>.+)", re.DOTALL)
_WORDS = {
    "missing": "is missing",
    "int_parsing": "give a whole number",
    "int_type": "give a whole number",
    "int_from_float": "give a whole number",
    "float_parsing": "give a number",
    "float_type": "give a number",
    "finite_number": "give a finite number",
    "bool_parsing": "say true or false",
    "bool_type": "say true or false",
    "string_type": "give a word",
    "too_short": "give more values",
    "too_long": "give fewer values",
}


class WrongField(BaseModel):
    """A field that is wrong.

    Args:
        field: its path, as "optimization.learning_rate"; empty where it is none alone.
        message: what is wrong, in plain words.
    """

    field: str
    message: str


class WrongFields(PlanError):
    """Settings that cannot be used as they are.

    Args:
        errors: one at least; the sentence is that of the first.

    >>> str(WrongFields([WrongField(field="crop", message="give a whole number")]))
    'crop: give a whole number.'
    """

    def __init__(self, errors: Sequence[WrongField]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        more = f"{len(errors) - 1} more field{'s are' if len(errors) > 2 else ' is'} wrong" if len(errors) > 1 else None
        super().__init__(first.message.rstrip("."), where=first.field or None, remedy=more)


def wrong_fields(problem: ValidationError, settings: Mapping[str, Any]) -> list[WrongField]:
    """What pydantic found, one entry for every field, with paths as people write them.

    Args:
        problem: of validating an `Experiment`.
        settings: what was validated.

    >>> try:
    ...     Experiment.model_validate({"dataset": "streets", "regime": {"kind": "patchwise", "step": 0}, "epoch": 3})
    ... except ValidationError as problem:
    ...     for found in wrong_fields(problem, {"regime": {"kind": "patchwise", "step": 0}, "epoch": 3}):
    ...         print(found.field, "-", found.message)
    regime.step - Input should be greater than or equal to 1
    epoch - there is no such setting; do you mean epochs?
    """
    found: dict[str, WrongField] = {}
    for error in problem.errors(include_url=False):
        field = _path(error["loc"], settings, missing=error["type"] == "missing")
        one = WrongField(field=field, message=_words(dict(error), field))
        if error["type"] == "value_error" and (named := _NAMED.fullmatch(one.message)):
            known = named["field"].split(".")[0] in Experiment.model_fields
            place = named["field"] if known or not field else f"{field}.{named['field']}"
            one = WrongField(field=place, message=named["said"])
        if error["type"] == "union_tag_invalid":
            one = one.model_copy(update={"field": f"{field}.kind"})
        found.setdefault(one.field, one)
    return list(found.values())


@contextmanager
def as_wrong_fields() -> Iterator[None]:
    """Errors of planning become errors of the field that they name; what torch cannot do is one of the plan."""
    try:
        yield
    except WrongFields:
        raise
    except FullconvError as problem:
        field = field_of(problem)
        remedy = "" if problem.remedy is None or len(problem.remedy) > LONGEST_REMEDY else f"; {problem.remedy}"
        said = problem.problem + remedy
        if problem.where is not None and problem.where != field:
            said = f"{problem.where}: {said}"
        raise WrongFields([WrongField(field=field, message=said)]) from problem
    except (RuntimeError, ValueError, OverflowError, MemoryError) as problem:
        said = str(problem).strip().split("\n")[0][:200]
        raise WrongFields([WrongField(field="", message=f"this cannot be planned ({said})")]) from problem


def field_of(problem: FullconvError) -> str:
    """The field of a plan that an error is about; empty where it is about none alone."""
    where = (problem.where or "").removeprefix("the experiment")
    if where.split(".")[0] in Experiment.model_fields:
        return where
    return "network" if isinstance(problem, NetworkError) and problem.where is None else ""


def _path(location: Sequence[int | str], settings: Any, *, missing: bool) -> str:
    """The parts of a location that are in the settings; others are pydantic's names of kinds."""
    parts: list[str] = []
    here: Any = settings
    for place, part in enumerate(location):
        inside = isinstance(here, list | tuple) and isinstance(part, int) and part < len(here)
        if inside or (isinstance(here, Mapping) and part in here):
            here = here[part]
        elif not (missing and place == len(location) - 1):
            continue
        parts.append(str(part))
    return ".".join(parts)


def _words(error: dict[str, Any], field: str) -> str:
    """The message in plain words."""
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        last = field.rsplit(".", 1)[-1]
        near = difflib.get_close_matches(last, _all_names(), n=1)
        return "there is no such setting" + (f"; do you mean {near[0]}?" if near else "")
    if kind == "union_tag_invalid":
        return f"{error['ctx']['tag']!r} is none of {error['ctx']['expected_tags']}"
    if kind in _WORDS:
        return (
            _WORDS[kind]
            if isinstance(given, list | dict) or kind == "missing"
            else f"{_WORDS[kind]}, not {_short(given)}"
        )
    return str(error["msg"]).removeprefix("Value error, ")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _all_names() -> list[str]:
    found = dict.fromkeys(Experiment.model_fields)
    for field in Experiment.model_fields.values():
        if isinstance(field.default, BaseModel):
            found |= dict.fromkeys(type(field.default).model_fields)
    return list(found)
