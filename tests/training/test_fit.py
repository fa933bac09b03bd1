"""Runs: what they leave on disk, how they go on, how they end."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.data.samples import Batch
from fullconv.errors import DataError, NetworkError, PlanError, StorageError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training.recording import RunRecorder
from fullconv.training.runs import stored_dataset
from fullconv.training.status import Status, read_status, write_status
from fullconv.training.stopping import StopRequested
from fullconv.training.task import SegmentationTask
from fullconv.workspace import Workspace


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state


def only_run(home: Path) -> Path:
    (run,) = Workspace.find(home).runs.iterdir()
    return run


@contextmanager
def stopped_in_epoch_three(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ctrl-C, pressed during the first step of the third epoch."""
    plain = RunRecorder.on_train_batch_end

    def stop(self: RunRecorder, trainer: Any, *rest: Any) -> None:
        self.stop_requested = trainer.current_epoch == 2
        plain(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_train_batch_end", stop)
        yield


def test_a_run_leaves_everything_that_is_promised(dataset: Dataset, quick: dict[str, Any]) -> None:
    run = fc.train(dataset, quiet=True, **quick)
    for name in (
        "experiment.yaml",
        "status.json",
        "metrics.csv",
        "transfer.json",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
        "report/scores.json",
        "report/report.html",
        "model/model.yaml",
        "model/model.safetensors",
    ):
        assert (run.directory / name).is_file(), name
    status = read_status(run.directory)
    assert (status.state, status.progress, status.epoch) == ("done", 1.0, 3)
    rows = read_rows(run.directory / "metrics.csv")
    assert [row["epoch"] for row in rows if row["split"] == "val"] == ["1", "2", "3"]
    assert all(0 <= float(row["mean_iou"]) <= 1 for row in rows if row["split"] == "val")
    assert run.split == "test"
    assert run.scores.pixels > 0


def test_the_package_predicts_what_the_run_predicted(dataset: Dataset, quick: dict[str, Any]) -> None:
    run = fc.train(dataset, quiet=True, **quick)
    loaded = fc.load(run.directory / "model")
    assert fc.evaluate(loaded, dataset.test).confusion.tolist() == run.scores.confusion.tolist()
    assert loaded.card.scores[0].mean_iou == pytest.approx(run.scores.mean_iou)
    assert fc.load(run.directory.name).card.name == run.directory.name


def test_the_best_epoch_is_the_one_that_is_packed(dataset: Dataset, quick: dict[str, Any]) -> None:
    run = fc.train(dataset, quiet=True, **quick)
    rows = [row for row in read_rows(run.directory / "metrics.csv") if row["split"] == "val"]
    best = max(float(row["mean_iou"]) for row in rows)
    assert fc.evaluate(run.model, dataset.val).mean_iou == pytest.approx(best, abs=2e-3)
    assert read_status(run.directory).best_mean_iou == pytest.approx(best, abs=1e-5)


def test_the_same_plan_gives_the_same_weights(dataset: Dataset, quick: dict[str, Any]) -> None:
    first = fc.train(dataset, quiet=True, **quick)
    again = fc.train(first.directory / "experiment.yaml", quiet=True)
    other = fc.train(dataset, quiet=True, **quick | {"seed": 1})
    one, two, three = (weights_of(run.directory) for run in (first, again, other))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], three[name]) for name in one)


@pytest.mark.parametrize(("workers", "ema", "accumulate"), [(0, None, 1), (1, None, 1), (0, 0.9, 1), (0, None, 2)])
def test_a_stopped_run_continues_to_the_same_result(
    dataset: Dataset,
    quick: dict[str, Any],
    workspace_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    ema: float | None,
    accumulate: int,
) -> None:
    quick |= {"workers": workers, "validate_every": 2, "optimization": {"ema": ema, "accumulate": accumulate}}
    straight = fc.train(dataset, quiet=True, **quick)
    expected = weights_of(straight.directory)
    rows = read_rows(straight.directory / "metrics.csv")
    with stopped_in_epoch_three(monkeypatch), pytest.raises(StopRequested):
        fc.train(dataset, quiet=True, workspace=Workspace(workspace_home / "other"), **quick)
    stopped = only_run(workspace_home / "other")
    assert read_status(stopped).state == "aborted"
    assert not (stopped / "model").exists()
    resumed = fc.resume(stopped, workspace=Workspace(workspace_home / "other"), quiet=True)
    found = weights_of(resumed.directory)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert resumed.scores.confusion.tolist() == straight.scores.confusion.tolist()
    untimed = ("seconds", "images_per_second", "loader_wait")
    again = read_rows(stopped / "metrics.csv")
    assert [{k: v for k, v in row.items() if k not in untimed} for row in again] == [
        {k: v for k, v in row.items() if k not in untimed} for row in rows
    ]


def test_with_a_moving_average_that_is_what_is_validated_and_kept(
    dataset: Dataset, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick |= {"epochs": 2, "optimization": {"ema": 0.5}}
    passed: list[dict[str, torch.Tensor]] = []
    plain = RunRecorder.on_train_batch_end

    def noting(self: RunRecorder, trainer: Any, task: Any, *rest: Any) -> None:
        plain(self, trainer, task, *rest)
        passed.append({name: value.detach().clone() for name, value in task.net.named_parameters()})

    monkeypatch.setattr(RunRecorder, "on_train_batch_end", noting)
    run = fc.train(dataset, quiet=True, **quick)
    kept = torch.load(run.directory / "checkpoints" / "last.ckpt", weights_only=True)
    for name, first in passed[0].items():
        average = first
        for weights in passed[1:]:
            average = average + 0.5 * (weights[name] - average)
        torch.testing.assert_close(kept["state_dict"][f"net.{name}"], average)
        torch.testing.assert_close(kept["current_model_state"][f"net.{name}"], passed[-1][name])
    best = max(float(row["mean_iou"]) for row in read_rows(run.directory / "metrics.csv") if row["split"] == "val")
    assert fc.evaluate(run.model, dataset.val).mean_iou == pytest.approx(best, abs=2e-3)


def test_every_epoch_has_its_own_order_and_views(
    dataset: Dataset, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, list[tuple[list[int], float]]] = {}
    plain = SegmentationTask.training_step

    def noting(self: SegmentationTask, batch: Batch, index: int) -> torch.Tensor:
        entry = (batch.indices.tolist(), float(batch.images.double().mean()))
        seen.setdefault(self.current_epoch, []).append(entry)
        return plain(self, batch, index)

    monkeypatch.setattr(SegmentationTask, "training_step", noting)
    fc.train(dataset, quiet=True, **quick)
    orders = [[index for indices, _ in batches for index in indices] for batches in seen.values()]
    brightness = [sorted(mean for _, mean in batches) for batches in seen.values()]
    assert len(seen) == 3
    assert orders[0] != orders[1] != orders[2]
    assert brightness[0] != brightness[1] != brightness[2]


def test_the_last_epoch_is_always_validated(dataset: Dataset, quick: dict[str, Any]) -> None:
    run = fc.train(dataset, quiet=True, **quick | {"epochs": 5, "validate_every": 2})
    rows = read_rows(run.directory / "metrics.csv")
    assert [row["epoch"] for row in rows if row["split"] == "val"] == ["2", "4", "5"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_process_leaves_a_run_that_goes_on(
    scenes: Path, quick: dict[str, Any], workspace_home: Path, how: signal.Signals
) -> None:
    settings = [f"--set={key}={value}" for key, value in (quick | {"epochs": 20}).items()]
    command = [sys.executable, "-m", "fullconv", "train", str(scenes), *settings]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 120
    while not list(workspace_home.glob("runs/*/checkpoints/last.ckpt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    run = only_run(workspace_home)
    assert b"Traceback" not in errors
    status = read_status(run)
    if how != signal.SIGKILL:
        assert process.returncode == 128 + how
        assert b"--resume" in errors
        assert status.state == "aborted"
    if how == signal.SIGTERM:
        again = f"continue with `fullconv train --resume {run.name}`"
        assert status.error == f"the system told it to end (SIGTERM); {again}."
    assert not status.alive
    resumed = fc.resume(run.name, quiet=True)
    ended = read_status(run)
    assert (ended.state, ended.error) == ("done", None)
    last = "killed" if how == signal.SIGKILL else "aborted"
    assert [change.state for change in ended.history] == ["queued", "running", last, "running", "done"]
    assert [change.when for change in ended.history] == sorted(change.when for change in ended.history)
    epochs = [int(row["epoch"]) for row in read_rows(run / "metrics.csv") if row["split"] == "val"]
    assert epochs == sorted(set(epochs))
    assert resumed.experiment.epochs == 20


def test_a_loss_that_is_no_number_fails_with_the_cause(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path
) -> None:
    with pytest.raises(PlanError, match=r"the loss became .* lower the learning rate"):
        fc.train(dataset, quiet=True, **quick | {"epochs": 30, "optimization": {"learning_rate": 1e30}})
    status = read_status(only_run(workspace_home))
    assert status.state == "failed"
    assert status.error is not None
    assert "lower the learning rate" in status.error


def test_a_full_disk_ends_a_run_with_one_sentence(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lightning.pytorch.Trainer.save_checkpoint", full)
    with pytest.raises(StorageError, match="no space left on the disk; free some and continue with"):
        fc.train(dataset, quiet=True, **quick)
    assert read_status(only_run(workspace_home)).state == "failed"


@pytest.mark.parametrize(
    ("setting", "error", "word"),
    [
        ({"network": "fcn8s-nothing"}, NetworkError, "choose one of"),
        ({"weights": "missing.safetensors"}, NetworkError, "no such weight file"),
        ({"speed": 3}, PlanError, "speed"),
        ({"epochs": -1}, PlanError, "epochs"),
    ],
)
def test_a_mistake_leaves_no_run(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path, setting: Any, error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        fc.train(dataset, quiet=True, **quick | setting)
    assert not list(workspace_home.glob("runs/*"))


def test_a_run_that_goes_on_is_not_resumed_twice(dataset: Dataset, quick: dict[str, Any]) -> None:
    run = fc.train(dataset, quiet=True, **quick)
    write_status(run.directory, Status.now("running"))
    with pytest.raises(StorageError, match="still going on"):
        fc.resume(run.directory)
    gone = Status.now("running").model_copy(update={"identity": "another"})
    write_status(run.directory, gone)
    assert not read_status(run.directory).alive  # another process that once had this number
    with pytest.raises(StorageError, match="no such run"):
        fc.resume("nothing-there")


def test_a_dataset_that_changed_stops_a_resumed_run(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path
) -> None:
    run = fc.train(dataset, quiet=True, **quick)
    path = workspace_home / "datasets" / "streets" / "dataset.yaml"
    content = yaml.safe_load(path.read_text())
    content["edits"] = {"rename": {"car": "auto"}}
    path.write_text(yaml.safe_dump(content))
    assert "auto" in Dataset.load("streets").classes.names
    with pytest.raises(PlanError, match="the dataset has changed since the run began"):
        fc.resume(run.directory, quiet=True)


def test_a_moved_run_goes_on_and_remembers_its_best(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped_in_epoch_three(monkeypatch), pytest.raises(StopRequested):
        fc.train(dataset, quiet=True, **quick)
    moved = only_run(workspace_home).rename(workspace_home / "runs" / "moved")
    run = fc.resume("moved", quiet=True)
    best = torch.load(moved / "checkpoints" / "best.ckpt", weights_only=True)
    scores = [float(row["mean_iou"]) for row in read_rows(moved / "metrics.csv") if row["split"] == "val"]
    assert best["epoch"] == scores.index(max(scores))
    assert run.directory == moved


def test_settings_lie_over_a_plan_section_by_section(dataset: Dataset, quick: dict[str, Any], tmp_path: Path) -> None:
    stored_dataset(dataset, Workspace.find())
    plan = tmp_path / "plan.yaml"
    plan.write_text("dataset: streets\noptimization: {weight_decay: 0.3, warmup: 0.5}\n")
    run = fc.train(plan, quiet=True, settings=quick | {"epochs": 1, "optimization": {"learning_rate": 0.007}})
    chosen = run.experiment.optimization
    assert (chosen.weight_decay, chosen.warmup, chosen.learning_rate) == (0.3, 0.5, 0.007)


def test_no_dataset_of_that_name_is_one_sentence() -> None:
    with pytest.raises(DataError, match="no such dataset"):
        fc.train("nothing-there")


def test_a_dataset_changed_under_the_same_name_gets_its_own_copy(dataset: Dataset, scenes: Path) -> None:
    home = Workspace.find()
    assert stored_dataset(dataset, home) == "streets"
    assert stored_dataset(dataset, home) == "streets"
    fewer = Dataset.from_folders(scenes, name="streets", drop=["sign"])
    assert stored_dataset(fewer, home) == "streets-2"
