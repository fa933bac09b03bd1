"""The fields of a plan as a form: made from the experiment's own schema, with its own explanations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from fullconv.training.settings.experiment import Experiment

Kind = Literal["choice", "choices", "whole", "number", "switch", "pair", "word", "yaml"]
Value = str | int | float | bool | list[Any] | dict[str, Any] | None

SECTIONS: dict[str, tuple[str, ...]] = {
    "Data and network": ("dataset", "network", "weights", "recipe"),
    "Training": ("regime", "epochs", "batch_size", "crop", "views", "validate_every", "patience", "seed"),
    "Loss": ("loss", "class_weights"),
    "Optimiser": ("optimization",),
    "Augmentation": ("augmentation",),
    "Several runs": ("group", "folds", "fold", "group_by"),
    "More": ("resize", "replacement", "heads", "precision", "checkpointing", "device", "devices", "workers", "loggers"),
}
"""Which field of an experiment stands where."""
LEFT_OUT = ("format", "nodes")
"""What a workbench does not ask for."""


class FormField(BaseModel):
    """A field of the form.

    Args:
        path: as "optimization.learning_rate". section: where it stands. label: in words.
        help: what it means.
        kind: of value: one of `choices`, several of them, a whole number, a number, true or false, two numbers, a word,
            or anything as YAML.
        choices: that there are, or that are offered. meanings: of some of them.
        default: what holds where nothing is said; none = decided from the data and the machine.
        bounds: the smallest and largest value, in words; empty for none.
        only: the field is there only where these other fields have one of these values.
    """

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "example": {
                "path": "optimization.learning_rate",
                "section": "Optimiser",
                "label": "learning rate",
                "help": "peak for parameters that start from nothing; none for the optimiser's usual one.",
                "kind": "number",
                "choices": [],
                "meanings": {},
                "default": None,
                "bounds": "above 0",
                "only": {},
            }
        },
    )

    path: str
    section: str
    label: str
    help: str
    kind: Kind
    choices: tuple[str, ...] = ()
    meanings: dict[str, str] = {}
    default: Value = None
    bounds: str = ""
    only: dict[str, tuple[str, ...]] = {}


@lru_cache
def form_fields() -> tuple[FormField, ...]:
    """All fields, section by section.

    >>> rate = next(field for field in form_fields() if field.path == "optimization.learning_rate")
    >>> rate.kind, rate.bounds, rate.help
    ('number', 'above 0', "peak for parameters that start from nothing; none for the optimiser's usual one.")
    >>> [field.path for field in form_fields() if field.only == {"optimization.policy.kind": ("sigmoid",)}]
    ['optimization.policy.center']
    """
    found = []
    for section, names in SECTIONS.items():
        for name in names:
            found += list(_fields(Experiment, name, "", section, {}))
    return _joined(found)


def explanations(model: type[BaseModel]) -> dict[str, str]:
    """What a model's docstring says of each of its fields.

    >>> explanations(Experiment)["epochs"]
    'passes over the set; none = from the number of images.'
    """
    text = inspect.cleandoc(model.__doc__ or "")
    _, _, arguments = text.partition("Args:\n")
    entries = re.split(r"\n(?=    \w[\w, ]*: )", "\n" + arguments.split("\n\n")[0])
    said: dict[str, str] = {}
    for entry in entries:
        names, colon, meaning = entry.strip().partition(": ")
        if colon:
            words = " ".join(meaning.split()).replace("`", "")
            said |= dict.fromkeys((name.strip() for name in names.split(",")), words)
    return said


def _fields(
    model: type[BaseModel], name: str, prefix: str, section: str, only: Mapping[str, tuple[str, ...]]
) -> Iterator[FormField]:
    info = model.model_fields[name]
    path = f"{prefix}{name}"
    help_text = explanations(model).get(name, "")
    inner = [part for part in _alternatives(info.annotation) if part is not NoneType]
    models = [part for part in inner if isinstance(part, type) and issubclass(part, BaseModel)]
    if len(models) > 1:
        yield from _variants(models, path, section, help_text, info)
        return
    if models:
        optional = len(inner) < len(_alternatives(info.annotation))
        for each in models[0].model_fields:
            for field in _fields(models[0], each, f"{path}.", section, only):
                left_out = {"default": None, "help": f"{help_text} {field.help}"} if optional else {}
                yield field.model_copy(update=left_out)
        return
    kind, choices = _kind(inner)
    yield FormField(
        path=path,
        section=section,
        label=name.replace("_", " "),
        help=help_text,
        kind=kind,
        choices=choices,
        default=_plain(info.default if not info.is_required() else None),
        bounds=_bounds(info),
        only=dict(only),
    )


def _variants(
    models: list[type[BaseModel]], path: str, section: str, help_text: str, info: FieldInfo
) -> Iterator[FormField]:
    """A choice between kinds, and the fields of each."""
    kinds = {str(model.model_fields["kind"].default): model for model in models}
    yield FormField(
        path=f"{path}.kind",
        section=section,
        label=path.rsplit(".", 1)[-1],
        help=help_text,
        kind="choice",
        choices=tuple(kinds),
        meanings={kind: _first_line(model) for kind, model in kinds.items()},
        default=_plain(getattr(info.default, "kind", None)),
    )
    for kind, model in kinds.items():
        for name in model.model_fields:
            if name != "kind":
                yield from _fields(model, name, f"{path}.", section, {f"{path}.kind": (kind,)})


def _joined(fields: list[FormField]) -> tuple[FormField, ...]:
    """Fields of the same name in several kinds become one, where they are alike."""
    found: dict[tuple[Any, ...], FormField] = {}
    for field in fields:
        key = (field.path, field.kind, field.choices)
        if key not in found:
            found[key] = field
            continue
        only = {name: (*values, *field.only.get(name, ())) for name, values in found[key].only.items()}
        default = found[key].default if found[key].default == field.default else None
        found[key] = found[key].model_copy(update={"only": only, "default": default})
    return tuple(found.values())


def _kind(inner: list[Any]) -> tuple[Kind, tuple[str, ...]]:
    literals = [value for part in inner if get_origin(part) is Literal for value in get_args(part)]
    others = [part for part in inner if get_origin(part) is not Literal]
    words = tuple(str(value) for value in literals)
    if literals:
        return ("yaml" if others else "choice"), words
    if len(others) != 1:
        return "yaml", ()
    (part,) = others
    origin, arguments = get_origin(part), get_args(part)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is not Ellipsis:
            return "pair", ()
        if get_origin(arguments[0]) is Literal:
            return "choices", tuple(str(value) for value in get_args(arguments[0]))
        return "yaml", ()
    plain: dict[Any, Kind] = {bool: "switch", int: "whole", float: "number", str: "word"}
    return plain.get(part, "yaml"), ()


def _alternatives(annotation: Any) -> list[Any]:
    """The parts of a union, without what pydantic is told beside them."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if get_origin(annotation) in (Union, UnionType):
        return [inner for part in get_args(annotation) for inner in _alternatives(part)]
    return [annotation]


def _bounds(info: FieldInfo) -> str:
    said = []
    for mark in info.metadata:
        match mark:
            case Ge(ge=least):
                said.append(f"{least:,} or more")
            case Gt(gt=least):
                said.append(f"above {least:g}")
            case Le(le=most):
                said.append(f"{most:,} at most")
            case Lt(lt=most):
                said.append(f"below {most:g}")
    return ", ".join(said)


def _plain(value: Any) -> Value:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, str | int | float | bool | list | dict) else None


def _first_line(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").split("\n")[0]
