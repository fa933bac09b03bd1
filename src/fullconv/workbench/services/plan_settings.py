"""What visitors ask a run to be: read from fields or YAML, checked field by field, and kept to what they may name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import inf, prod
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError

from fullconv.data.patterns import found_by
from fullconv.errors import FullconvError, PackageError, StorageError
from fullconv.networks.own_file import absolute_name, is_own_file
from fullconv.networks.weights import NAMED_WEIGHTS
from fullconv.plain_yaml import MISREAD, refuse_references
from fullconv.store.checking import LARGEST_CARD
from fullconv.store.package import CARD
from fullconv.store.stored_weights import find_weights
from fullconv.training.axes import axes_of
from fullconv.training.settings.experiment import Experiment
from fullconv.workbench.mistakes import WrongField, WrongFields, wrong_fields
from fullconv.workbench.own_code import refuse_code
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.security.descriptions import allowed_description
from fullconv.workbench.security.paths import allowed_path
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import checked_name

LONGEST_TEXT = 100_000
DEEPEST = 12
LARGEST_NUMBER = 10**9
LARGEST_SIDE = 20_000
"""Pixels of a view: following a network takes time in proportion."""
MOST_RUNS = 200
LONGEST_PATTERN = 200
_WEIGHT_FILE = ".safetensors"
_SIDES = (("crop",), ("regime", "size"), ("resize", "longest_side"))

Settings = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What was asked for, checked.

    Args:
        dataset: name in the workspace, or path of its dataset.yaml.
        settings: everything else, with lists of values where several runs are wanted; weights by their paths.
        axes: the lists, by path.
        first: the experiment of the first values.
    """

    dataset: str
    settings: Settings
    axes: dict[str, list[Any]]
    first: Experiment

    @property
    def runs(self) -> int:
        """How many it makes."""
        return prod(len(values) for values in self.axes.values())


def asked(bench: Workbench, source: Mapping[str, Any] | str) -> Asked:
    """What a plan asks for.

    Args:
        source: fields of an `Experiment`, or the same as YAML text; a list where one value belongs asks for a run of
            each.

    Raises:
        WrongFields: with every wrong field.
    """
    settings = settings_of(source)
    errors = list(_too_large(settings, ()))
    if errors:
        raise WrongFields(errors)
    axes = axes_of(settings)
    errors += _bad_lists(settings, axes)
    shared = [name for name in ("dataset", "group") if name in axes]
    errors += [WrongField(field=name, message="all runs of a group share it; give one") for name in shared]
    first = _with_first_values(settings, axes)
    try:
        Experiment.model_validate(first)
    except ValidationError as problem:
        known = {error.field for error in errors}
        errors += [error for error in wrong_fields(problem, first) if error.field.split(".0")[0] not in known]
        raise WrongFields(errors) from problem
    if errors:
        raise WrongFields(errors)
    count = prod(len(values) for values in axes.values())
    if count > MOST_RUNS:
        errors.append(WrongField(field=next(iter(axes)), message=f"these lists make {count} runs, {MOST_RUNS} at most"))
    settings = _allowed(bench, settings, errors)
    if errors:
        raise WrongFields(errors)
    axes = axes_of(settings)
    experiment = Experiment.model_validate(_with_first_values(settings, axes))
    return Asked(settings.pop("dataset"), settings, axes, experiment)


def settings_of(source: Mapping[str, Any] | str) -> Settings:
    """The fields, from YAML where it is text; nothing is checked but the form.

    Raises:
        WrongFields: it is no YAML, holds something else than names and values, or is nested too deeply.

    >>> settings_of("dataset: streets\\ncrop: [64, 96]")
    {'dataset': 'streets', 'crop': [64, 96]}
    """
    if isinstance(source, str):
        if len(source) > LONGEST_TEXT:
            raise _wrong(f"is longer than {LONGEST_TEXT:,} characters")
        try:
            source = yaml.load(source, Loader=PlainLoader)
        except yaml.YAMLError as problem:
            mark = getattr(problem, "problem_mark", None)
            line = "" if mark is None else f" in line {mark.line + 1}"
            said = getattr(problem, "problem", None) or "cannot be read"
            raise _wrong(f"this is no YAML{line}: {said}") from problem
        except MISREAD as problem:
            raise _wrong("this is no YAML that can be read") from problem
    if not isinstance(source, Mapping):
        raise _wrong("give names and values, as dataset: streets")
    plain = _plain(source, DEEPEST)
    assert isinstance(plain, dict)
    return plain


class PlainLoader(yaml.SafeLoader):
    """YAML without references: a plan needs none, and a few of them can stand for more than memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "references are not used in plans", event.start_mark)
        return super().compose_node(parent, index)


def _plain(value: Any, deepest: int) -> Any:
    """With words for names at every level."""
    if deepest == 0:
        raise _wrong("it is nested too deeply")
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, deepest - 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, deepest - 1) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)  # YAML knows dates


def _too_large(value: Any, path: tuple[str, ...]) -> Iterator[WrongField]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _too_large(inner, (*path, name))
    elif isinstance(value, list):
        for inner in value:
            yield from _too_large(inner, path)
    elif isinstance(value, int | float) and abs(value) > _largest(path):
        yield WrongField(
            field=".".join(path), message=f"{value:.3g} is too large" if abs(value) < 1e300 else "is too large"
        )
    elif isinstance(value, str) and len(value) > 4096:
        yield WrongField(field=".".join(path), message="is too long")


def _largest(path: tuple[str, ...]) -> float:
    if path == ("seed",):
        return inf
    return LARGEST_SIDE if path in _SIDES else LARGEST_NUMBER


def _bad_lists(settings: Settings, axes: Mapping[str, list[Any]]) -> Iterator[WrongField]:
    """Lists of values of which one cannot be taken: the value is named, not the list."""
    for name, values in settings.items():
        if not isinstance(values, list) or name in axes or _problem({name: values}) is None:
            continue
        alone = [_problem({name: value}) for value in values]
        if None in alone:  # it is meant as a list of values
            value, said = next((value, said) for value, said in zip(values, alone, strict=True) if said is not None)
            yield WrongField(field=name, message=said if repr(value) in said else f"{value!r}: {said}")


def _problem(settings: Settings) -> str | None:
    try:
        Experiment.model_validate({"dataset": "any"} | settings)
    except ValidationError as problem:
        return wrong_fields(problem, settings)[0].message
    return None


def _with_first_values(settings: Settings, axes: Mapping[str, list[Any]]) -> Settings:
    first = deepcopy(settings)
    for path, values in axes.items():
        *parents, last = path.split(".")
        place = first
        for name in parents:
            place = place[name]
        place[last] = values[0]
    return first


def _allowed(bench: Workbench, settings: Settings, errors: list[WrongField]) -> Settings:
    """The settings with paths in the place of names; what a visitor may not name is added to the errors."""
    known = dict(settings)
    checks = {"dataset": _dataset, "network": _network, "weights": _weights, "group": _group, "group_by": _group_by}
    for name, check in checks.items():
        value = known.get(name)
        if value is None:
            continue
        try:
            known[name] = [check(bench, one) for one in value] if isinstance(value, list) else check(bench, value)
        except FullconvError as problem:
            said = problem.problem if problem.remedy is None else f"{problem.problem}; {problem.remedy}"
            errors.append(WrongField(field=name, message=said))
    if known.get("nodes", 1) != 1:
        errors.append(WrongField(field="nodes", message="several machines are started by torchrun or Slurm"))
    if known.get("devices", 1) != 1 and known.get("device", "auto") != "cpu" and torch.cuda.is_available():
        message = "a job has one graphics card; several are taken by `fullconv train --devices` from a shell"
        errors.append(WrongField(field="devices", message=message))
    return known


def _dataset(bench: Workbench, value: str) -> str:
    if "/" in value or value.startswith("~"):
        return str(allowed_description(bench.settings, value))
    return bench.datasets.directory(value).name


def _network(bench: Workbench, value: str) -> str:
    if not is_own_file(value):
        if not re.fullmatch(r"[\w.-]{1,120}", value):
            raise NotThere(f"no network is named {value[:80]!r}", remedy="choose one of the catalogue")
        return value
    refuse_code(value, allowed=bench.settings.allow_code)
    path, _, function = absolute_name(value).rpartition(":")
    return f"{allowed_path(bench.settings, path, kind='file')}:{function}"


def _weights(bench: Workbench, value: str) -> str:
    """A named kind as it is; else the path of a weight file, of stored weights, or of the package of a model or run."""
    if value in NAMED_WEIGHTS:
        return value
    if "/" in value or value.startswith("~"):
        path = allowed_path(bench.settings, value)
        if path.is_dir() and not (path / CARD).is_file() and (path / "model" / CARD).is_file():
            path = path / "model"
        if (path / CARD).is_file():  # it may lie in an uploaded archive, where anybody can have written it
            refuse_references(path / CARD, largest=LARGEST_CARD, error=PackageError)
            return str(path)
        if path.suffix.lower() == _WEIGHT_FILE:
            return str(path)
        remedy = f"give a {_WEIGHT_FILE} file or the folder of a model; `fullconv train` takes .pth files too"
        raise StorageError("is no weight file that the workbench takes", remedy=remedy)
    name = checked_name(value)
    for candidate in (bench.home.models / name, bench.home.runs / name / "model"):
        if (candidate / CARD).is_file():
            return str(candidate)
    stored = find_weights(name, bench.home.models)
    if stored is not None:
        return str(stored)
    raise NotThere(f"no model, weights or finished run is named {name!r}", remedy="choose another one, or give a path")


def _group(bench: Workbench, value: str) -> str:
    return checked_name(value)


def _group_by(bench: Workbench, value: str) -> str:
    if len(value) > LONGEST_PATTERN:
        raise StorageError("is too long", remedy=f"use a regular expression of {LONGEST_PATTERN} letters at most")
    if value != "none":
        found_by(value, [])
    return value


def _wrong(message: str) -> WrongFields:
    return WrongFields([WrongField(field="", message=message)])


def path_of(asked: Asked) -> Path | None:
    """The file of a network of one's own, where it is one."""
    name = asked.first.network
    return Path(name.rpartition(":")[0]) if is_own_file(name) else None
