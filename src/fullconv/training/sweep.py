"""Several runs from one plan: lists of values, seeds, folds; trained at once, or planned so that others train them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from fullconv.data.dataset import Dataset
from fullconv.data.description import FILE_NAME
from fullconv.errors import PlanError
from fullconv.files import read_yaml
from fullconv.training.axes import axes_of, put, wrong_values
from fullconv.training.distribution.processes import Processes, from_first, launched
from fullconv.training.finished import Run, finished_run
from fullconv.training.fit import plan_run, resume, train
from fullconv.training.group_runs import GroupRun, run_for, runs_of
from fullconv.training.group_summary import Sweep, summed_up
from fullconv.training.preparing import asked_for, experiment_for
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
    axes, wanted = axes_of(asked), runs_asked_for(dataset, asked)
    if not axes:
        raise PlanError("nothing is given as a list of values", where="the sweep", remedy="give a list, or train once")
    name = group_name(dataset, asked, group=group)
    with launched() as processes:
        known = runs_of(home, name) if processes.first else []
        runs = tuple(_one(dataset, chosen | {"group": name}, known, home, processes, quiet=quiet) for chosen in wanted)
        return summed_up(Sweep(name, axes, runs, home.groups / name), home, processes, quiet=quiet)


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
    name = group_name(dataset, settings, group=group)
    known = runs_of(workspace, name)
    every = [chosen | {"group": name} for chosen in runs_asked_for(dataset, settings)]
    wanted = [(chosen, experiment_for(dataset, chosen, workspace)) for chosen in every]
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


def group_name(dataset: Dataset | str | Path, settings: Mapping[str, Any], *, group: str | None = None) -> str:
    """What a sweep's group is called: as it is told, else by the dataset and what differs.

    Args:
        dataset, settings, group: as for `sweep`.

    Raises:
        StorageError: it cannot be a name.

    >>> group_name("streets", {"seed": [1, 2], "optimization": {"learning_rate": [0.1, 0.2]}})
    'streets-seed-learning_rate'
    """
    told = group or settings.get("group")
    if told is None:
        called = dataset.name if isinstance(dataset, Dataset) else Path(dataset).stem
        parts = [called, *(path.rsplit(".", 1)[-1] for path in axes_of(settings))]
        told = "-".join("".join(letter if letter.isalnum() else "_" for letter in part) for part in parts)[:90]
    return checked_name(told)


def runs_asked_for(dataset: Dataset | str | Path, settings: Mapping[str, Any]) -> list[Settings]:
    """The settings of every run, each checked before anything is read; one alone where nothing is a list of values.

    Args:
        dataset, settings: from `spelled_out`.

    Raises:
        PlanError: a field is unknown, or one of its values is not allowed.

    >>> [run["seed"] for run in runs_asked_for("streets", {"seed": [4, 5], "crop": [64, 64]})]
    [4, 5]
    >>> runs_asked_for("streets", {"seed": [4, "five"]})
    Traceback (most recent call last):
    fullconv.errors.PlanError: the experiment: seed: 'five' is not a whole number; give one.
    """
    axes = axes_of(settings)
    found = []
    for values in product(*axes.values()):
        chosen = deepcopy(dict(settings))
        for path, value in zip(axes, values, strict=True):
            put(chosen, path.split("."), value)
        checked = deepcopy(chosen)
        for place, value in wrong_values(chosen):
            put(checked, place, value)
        asked_for(dataset, checked)
        found.append(chosen)
    return found


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
    dataset: Dataset | str | Path,
    chosen: Settings,
    known: Sequence[GroupRun],
    home: Workspace,
    processes: Processes,
    *,
    quiet: bool,
) -> Run:
    """The run of one combination: done before, continued, or new, as the first of several processes finds it."""

    def begun() -> tuple[Path, bool] | None:
        directory = run_for(*experiment_for(dataset, chosen, home), known) if known else None
        return None if directory is None else (directory, read_status(directory).state == "done")

    found = from_first(processes, begun)
    if found is None:
        return train(dataset, workspace=home, quiet=quiet, settings=chosen)
    directory, is_done = found
    return finished_run(directory) if is_done else resume(directory, workspace=home, quiet=quiet)
