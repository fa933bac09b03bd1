"""What is wrong with a document, in words for the person who wrote it: the field, what it holds, what it may hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

LISTED = 12
"""Fields of a section that a sentence can name."""
SHOWN = 60
_OWN_PLACE = re.compile(r"([a-z_]+(?:\.[a-z_]+)*): ")


@dataclass(frozen=True)
class WrongField:
    """The first mistake of a document.

    Args:
        field: where it is, as "optimization.momentum"; empty for the document as a whole.
        problem: what it is, with the value.
        remedy: what is allowed.
    """

    field: str
    problem: str
    remedy: str | None


def wrong_field(fault: ValidationError, content: Any, schema: type[BaseModel]) -> WrongField:
    """The first mistake that was found in what was to become a document.

    Args:
        fault: as pydantic tells it.
        content: what was checked.
        schema: against which.

    >>> class Step(BaseModel, extra="forbid"):
    ...     learning_rate: float = 0.1
    >>> for content in ({"learning_rate": "fast"}, {"lr": 0.5}):
    ...     try:
    ...         Step.model_validate(content)
    ...     except ValidationError as fault:
    ...         print(wrong_field(fault, content, Step))
    WrongField(field='learning_rate', problem="'fast' is not a number", remedy='give one')
    WrongField(field='lr', problem='there is no such field', remedy='perhaps learning_rate is meant')
    """
    errors = [(_place(error, content), error) for error in fault.errors(include_url=False)]
    first = errors[0][0]
    same = [(place, error) for place, error in errors if place[: len(first)] == first]
    deepest = max(len(place) for place, _ in same)  # of the kinds a field may be, the one that was nearly met
    about = [error for place, error in same if len(place) == deepest]
    place = next(place for place, _ in same if len(place) == deepest)
    return _told(place, about, content, schema)


def _place(error: ErrorDetails, content: Any) -> tuple[str | int, ...]:
    """Where an error lies in what was written; what a schema calls the kinds of a field is left out."""
    place: list[str | int] = []
    location = error["loc"]
    for number, part in enumerate(location, 1):
        entry = isinstance(content, list | tuple) and isinstance(part, int) and part < len(content)
        if entry or (isinstance(content, Mapping) and part in content):
            content = content[part]
        elif number < len(location) or error["type"] != "missing" or isinstance(part, int):
            continue
        place.append(part)
    of_the_name = location[-1:] == ("[key]",) and location[-2:-1] == tuple(place[-1:])
    if place and (of_the_name or error["type"] == "invalid_key"):
        place.pop()
    return tuple(place)


def _told(
    place: tuple[str | int, ...], errors: Sequence[ErrorDetails], content: Any, schema: type[BaseModel]
) -> WrongField:
    kind, given = errors[0]["type"], errors[0]["input"]
    field = ".".join(map(str, place))
    if kind in ("value_error", "assertion_error"):
        return _own_sentence(field, str(errors[0].get("ctx", {}).get("error", "")) or errors[0]["msg"])
    if kind == "extra_forbidden":
        return WrongField(field, "there is no such field", _known(place, content, schema))
    if kind == "missing" and not (errors[0]["loc"] and isinstance(errors[0]["loc"][-1], int)):
        return WrongField(field, "is missing", "add it")
    if kind == "missing":
        wanted = len(_at(content, place)) + len(errors)
        return WrongField(field, f"{shown(_at(content, place))} has too few values", f"give {wanted}")
    if kind == "union_tag_not_found":
        name = errors[0]["ctx"]["discriminator"].strip("'")
        allowed = [one.model_fields[name].default for one in _models(_followed(schema, errors[0]["loc"]))]
        return WrongField(f"{field}.{name}", "is missing", f"say {_either(allowed)}")
    choices = [choice for error in errors for choice in _choices(error)]
    others = [_WANTED[error["type"]] for error in errors if not _choices(error) and error["type"] in _WANTED]
    if choices:
        tag = errors[0].get("ctx", {}).get("tag", given)
        if kind == "union_tag_invalid" and isinstance(_at(content, place), Mapping):
            field += "." + errors[0]["ctx"]["discriminator"].strip("'")
        near = get_close_matches(str(tag), choices, n=1)
        allowed = [*choices, *(what for what, _ in others)]
        remedy = (
            f"perhaps {near[0]} is meant" if near else "choose one of them" if len(allowed) > 1 else f"say {allowed[0]}"
        )
        one_of = "one of " if len(allowed) > 1 else ""
        return WrongField(field, f"{shown(tag)} is not {one_of}{_either(allowed)}", remedy)
    if others and given is None:
        return WrongField(field, "is empty", f"give {_either([what for what, _ in others])}")
    if others:
        return WrongField(field, f"{shown(given)} is not {_either([what for what, _ in others])}", others[0][1])
    for name, bound in _BOUNDS.items():
        if kind == name:
            return WrongField(field, *bound(shown(given), errors[0]["ctx"]))
    return WrongField(field, f"{shown(given)} cannot be used", "see docs/reference for what it may be")


_NUMBER, _WHOLE, _TEXT = ("a number", "give one"), ("a whole number", "give one"), ("text", "put it in quotes")
_LIST, _SECTION = (
    ("a list of values", "write it as [a, b]"),
    ("a set of names with values", "write it as {name: value}"),
)
_TRUTH, _TIME = ("true or false", "say which"), ("a date and time", "write it as 2024-12-31T23:59:59Z")
_WANTED = {
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), _NUMBER),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("string_type", "string_unicode"), _TEXT),
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type", "iterable_type"), _LIST),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"), _SECTION),
    **dict.fromkeys(("bool_type", "bool_parsing"), _TRUTH),
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "timezone_aware"), _TIME),
    "finite_number": ("a finite number", "give one"),
    "invalid_key": ("the name of a field", "put it in quotes"),
    "path_type": ("a path", "give one"),
}
"""What a value was to be, and how to make it so."""

_BOUNDS: dict[str, Callable[[str, Mapping[str, Any]], tuple[str, str]]] = {
    "greater_than": lambda given, held: (f"{given} is too small", f"give more than {_plain(held['gt'])}"),
    "greater_than_equal": lambda given, held: (f"{given} is too small", f"give {_plain(held['ge'])} or more"),
    "less_than": lambda given, held: (f"{given} is too large", f"give less than {_plain(held['lt'])}"),
    "less_than_equal": lambda given, held: (f"{given} is too large", f"give {_plain(held['le'])} or less"),
    "multiple_of": lambda given, held: (f"{given} does not fit", f"give a multiple of {_plain(held['multiple_of'])}"),
    "too_short": lambda given, held: (f"{given} has too few values", f"give {held['min_length']} or more"),
    "too_long": lambda given, held: (f"{given} has too many values", f"give {held['max_length']}"),
    "string_too_short": lambda given, held: (f"{given} is too short", f"give {held['min_length']} letters or more"),
    "string_too_long": lambda given, held: (f"{given} is too long", f"give {held['max_length']} letters or fewer"),
    "string_pattern_mismatch": lambda given, held: (f"{given} has another form", f"write it as {held['pattern']}"),
}


def _choices(error: ErrorDetails) -> list[str]:
    """What a field may be, where that is one of a few words."""
    held = error.get("ctx", {})
    listed = held.get("expected_tags") or (held.get("expected") if error["type"] in ("literal_error", "enum") else "")
    return [quoted or plain for quoted, plain in re.findall(r"'([^']*)'|(\d+)", str(listed or ""))]


def _own_sentence(field: str, sentence: str) -> WrongField:
    """A sentence of ours, which may name a field and a remedy of its own."""
    named = _OWN_PLACE.match(sentence)
    if named is not None:
        inner, sentence = named[1], sentence[named.end() :]
        field = inner if not field or inner.startswith(f"{field}.") else f"{field}.{inner}"
    problem, _, remedy = sentence.partition("; ")
    return WrongField(field, problem, remedy or None)


def _known(place: tuple[str | int, ...], content: Any, schema: type[BaseModel]) -> str:
    """What may have been meant by a field that there is not."""
    parents = _models(_followed(schema, place[:-1], content))
    section = ".".join(map(str, place[:-1]))
    here = [(name, f"{section}.{name}" if section else name) for model in parents for name in model.model_fields]
    asked, whole = str(place[-1]), ".".join(map(str, place))
    elsewhere = {path: kind for path, kind in _paths(schema, ()) if path not in {path for _, path in here}}
    if whole in elsewhere:
        return f"it belongs to {section}.kind: {elsewhere[whole]}"
    for fields, least in ((here, 0.65), ([(path.rsplit(".", 1)[-1], path) for path in elsewhere], 0.8)):
        near = get_close_matches(asked.lower(), [name for name, _ in fields], n=1, cutoff=least)
        meant = [path for name, path in fields if asked in (name, _initials(name))]
        meant += [path for name, path in fields if near and name == near[0]]
        if meant:
            return f"perhaps {meant[0]} is meant"
    names = [name for name, _ in here]
    return f"choose from {', '.join(names)}" if 0 < len(names) <= LISTED else "docs/reference lists all"


def _initials(name: str) -> str:
    """lr for learning_rate; nothing for one word."""
    words = name.split("_")
    return "".join(word[0] for word in words if word) if len(words) > 1 else ""


def _paths(schema: type[BaseModel], above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every field of a document, and the kind of section that has it."""
    for name, field in schema.model_fields.items():
        yield ".".join((*above, name)), _tag(schema)
        for model in _models(_kinds(field.annotation)):
            yield from _paths(model, (*above, name))


def _followed(schema: type[BaseModel], place: Sequence[str | int], content: Any = None) -> list[Any]:
    """The types that a place may have; of sections of several kinds only the one that is written."""
    kinds: list[Any] = [schema]
    for part in place:
        content = content.get(part) if isinstance(content, Mapping) else None
        below: list[Any] = []
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                field = kind.model_fields.get(str(part))
                below += [] if field is None else _kinds(field.annotation)
            elif get_origin(kind) is dict:
                below += _kinds(get_args(kind)[1])
            elif get_origin(kind) in (list, tuple):
                below += [inner for argument in get_args(kind) for inner in _kinds(argument)]
        written = content.get("kind") if isinstance(content, Mapping) else None
        of_that_kind = [one for one in _models(below) if written and _tag(one) == written]
        kinds = of_that_kind or below
    return kinds


def _tag(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("kind")
    return None if field is None else field.default


def _kinds(annotation: Any) -> list[Any]:
    """The members of a union, or the type alone."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [kind for member in get_args(annotation) for kind in _kinds(member)]
    return [annotation]


def _models(kinds: Sequence[Any]) -> list[type[BaseModel]]:
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _at(content: Any, place: Sequence[str | int]) -> Any:
    for part in place:
        content = content[part]
    return content


def _either(words: Sequence[Any]) -> str:
    """A choice: "a, b or c"."""
    *first, last = dict.fromkeys(map(str, words))
    return f"{', '.join(first)} or {last}" if first else last


def _plain(number: Any) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def shown(value: Any) -> str:
    """A value as in a YAML document, cut where it is long.

    >>> shown(True), shown(None), shown([0.5, "a"])
    ('true', 'nothing', "[0.5, 'a']")
    """
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
