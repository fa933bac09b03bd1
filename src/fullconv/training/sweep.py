"""Several runs from one plan: lists of values, seeds, folds; their scores side by side; an ensemble of the folds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from fullconv.data.dataset import Dataset
from fullconv.data.description import FILE_NAME
from fullconv.errors import PlanError
from fullconv.files import read_yaml, write_atomically
from fullconv.networks.ensemble import Ensemble
from fullconv.networks.own_file import is_own_file
from fullconv.prediction.evaluating import evaluate, evaluate_heads
from fullconv.prediction.model import Model
from fullconv.store.package import Geometry, HistoryEntry, save_package
from fullconv.training.axes import at, axes_of, put, wrong_values
from fullconv.training.distribution.processes import Processes, from_first, launched
from fullconv.training.finished import Run, finished_run
from fullconv.training.fit import resume, train
from fullconv.training.group_runs import GroupRun, run_for, runs_of
from fullconv.training.packing import scores_of
from fullconv.training.preparing import asked_for, experiment_for
from fullconv.training.settings.recipes import overlaid
from fullconv.training.status import read_status
from fullconv.workspace import Workspace, checked_name

Settings = dict[str, Any]
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Sweep:
    """Runs of one group.

    Args:
        group: its name; each run's plan carries it.
        axes: settings that differ, with their values.
        runs: in the order of the values, the last axis fastest.
        directory: holds summary.json.
        ensemble: the folds' models as one, where the runs are folds.
    """

    group: str
    axes: dict[str, list[Any]]
    runs: tuple[Run, ...]
    directory: Path
    ensemble: Model | None = None

    @property
    def spread(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation over the runs of pixel accuracy, mean accuracy, mean IoU, weighted IoU."""
        names = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
        return {name: _spread([getattr(run.scores, name) for run in self.runs]) for name in names}

    @property
    def head_spread(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation over the runs of the mean IoU of every head; empty for networks with one."""
        first = self.runs[0].heads if self.runs else {}
        shared = [name for name in first if all(name in run.heads for run in self.runs)]
        return {name: _spread([run.heads[name].mean_iou for run in self.runs]) for name in shared}

    @property
    def best(self) -> Run:
        """The run with the highest mean IoU."""
        return max(self.runs, key=lambda run: -math.inf if math.isnan(run.scores.mean_iou) else run.scores.mean_iou)

    def table(self) -> Table:
        """One row per run, and their mean and spread."""
        table = Table(title=f"Group {self.group}")
        further = list(self.head_spread)[1:]
        for heading in (*self.axes, "pixel accuracy", "mean IoU", *(f"mean IoU {name}" for name in further), "run"):
            table.add_column(heading, justify="left" if heading == "run" or heading in self.axes else "right")
        for run in self.runs:
            plan = run.experiment.model_dump(mode="json")
            cells = [str(at(plan, path.split("."))) for path in self.axes]
            scores = run.scores
            cells += [f"{scores.pixel_accuracy:.3f}", f"{scores.mean_iou:.3f}"]
            table.add_row(*cells, *(f"{run.heads[name].mean_iou:.3f}" for name in further), run.directory.name)
        spreads = [self.spread[name] for name in ("pixel_accuracy", "mean_iou")]
        means = [
            f"{mean:.3f} ± {spread:.3f}" for mean, spread in (*spreads, *map(self.head_spread.__getitem__, further))
        ]
        table.add_section()
        table.add_row(*["mean" if not index else "" for index in range(len(self.axes))], *means, "")
        return table

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "format": 1,
            "group": self.group,
            "axes": self.axes,
            "runs": [
                {
                    "run": run.directory.name,
                    "settings": {
                        path: at(run.experiment.model_dump(mode="json"), path.split(".")) for path in self.axes
                    },
                    "split": run.split,
                    "scores": run.scores.as_dict(),
                    "heads": {name: found.as_dict() for name, found in run.heads.items()},
                }
                for run in self.runs
            ],
            "spread": {name: {"mean": mean, "deviation": spread} for name, (mean, spread) in self.spread.items()},
            "heads": {
                name: {"mean_iou": {"mean": mean, "deviation": spread}}
                for name, (mean, spread) in self.head_spread.items()
            },
            "ensemble": None if self.ensemble is None else str(self.ensemble.directory),
        }


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
    name = checked_name(group or asked.get("group") or _group_name(dataset, axes))
    directory = home.groups / name
    with launched() as processes:
        known = runs_of(home, name) if processes.first else []
        runs = tuple(_one(dataset, chosen | {"group": name}, known, home, processes, quiet=quiet) for chosen in wanted)
        done = Sweep(name, axes, runs, directory)
        if "fold" in axes and len(axes) == 1:
            done = replace(done, ensemble=_voting(done, home, processes, quiet=quiet))
        if processes.first:
            directory.mkdir(parents=True, exist_ok=True)
            write_atomically(directory / SUMMARY, json.dumps(done.as_dict(), indent=1) + "\n")
    return done


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


def _voting(done: Sweep, home: Workspace, processes: Processes, *, quiet: bool) -> Model:
    """The ensemble of the folds, which the first of several processes makes and the others read."""
    made: list[Model] = []

    def packed() -> Path:
        made.append(_ensemble(done, home, quiet=quiet))
        return home.model(done.group)

    package = from_first(processes, packed)
    return made[0] if made else Model.load(package, allow_code=is_own_file(done.runs[0].experiment.network))


def _ensemble(done: Sweep, home: Workspace, *, quiet: bool) -> Model:
    """The models of all folds as one package in the store, scored on the test images where there are any."""
    nets, cards = zip(*(run.model.package for run in done.runs), strict=True)
    net = Ensemble(nets).eval()
    learnt = HistoryEntry.now("ensemble of folds", runs=[run.directory.name for run in done.runs])
    card = cards[0].model_copy(
        update={
            "name": done.group,
            "network": cards[0].network.model_copy(update={"members": len(nets)}),
            "geometry": Geometry.of(net),
            "scores": (),
            "history": (learnt,),
        }
    )
    package, device = home.model(done.group), done.runs[0].model.device.type
    data = Dataset.load(done.runs[0].experiment.dataset, home)
    if len(data.test):
        model = Model(net, card, device=device)
        heads = evaluate_heads(model, data.test, progress=not quiet)
        scores = next(iter(heads.values())) if heads else evaluate(model, data.test, progress=not quiet)
        card = card.model_copy(update={"scores": scores_of(scores, heads, data, "test")})
    save_package(package, net, card, replace=True)
    return Model(net, card, package, device=device)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    found = np.array(values)
    return float(found.mean()), float(found.std(ddof=1 if len(values) > 1 else 0))


def _group_name(dataset: Dataset | str | Path, axes: Mapping[str, Sequence[Any]]) -> str:
    called = dataset.name if isinstance(dataset, Dataset) else Path(dataset).stem
    parts = [called, *(path.rsplit(".", 1)[-1] for path in axes)]
    return "-".join("".join(letter if letter.isalnum() else "_" for letter in part) for part in parts)[:90]
