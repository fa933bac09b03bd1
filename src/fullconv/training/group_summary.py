"""The runs of a group side by side: their scores, their spread, what is missing, and the folds' models as one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from fullconv.data.dataset import Dataset
from fullconv.errors import FullconvError, PlanError
from fullconv.files import write_atomically
from fullconv.networks.ensemble import Ensemble
from fullconv.networks.own_file import is_own_file
from fullconv.prediction.evaluating import evaluate, evaluate_heads
from fullconv.prediction.model import Model
from fullconv.store.package import Geometry, HistoryEntry, save_package
from fullconv.training.axes import at
from fullconv.training.distribution.processes import Processes, from_first
from fullconv.training.finished import Run, finished_run
from fullconv.training.packing import scores_of
from fullconv.training.status import read_status
from fullconv.workspace import Workspace, checked_name

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Missing:
    """A run of a group that has no result.

    Args:
        run: its name. state: as people are told it. error: the sentence that ended it.
    """

    run: str
    state: str
    error: str | None = None


@dataclass(frozen=True)
class Sweep:
    """Runs of one group.

    Args:
        group: its name; each run's plan carries it.
        axes: settings that differ, with their values.
        runs: in the order of the values, the last axis fastest.
        directory: holds summary.json.
        ensemble: the folds' models as one, where the runs are folds.
        missing: runs of the group that ended without a result.
    """

    group: str
    axes: dict[str, list[Any]]
    runs: tuple[Run, ...]
    directory: Path
    ensemble: Model | None = None
    missing: tuple[Missing, ...] = ()

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
            "missing": [asdict(run) for run in self.missing],
        }


def sum_up(
    group: str,
    axes: Mapping[str, Sequence[Any]],
    runs: Sequence[Path],
    *,
    workspace: Workspace,
    quiet: bool = False,
) -> Sweep:
    """The scores of a group's runs side by side, as they stand: nothing is trained.

    Args:
        group, axes, runs: as `plan_sweep` gives them.
        workspace: where the summary goes, and the ensemble, if the runs are folds and all of them are done.

    Raises:
        PlanError: no run is done; the sentence says what became of them.
    """
    done: list[Run] = []
    missing: list[Missing] = []
    for directory in runs:
        try:
            done.append(finished_run(directory))
        except FullconvError as problem:
            missing.append(_missing(directory, problem))
    if not done:
        said = "; ".join(f"{one.run} is {one.state}" for one in missing[:3])
        remedy = "go on with them, or start them again"
        raise PlanError(f"no run of the group is done: {said}", where=group, remedy=remedy)
    found = Sweep(
        group,
        {path: list(values) for path, values in axes.items()},
        tuple(done),
        workspace.groups / checked_name(group),
        missing=tuple(missing),
    )
    return summed_up(found, workspace, Processes(), quiet=quiet)


def _missing(directory: Path, problem: FullconvError) -> Missing:
    try:
        status = read_status(directory)
    except FullconvError:
        return Missing(directory.name, "gone")
    return Missing(directory.name, status.shown, status.error if status.state != "done" else str(problem))


def summed_up(found: Sweep, home: Workspace, processes: Processes, *, quiet: bool) -> Sweep:
    """With the ensemble of all folds, if they are, and the summary written by the first of several processes."""
    if list(found.axes) == ["fold"] and not found.missing:
        found = replace(found, ensemble=_voting(found, home, processes, quiet=quiet))
    if processes.first:
        found.directory.mkdir(parents=True, exist_ok=True)
        write_atomically(found.directory / SUMMARY, json.dumps(found.as_dict(), indent=1) + "\n")
    return found


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
