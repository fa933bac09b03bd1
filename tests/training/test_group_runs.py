"""Which run of a group answers for settings that are asked for again: the same settings on the same data, no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.training import sweep as module
from fullconv.training.group_runs import run_for, runs_of
from fullconv.training.job import Job
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.preparing import experiment_for
from fullconv.training.rate_change import with_learning_rate
from fullconv.training.runs import PLAN_FILE, new_run
from fullconv.training.status import Status, read_status, write_status
from fullconv.workspace import Workspace


def begun(dataset: Dataset, settings: dict[str, Any], **status: Any) -> Path:
    """The folder of a run with these settings, without a training."""
    experiment, data = experiment_for(dataset, settings | {"group": "one"}, Workspace.find())
    plan = resolve(experiment, TrainingSet(data.train.sizes, data.val.sizes))
    directory = new_run(Workspace.find(), data.name, plan)
    told = {"state": "aborted", "data": data.fingerprint} | status
    write_status(directory, Status.now(told.pop("state"), read_status(directory), **told))
    return directory


def asked(dataset: Dataset, settings: dict[str, Any]) -> Path | None:
    experiment, data = experiment_for(dataset, settings | {"group": "one"}, Workspace.find())
    return run_for(experiment, data, runs_of(Workspace.find(), "one"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"folds": 2, "fold": 1}, {"folds": 3, "fold": 1}),
        ({"epochs": 1}, {"epochs": 2}),
        ({"epochs": 1}, {"epochs": None}),
        ({"patience": 2}, {}),
        ({"seed": 1}, {"seed": 2}),
        ({"network": "fcn32s-compact"}, {}),
        ({"optimization": {"clip": 1.0}}, {}),
        ({"optimization": {"learning_rate": 1e-3}}, {"optimization": {"learning_rate": 1e-2}}),
        ({"regime": {"kind": "patchwise", "size": [64, 64], "loss_at": "pixels"}}, {}),
    ],
)
def test_another_setting_is_another_run(
    dataset: Dataset, quick: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    run = begun(dataset, quick | first)
    assert asked(dataset, quick | first) == run
    assert asked(dataset, quick | second) is None


def test_where_a_run_computes_makes_no_other_run(dataset: Dataset, quick: dict[str, Any]) -> None:
    run = begun(dataset, quick)
    assert asked(dataset, quick | {"workers": 1, "devices": 2, "device": "auto", "precision": "auto"}) == run
    assert asked(dataset, quick | {"precision": "bf16"}) is None


def test_other_data_is_another_run(dataset: Dataset, quick: dict[str, Any]) -> None:
    begun(dataset, quick, data="0" * 64)
    assert asked(dataset, quick) is None


def test_a_finished_run_comes_first(dataset: Dataset, quick: dict[str, Any]) -> None:
    begun(dataset, quick)
    done = begun(dataset, quick, state="done")
    begun(dataset, quick)
    assert asked(dataset, quick) == done


def test_a_run_resumed_at_another_rate_stays_the_same_run(dataset: Dataset, quick: dict[str, Any]) -> None:
    run = begun(dataset, quick)
    (_, plan), *_ = runs_of(Workspace.find(), "one")
    job = Job(run, plan, dataset, None, None, None, Workspace.find(), None)  # type: ignore[arg-type]
    with_learning_rate(job, 1e-5)
    assert asked(dataset, quick) == run
    assert asked(dataset, quick | {"epochs": 7}) is None


def test_a_damaged_plan_elsewhere_stops_no_group(dataset: Dataset, quick: dict[str, Any]) -> None:
    damaged = begun(dataset, quick | {"seed": 5})
    run = begun(dataset, quick)
    (damaged / PLAN_FILE).write_text("epochs: [")
    assert [directory for directory, _ in runs_of(Workspace.find(), "one")] == [run]


def test_a_group_asked_for_with_more_epochs_is_trained_anew(
    dataset: Dataset, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, calls = module.train, []

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(named["settings"]["epochs"])
        return train(*arguments, **named)

    monkeypatch.setattr(module, "train", counted)
    for epochs in (1, 1, 2):
        done = fc.sweep(dataset, settings=quick | {"seed": [3], "epochs": epochs}, quiet=True)
    assert calls == [1, 2]
    assert [run.experiment.epochs for run in done.runs] == [2]
