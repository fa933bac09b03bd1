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
from fullconv.prediction.evaluating import evaluate
from fullconv.prediction.model import Model
from fullconv.store.package import Geometry, HistoryEntry, PackageScores, save_package
from fullconv.training.finished import Run, finished_run
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
        values = {name: np.array([getattr(run.scores, name) for run in self.runs]) for name in names}
        ddof = 1 if len(self.runs) > 1 else 0
        return {name: (float(found.mean()), float(found.std(ddof=ddof))) for name, found in values.items()}

    @property
    def best(self) -> Run:
        """The run with the highest mean IoU."""
        return max(self.runs, key=lambda run: -math.inf if math.isnan(run.scores.mean_iou) else run.scores.mean_iou)

    def table(self) -> Table:
        """One row per run, and their mean and spread."""
        table = Table(title=f"Group {self.group}")
        for heading in (*self.axes, "pixel accuracy", "mean IoU", "run"):
            table.add_column(heading, justify="left" if heading == "run" or heading in self.axes else "right")
        for run in self.runs:
            plan = run.experiment.model_dump(mode="json")
            cells = [str(_at(plan, path.split("."))) for path in self.axes]
            scores = run.scores
            table.add_row(*cells, f"{scores.pixel_accuracy:.3f}", f"{scores.mean_iou:.3f}", run.directory.name)
        means = [f"{mean:.3f} ± {spread:.3f}" for mean, spread in map(self.spread.get, ("pixel_accuracy", "mean_iou"))]  # type: ignore[misc]
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
                        path: _at(run.experiment.model_dump(mode="json"), path.split(".")) for path in self.axes
                    },
                    "split": run.split,
                    "scores": run.scores.as_dict(),
                }
                for run in self.runs
            ],
            "spread": {name: {"mean": mean, "deviation": spread} for name, (mean, spread) in self.spread.items()},
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
    return summed_up(found, workspace, quiet=quiet)


def _missing(directory: Path, problem: FullconvError) -> Missing:
    try:
        status = read_status(directory)
    except FullconvError:
        return Missing(directory.name, "gone")
    return Missing(directory.name, status.shown, status.error if status.state != "done" else str(problem))


def summed_up(found: Sweep, home: Workspace, *, quiet: bool) -> Sweep:
    """With the ensemble of all folds, if they are, and the summary written."""
    if list(found.axes) == ["fold"] and not found.missing:
        found = replace(found, ensemble=_ensemble(found, home, quiet=quiet))
    found.directory.mkdir(parents=True, exist_ok=True)
    write_atomically(found.directory / SUMMARY, json.dumps(found.as_dict(), indent=1) + "\n")
    return found


def _ensemble(done: Sweep, home: Workspace, *, quiet: bool) -> Model:
    """The models of all folds as one package in the store, scored on the test images where there are any."""
    models = [run.model for run in done.runs]
    first = models[0]
    assert first.card is not None
    net = Ensemble([model.net for model in models]).eval()
    recipe = first.card.network.model_copy(update={"members": len(models)})
    learnt = HistoryEntry.now("ensemble of folds", runs=[run.directory.name for run in done.runs])
    card = first.card.model_copy(
        update={
            "name": done.group,
            "network": recipe,
            "geometry": Geometry.of(net),
            "scores": (),
            "history": (learnt,),
        }
    )
    package = home.model(done.group)
    data = Dataset.load(done.runs[0].experiment.dataset, home)
    if len(data.test):
        scores = evaluate(Model(net, card, device=first.device.type), data.test, progress=not quiet)
        entry = PackageScores.of(scores, dataset=data.name, split="test", images=len(data.test))
        card = card.model_copy(update={"scores": (entry,)})
    save_package(package, net, card, replace=True)
    return Model(net, card, package, device=first.device.type)


def _at(settings: Any, path: Sequence[str]) -> Any:
    for name in path:
        settings = settings.get(name) if isinstance(settings, Mapping) else None
    return settings
