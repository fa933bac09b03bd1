"""Groups of runs: lists of values, folds, and going on with what was interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import FullconvError, NetworkError, PlanError
from fullconv.training import sweep as module
from fullconv.training.axes import axes_of
from fullconv.training.group_summary import Missing, sum_up
from fullconv.training.runs import list_runs
from fullconv.training.status import Status, read_status, write_status
from fullconv.training.sweep import plan_sweep
from fullconv.workspace import Workspace


def test_lists_are_axes_where_a_plan_takes_one_value() -> None:
    settings = {
        "crop": [64, 64],
        "seed": [1, 2, 3],
        "regime": {"kind": "patchwise", "size": [64, 64], "loss_at": ["center", "pixels"]},
        "optimization": {"policy": ["poly", "step"], "momentum": 0.9},
        "loss": {"boundary": {"width": [3, 5]}},
        "augmentation": {"scale": [0.5, 2.0]},
    }
    assert axes_of(settings) == {
        "seed": [1, 2, 3],
        "regime.loss_at": ["center", "pixels"],
        "optimization.policy": ["poly", "step"],
        "loss.boundary.width": [3, 5],
    }
    assert axes_of({"optimization": {"policy": {"kind": "step", "gamma": [0.1, 0.5]}}}) == {
        "optimization.policy.gamma": [0.1, 0.5]
    }


@pytest.mark.parametrize("settings", [{}, {"crop": [64, 64]}, {"folds": 3, "fold": 2}])
def test_without_a_list_of_values_there_is_no_sweep(settings: dict[str, Any]) -> None:
    assert axes_of(settings) == {}
    with pytest.raises(PlanError, match="nothing is given as a list of values"):
        fc.sweep("streets", settings=settings)


def test_every_combination_is_a_run_of_one_group(dataset: Dataset, quick: dict[str, Any]) -> None:
    settings = quick | {"epochs": 1, "seed": [0, 1], "optimization": {"learning_rate": [1e-3, 1e-2]}}
    done = fc.sweep(dataset, settings=settings, quiet=True)
    found = [(run.experiment.seed, run.experiment.optimization.learning_rate) for run in done.runs]
    assert found == [(0, 1e-3), (0, 1e-2), (1, 1e-3), (1, 1e-2)]
    assert {run.experiment.group for run in done.runs} == {done.group} == {"streets-seed-learning_rate"}
    ious = [run.scores.mean_iou for run in done.runs]
    assert done.spread["mean_iou"] == pytest.approx((np.mean(ious), np.std(ious, ddof=1)))
    assert done.best.scores.mean_iou == max(ious)
    summary = json.loads((done.directory / "summary.json").read_text())
    assert [run["settings"] for run in summary["runs"]][1] == {"seed": 0, "optimization.learning_rate": 0.01}
    assert done.table().row_count == 5


def test_an_interrupted_group_goes_on(dataset: Dataset, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = quick | {"epochs": 1, "seed": [0, 1, 2]}
    train, calls = module.train, []

    def twice(*args: Any, **named: Any) -> Any:
        calls.append(named["settings"]["seed"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*args, **named)

    monkeypatch.setattr(module, "train", twice)
    with pytest.raises(KeyboardInterrupt):
        fc.sweep(dataset, settings=settings, quiet=True, group="seeds")
    done = fc.sweep(dataset, settings=settings, quiet=True, group="seeds")
    assert calls == [0, 1, 1, 2]
    assert len(done.runs) == len(list_runs(Workspace.find())) == 3


def test_folds_leave_an_ensemble(dataset: Dataset, quick: dict[str, Any]) -> None:
    done = fc.sweep(dataset, settings=quick | {"epochs": 1, "folds": 2}, quiet=True)
    assert [run.experiment.fold for run in done.runs] == [1, 2]
    assert done.ensemble is not None
    model = fc.load(done.group)
    assert model.card.network.members == 2
    pixels = dataset.test.read(0)[0]
    expected = torch.stack([run.model.scores(pixels).softmax(0) for run in done.runs]).mean(0)
    torch.testing.assert_close(model.scores(pixels).softmax(0), expected, rtol=1e-4, atol=1e-5)
    assert model.card.scores[0].split == "test"


def test_one_run_of_all_folds_is_refused(dataset: Dataset, quick: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="holds out one fold"):
        fc.train(dataset, settings=quick | {"folds": 2}, quiet=True)


def test_a_plan_on_disk_may_hold_lists(dataset: Dataset, quick: dict[str, Any], tmp_path: Path) -> None:
    dataset.save()
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(quick | {"dataset": "streets", "epochs": 1, "seed": [3, 4]}))
    done = fc.sweep(plan, settings={"batch_size": 2}, quiet=True)
    assert [(run.experiment.seed, run.experiment.batch_size) for run in done.runs] == [(3, 2), (4, 2)]


def test_a_planned_group_is_trained_by_others_and_summed_up_as_it_stands(
    dataset: Dataset, quick: dict[str, Any]
) -> None:
    dataset.save()
    home = Workspace.find()
    planned = plan_sweep("streets", quick | {"epochs": 1, "seed": [0, 1, 2]}, group="seeds", workspace=home)
    assert [read_status(run).state for run in planned.runs] == ["queued"] * 3
    assert planned.made == planned.runs
    with pytest.raises(PlanError, match=r"seeds: no run of the group is done: .* is queued"):
        sum_up(planned.group, planned.axes, planned.runs, workspace=home)
    fc.resume(planned.runs[0], quiet=True)
    write_status(planned.runs[1], Status.now("failed", read_status(planned.runs[1]), error="the cause."))
    found = sum_up(planned.group, planned.axes, planned.runs, workspace=home, quiet=True)
    assert [run.directory for run in found.runs] == [planned.runs[0]]
    failed, waiting = planned.runs[1].name, planned.runs[2].name
    assert found.missing == (Missing(failed, "failed", "the cause."), Missing(waiting, "queued"))
    summary = json.loads((home.groups / "seeds" / "summary.json").read_text())
    assert [run["run"] for run in summary["missing"]] == [failed, waiting]
    again = plan_sweep("streets", quick | {"epochs": 1, "seed": [0, 1, 2, 3]}, group="seeds", workspace=home)
    assert again.runs[:3] == planned.runs
    assert again.made == again.runs[3:]


def test_a_group_of_which_one_run_is_impossible_leaves_nothing(dataset: Dataset, quick: dict[str, Any]) -> None:
    dataset.save()
    home = Workspace.find()
    with pytest.raises(NetworkError, match="nowhere"):
        plan_sweep("streets", quick | {"weights": ["random", "nowhere.pt"]}, workspace=home)
    assert list_runs(home) == []


def test_folds_that_are_not_all_done_make_no_ensemble(dataset: Dataset, quick: dict[str, Any]) -> None:
    dataset.save()
    home = Workspace.find()
    planned = plan_sweep("streets", quick | {"epochs": 1, "folds": 2}, group="halves", workspace=home)
    fc.resume(planned.runs[0], quiet=True)
    assert sum_up(planned.group, planned.axes, planned.runs, workspace=home, quiet=True).ensemble is None
    fc.resume(planned.runs[1], quiet=True)
    assert sum_up(planned.group, planned.axes, planned.runs, workspace=home, quiet=True).ensemble is not None
    assert fc.load("halves").card.network.members == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seed": [0, "two"]}, "seed: 'two' is not a whole number"),
        ({"seed": [0, 1], "optimization": {"lr": 1}}, "perhaps optimization.learning_rate is meant"),
        (
            {"class_weights": ["none", "inverse-log"], "regime": {"kind": "loss-sampling", "how": "class-balanced"}},
            "goes by",
        ),
        ({"network": ["fcn8s-vgg16", "fcn8s-vgg61"]}, "no backbone is named 'vgg61'"),
    ],
)
def test_a_slip_in_any_run_is_told_before_the_first_one(
    dataset: Dataset, quick: dict[str, Any], settings: dict[str, Any], words: str, workspace_home: Path
) -> None:
    with pytest.raises(FullconvError, match=words):
        fc.sweep(dataset, settings={**quick, "seed": [0, 1], **settings}, quiet=True)
    assert not workspace_home.exists()


def test_two_devices_train_every_run_of_a_group(dataset: Dataset, quick: dict[str, Any]) -> None:
    """With frozen statistics two processes give what one gives."""
    steady = {"network": "fcn32s-compact", "epochs": 2, "optimization": {"batch_norm": "frozen", "optimizer": "sgd"}}
    done = fc.sweep(dataset, settings=quick | steady | {"seed": [0, 1], "devices": 2}, quiet=True)
    assert [(run.experiment.seed, run.experiment.devices) for run in done.runs] == [(0, 2), (1, 2)]
    alone = fc.train(dataset, settings=quick | steady | {"seed": 1}, quiet=True)
    assert done.runs[1].scores.confusion.tolist() == alone.scores.confusion.tolist()


def test_torchrun_trains_folds_one_after_another(dataset: Dataset, quick: dict[str, Any], workspace_home: Path) -> None:
    settings = quick | {"network": "fcn32s-compact", "epochs": 2, "folds": 2, "group": "parts"}
    dataset.save()
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    chosen = [f"--set={name}={json.dumps(value)}" for name, value in settings.items()]
    command = [*launcher, "-m", "fullconv", "train", "streets", "--json", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)  # by one process only
    assert [run["settings"] for run in said["runs"]] == [{"fold": 1}, {"fold": 2}]
    assert json.loads((workspace_home / "groups" / "parts" / "summary.json").read_text()) == said
    assert fc.load("parts").card.network.members == 2
    again = fc.sweep("streets", settings=settings, quiet=True)  # all of it is done, by however many processes
    assert [run.directory.name for run in again.runs] == [run["run"] for run in said["runs"]]
    assert {run.experiment.devices for run in again.runs} == {2}
    assert len(list_runs(Workspace(workspace_home))) == 2
