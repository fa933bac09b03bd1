"""Settings that are given as a list where a plan takes one value: the axes along which a group of runs differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from fullconv.training.settings.experiment import Experiment

Settings = dict[str, Any]
Path = tuple[str, ...]


def axes_of(settings: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Settings that are given as a list where a plan takes one value, by path; folds are such an axis too.

    >>> axes_of({"network": ["fcn8s-vgg16", "fcn4s-vgg16"], "crop": [64, 64], "optimization": {"weight_decay": [0, 1]}})
    {'network': ['fcn8s-vgg16', 'fcn4s-vgg16'], 'optimization.weight_decay': [0, 1]}
    >>> axes_of({"optimization": {"policy": {"kind": "step", "size": [25, 33]}}})
    {'optimization.policy.size': [25, 33]}
    >>> axes_of({"folds": 3})
    {'fold': [1, 2, 3]}
    """
    found = {".".join(path): value for path, value in _lists(settings, ()) if _is_axis(settings, path, value)}
    if isinstance(settings.get("folds"), int) and settings.get("fold") is None:
        found["fold"] = list(range(1, settings["folds"] + 1))
    return found


def wrong_values(settings: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Of lists in which only some values may stand for a run: the first that may not, rather than the list.

    >>> list(wrong_values({"seed": [0, "two"], "crop": [64, 64]}))
    [(('seed',), 'two')]
    """
    for path, values in _lists(settings, ()):
        wrong = [value for value in values if not _taken(settings, path, value)]
        if wrong and len(wrong) < len(values) and not _taken(settings, path, values):
            yield path, wrong[0]


def put(settings: Settings, path: Sequence[str], value: Any) -> None:
    """Set a value at a path; sections on the way are made where there are none.

    >>> settings = {"optimization": {"clip": 1.0}}
    >>> put(settings, ("optimization", "policy", "kind"), "poly")
    >>> settings
    {'optimization': {'clip': 1.0, 'policy': {'kind': 'poly'}}}
    """
    *parents, last = path
    for parent in parents:
        settings = settings.setdefault(parent, {})
    settings[last] = value


def at(settings: Any, path: Sequence[str]) -> Any:
    """The value at a path; none where there is nothing.

    >>> at({"optimization": {"clip": 1.0}}, ("optimization", "clip")), at({}, ("regime", "keep"))
    (1.0, None)
    """
    for name in path:
        settings = settings.get(name) if isinstance(settings, Mapping) else None
    return settings


def _lists(settings: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, list[Any]]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _lists(value, (*path, name))
        elif isinstance(value, list | tuple) and value:
            yield (*path, name), list(value)


def _is_axis(settings: Mapping[str, Any], path: Path, values: list[Any]) -> bool:
    """Whether a plan refuses the list and takes each of its values."""
    return not _taken(settings, path, values) and all(_taken(settings, path, value) for value in values)


def _taken(settings: Mapping[str, Any], path: Path, value: Any) -> bool:
    """Whether a setting may have this value beside the plain settings of the sections that it lies in, or of all.

    What is wrong in other sections does not count against it; but some settings, such as `fold`, need others.
    """
    for beside in (_along(settings, path), _plain(settings)):
        put(beside, path, value)
        try:
            Experiment.model_validate({"dataset": "any"} | beside)
        except ValidationError:
            continue
        return True
    return False


def _along(settings: Mapping[str, Any], path: Path) -> Settings:
    """The sections that a path leads through, each with its own plain settings."""
    kept: Settings = {}
    section, copy = settings, kept
    for name in path[:-1]:
        section, copy[name] = section[name], {}
        copy = copy[name]
        copy.update({key: value for key, value in _plain(section).items() if not isinstance(value, Mapping)})
    return kept


def _plain(settings: Mapping[str, Any]) -> Settings:
    """Settings without lists; of several kinds of a section the first stays, for what it may hold depends on it."""
    kept: Settings = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            inner = _plain(value)
            kept |= {name: inner} if inner else {}
        elif not isinstance(value, list | tuple):
            kept[name] = value
        elif name == "kind" and value:
            kept[name] = value[0]
    return kept
