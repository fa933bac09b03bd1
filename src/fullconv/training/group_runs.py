"""The runs that a group has already, and which of them is what is asked for now."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fullconv.data.dataset import Dataset
from fullconv.errors import FullconvError, PlanError
from fullconv.files import read_document
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.preparing import readied
from fullconv.training.rate_change import rate_was_changed
from fullconv.training.runs import PLAN_FILE, list_runs
from fullconv.training.settings.experiment import Experiment, Plan
from fullconv.training.settings.regimes import Patchwise
from fullconv.training.status import read_status
from fullconv.workspace import Workspace

GroupRun = tuple[Path, Plan]
"""A run's folder, and its plan."""

MACHINE = {"devices", "nodes", "workers", "loggers"}
"""Fields of where a run computes and who is told: another value makes no other run."""
RATES = {"learning_rate", "pretrained_learning_rate"}


def runs_of(home: Workspace, group: str) -> list[GroupRun]:
    """The runs of a group, oldest first; those whose plan cannot be read are left out."""
    found = []
    for directory in list_runs(home):
        with suppress(FullconvError):
            plan = read_document(directory / PLAN_FILE, Plan, PlanError)
            if plan.group == group:
                found.append((directory, plan))
    return found


def run_for(experiment: Experiment, data: Dataset, runs: Sequence[GroupRun]) -> Path | None:
    """The run that was begun with the same settings on the same data, a finished one first; None if there is none.

    What the experiment leaves open is decided as for a new run, so that a plan of one epoch never stands for one of
    the usual length. A learning rate that was changed when the run was resumed is taken for the one it began with.

    Args:
        experiment: what is asked for, with its group.
        data: with the fold held out, if there is one.
        runs: of the group, from `runs_of`.

    Raises:
        PlanError: the settings contradict each other, the data or the machine.
    """
    if not runs:
        return None
    wanted = _planned(experiment, data)
    same = []
    for directory, plan in runs:
        status = read_status(directory)
        if status.data in (None, data.fingerprint) and _is_same(
            wanted, plan, experiment, any_rate=rate_was_changed(status)
        ):
            same.append((status.state != "done", directory))
    return min(same)[1] if same else None


def _planned(experiment: Experiment, data: Dataset) -> Plan:
    regime = experiment.regime
    if isinstance(regime, Patchwise) and regime.size is None and experiment.crop is None:
        return readied(experiment, data)[0]  # the network's receptive field is the size
    return resolve(experiment, TrainingSet(data.train.sizes, data.val.sizes))


def _is_same(wanted: Plan, found: Plan, experiment: Experiment, *, any_rate: bool) -> bool:
    open_here = {name for name in ("device", "precision") if getattr(experiment, name) == "auto"}
    left_out: dict[str, Any] = dict.fromkeys(MACHINE | open_here, True)
    if any_rate:
        left_out["optimization"] = RATES
    one, other = (plan.model_dump(mode="json", exclude=left_out) for plan in (wanted, found))
    return one == other
