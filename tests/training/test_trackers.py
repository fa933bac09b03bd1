"""Trackers are told what metrics.csv holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import PlanError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training import trackers
from fullconv.training.recording import RunRecorder, StopRequested
from fullconv.workspace import Workspace

Told = list[tuple[str, int, float]]


def told_to_tensorboard(run: Path) -> Told:
    """(name, step, value), read back by TensorBoard itself."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    names = events.Tags()["scalars"]
    return sorted((name, event.step, event.value) for name in names for event in events.Scalars(name))


def written(run: Path) -> Told:
    """The same of metrics.csv."""
    return sorted(
        (f"{row['split']}/{name}", int(row["step"]), float(value))
        for row in read_rows(run / "metrics.csv")
        for name, value in row.items()
        if value and name not in ("step", "epoch", "split")
    )


def test_tensorboard_is_told_what_metrics_holds_also_when_resumed(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    plain = RunRecorder.on_train_batch_end

    def stop(self: RunRecorder, trainer: Any, *rest: Any) -> None:
        plain(self, trainer, *rest)
        if trainer.current_epoch == 1 and trainer.global_step % 3 == 2:
            self.stop_requested = True
            raise StopRequested

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_train_batch_end", stop)
        with pytest.raises(StopRequested):
            fc.train(dataset, quiet=True, **quick, loggers=["tensorboard"])
    (run,) = Workspace.find().runs.iterdir()
    fc.resume(run, quiet=True)
    expected = written(run)
    assert {"train/loss", "train/learning_rate", "val/mean_iou", "val/iou_road"} <= {name for name, _, _ in expected}
    found = told_to_tensorboard(run)
    assert [entry[:2] for entry in found] == [entry[:2] for entry in expected]
    assert [entry[2] for entry in found] == pytest.approx([entry[2] for entry in expected], rel=1e-4)
    plan = yaml.safe_load((run / "tensorboard" / "hparams.yaml").read_text())
    assert plan["network"] == quick["network"]


def test_without_trackers_none_is_made(dataset: Dataset, quick: dict[str, Any]) -> None:
    run = fc.train(dataset, quiet=True, **quick | {"epochs": 1})
    assert not {"tensorboard", "wandb", "lightning_logs", "mlflow-run.txt"} & {p.name for p in run.directory.iterdir()}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_one_sentence(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda package: None)
    with pytest.raises(PlanError, match=f"{name} is not installed; install it with `pip install {name}`"):
        fc.train(dataset, quiet=True, **quick, loggers=[name])
    assert not list(workspace_home.glob("runs/*"))


def test_a_tracker_that_refuses_is_one_sentence(
    dataset: Dataset, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("no API key\nconfigured")

    monkeypatch.setattr(trackers, "find_spec", lambda package: package)
    monkeypatch.setattr(trackers, "WandbLogger", refusing)
    with pytest.raises(PlanError, match=r"wandb cannot be used \(no API key\); set it up as its own manual says"):
        fc.train(dataset, quiet=True, **quick, loggers=["wandb"])
