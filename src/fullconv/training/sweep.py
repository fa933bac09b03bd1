"""Several runs from one plan: lists of values, seeds, folds; trained at once, or planned so that others train them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fullconv.data.dataset import Dataset
from fullconv.data.description import FILE_NAME
from fullconv.errors import PlanError
from fullconv.files import read_yaml
from fullconv.training.distribution.processes import here
from fullconv.training.finished import Run, finished_run
from fullconv.training.fit import plan_run, resume, train
from fullconv.training.group_runs import GroupRun, run_for, runs_of
from fullconv.training.group_summary import Sweep, summed_up
from fullconv.training.preparing import experiment_for
from fullconv.training.settings.experiment import Experiment
from fullconv.training.settings.recipes import overlaid
from fullconv.training.status import read_status
from fullconv.workspace import Workspace, checked_name

Settings = dict[str, Any]


@dataclass(frozen=True)
class PlannedSweep:
    """Runs of one group, begun or waiting.

    Args:
        group: its name. axes: settings that differ, with their values.
        runs: folders, in the order of the values, the last axis fastest.
        made: those that were made for this.
    """

    group: str
    axes: dict[str, list[Any]]
    runs: tuple[Path, ...]
    made: tuple[Path, ...]


def axes_of(settings: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Settings that are given as a list where a plan takes one value, by path; folds are such an axis too.

    >>> axes_of({"network": ["fcn8s-vgg16", "fcn4s-vgg16"], "crop": [64, 64], "optimization": {"weight_decay": [0, 1]}})
    {'network': ['fcn8s-vgg16', 'fcn4s-vgg16'], 'optimization.weight_decay': [0, 1]}
    >>> axes_of({"folds": 3})
    {'fold': [1, 2, 3]}
    """
    found = {".".join(path): value for path, value in _lists(settings, ()) if _is_axis(settings, path, value)}
    if isinstance(settings.get("folds"), int) and settings.get("fold") is None:
        found["fold"] = list(range(1, settings["folds"] + 1))
    return found


def sweep(
    dataset: Dataset | str | Path,
    network: str | Sequence[str] | None = None,
    *,
    group: str | None = None,
    workspace: Workspace | None = None,
    quiet: bool = False,
    settings: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Sweep:
    """Train once for every combination of the values given as lists, or once for every fold.

    A group that was interrupted goes on when it is asked for again: runs of the same settings on the same data stay if
    they are done, and are continued if not; all others are trained anew.

    Args:
        dataset: see `train`.
        network: one name or several.
        group: name of the group; made from dataset and settings if not given.
        workspace, quiet, settings, fields: see `train`; `folds=5` makes five runs and an ensemble of their models.

    Returns:
        The `Sweep`; its summary lies in the workspace under groups/<group>.

    Raises:
        PlanError: nothing is given as a list, or a setting is wrong.

    >>> import fullconv as fc
    >>> fc.sweep("streets", optimization={"learning_rate": [1e-3, 1e-2]})  # doctest: +SKIP
    """
    home = workspace or Workspace.find()
    asked: Settings = {**(settings or {}), **fields}
    if network is not None:
        asked["network"] = list(network) if not isinstance(network, str) else network
    dataset, asked = spelled_out(dataset, asked)
    axes = axes_of(asked)
    if not axes:
        raise PlanError("nothing is given as a list of values", where="the sweep", remedy="give a list, or train once")
    if here().count > 1:
        remedy = "start it once, with --devices for several processes on this machine"
        raise PlanError("a group of runs cannot be started by several processes", where="the sweep", remedy=remedy)
    name = checked_name(group or asked.get("group") or _group_name(dataset, axes))
    known = runs_of(home, name)
    runs = [_one(dataset, chosen, known, home, quiet=quiet) for chosen in _combinations(asked, axes, name)]
    return summed_up(Sweep(name, axes, tuple(runs), home.groups / name), home, quiet=quiet)


def plan_sweep(
    dataset: Dataset | str | Path, settings: Mapping[str, Any], *, group: str | None = None, workspace: Workspace
) -> PlannedSweep:
    """The runs of a sweep without training any: those that there are already, and new ones that wait for `resume`.

    Args:
        dataset, settings, group: as for `sweep`.
        workspace: where the runs go.

    Raises:
        PlanError: nothing is given as a list, or a setting is wrong; nothing is then left behind.
        DataError, NetworkError, StorageError: as `train`.
    """
    axes = axes_of(settings)
    if not axes:
        raise PlanError("nothing is given as a list of values", where="the sweep", remedy="give a list, or train once")
    name = checked_name(group or settings.get("group") or _group_name(dataset, axes))
    known = runs_of(workspace, name)
    wanted = [(chosen, experiment_for(dataset, chosen, workspace)) for chosen in _combinations(settings, axes, name)]
    runs, made = [], []
    try:
        for chosen, asked in wanted:
            directory = run_for(*asked, known)
            if directory is None:
                directory = plan_run(dataset, chosen, workspace=workspace)
                made.append(directory)
            runs.append(directory)
    except BaseException:
        for directory in made:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    return PlannedSweep(name, axes, tuple(runs), tuple(made))


def _combinations(asked: Mapping[str, Any], axes: Mapping[str, Sequence[Any]], group: str) -> Iterator[Settings]:
    """The settings of every run."""
    for values in product(*axes.values()):
        chosen = deepcopy(dict(asked)) | {"group": group}
        for path, value in zip(axes, values, strict=True):
            _put(chosen, path.split("."), value)
        yield chosen


def spelled_out(source: Dataset | str | Path, settings: Mapping[str, Any]) -> tuple[Dataset | str | Path, Settings]:
    """Dataset and settings apart, where the source is an experiment.yaml, which may hold lists of values.

    Raises:
        PlanError: the file cannot be read, or names no dataset.
    """
    if isinstance(source, Dataset) or Path(source).suffix not in (".yaml", ".yml") or Path(source).name == FILE_NAME:
        return source, dict(settings)
    written = read_yaml(Path(source), PlanError)
    if not axes_of(overlaid(written, settings)):
        return source, dict(settings)
    if "dataset" not in written:
        raise PlanError("names no dataset", where=source, remedy="write dataset: NAME")
    merged = overlaid(written, settings)
    return merged.pop("dataset"), merged


def _one(
    dataset: Dataset | str | Path, chosen: Settings, known: Sequence[GroupRun], home: Workspace, *, quiet: bool
) -> Run:
    """The run of one combination: done before, continued, or new."""
    directory = run_for(*experiment_for(dataset, chosen, home), known) if known else None
    if directory is None:
        return train(dataset, workspace=home, quiet=quiet, settings=chosen)
    if read_status(directory).state == "done":
        return finished_run(directory)
    return resume(directory, workspace=home, quiet=quiet)


def _group_name(dataset: Dataset | str | Path, axes: Mapping[str, Sequence[Any]]) -> str:
    called = dataset.name if isinstance(dataset, Dataset) else Path(dataset).stem
    parts = [called, *(path.rsplit(".", 1)[-1] for path in axes)]
    return "-".join("".join(letter if letter.isalnum() else "_" for letter in part) for part in parts)[:90]


def _lists(settings: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _lists(value, (*path, name))
        elif isinstance(value, list | tuple) and value:
            yield (*path, name), list(value)


def _is_axis(settings: Mapping[str, Any], path: tuple[str, ...], values: list[Any]) -> bool:
    """Whether a plan refuses the list and takes each of its values."""
    return not _taken(settings, path, values) and all(_taken(settings, path, value) for value in values)


def _taken(settings: Mapping[str, Any], path: tuple[str, ...], value: Any) -> bool:
    """Whether a setting may have this value, beside the plain settings of its sections."""
    whole: Settings = {}
    place, beside = whole, settings
    for name in path[:-1]:
        beside = beside[name]
        place[name] = {sibling: found for sibling, found in beside.items() if not isinstance(found, list | Mapping)}
        place = place[name]
    place[path[-1]] = value
    try:
        Experiment.model_validate({"dataset": "any"} | whole)
    except ValidationError:
        return False
    return True


def _put(settings: Settings, path: Sequence[str], value: Any) -> None:
    *parents, last = path
    for parent in parents:
        settings = settings.setdefault(parent, {})
    settings[last] = value
