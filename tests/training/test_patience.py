"""Training that ends before its time because nothing gets better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training import packing
from fullconv.training.status import read_status
from fullconv.training.stopping import StopRequested
from fullconv.workspace import Workspace


@pytest.fixture
def hopeless(quick: dict[str, Any]) -> dict[str, Any]:
    """A run that never gets better: what its rate moves is below what a float can hold."""
    return quick | {"epochs": 9, "patience": 2, "optimization": {"learning_rate": 1e-60, "optimizer": "sgd"}}


def validations(run: Path) -> list[int]:
    return [int(row["epoch"]) for row in read_rows(run / "metrics.csv") if row["split"] == "val"]


def test_a_run_out_of_patience_ends_early_and_well(
    dataset: Dataset, hopeless: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = fc.train(dataset, quiet=False, **hopeless)
    assert validations(run.directory) == [1, 2, 3]  # the first is the best, and two were no better
    status = read_status(run.directory)
    assert (status.state, status.progress, status.epoch, status.epochs) == ("done", 1.0, 3, 9)
    assert fc.evaluate(fc.load(run.directory / "model"), dataset.test).pixels == run.scores.pixels > 0
    assert "in 2 validations: training ends here" in capsys.readouterr().err


def test_a_run_that_had_ended_early_is_only_finished_when_resumed(
    dataset: Dataset, hopeless: dict[str, Any], workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(packing, "evaluate", _stopped)
        with pytest.raises(StopRequested):
            fc.train(dataset, quiet=True, **hopeless)
    (stopped,) = Workspace.find().runs.iterdir()
    assert read_status(stopped).state == "aborted"
    before = torch.load(stopped / "checkpoints" / "last.ckpt", weights_only=True)
    run = fc.resume(stopped, quiet=True)
    assert validations(stopped) == [1, 2, 3]
    assert read_status(stopped).state == "done"
    after = torch.load(stopped / "checkpoints" / "last.ckpt", weights_only=True)
    assert (after["epoch"], after["global_step"]) == (before["epoch"], before["global_step"])
    assert all(torch.equal(value, after["state_dict"][name]) for name, value in before["state_dict"].items())
    assert run.scores.pixels > 0


def _stopped(*arguments: Any, **options: Any) -> None:
    raise StopRequested


def test_patience_counts_on_where_a_run_was_stopped(
    dataset: Dataset, hopeless: dict[str, Any], workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fullconv.training.recording import RunRecorder

    plain = RunRecorder.on_train_batch_end

    def stop(self: RunRecorder, trainer: Any, *rest: Any) -> None:
        self.stop_requested = trainer.current_epoch == 2
        plain(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_train_batch_end", stop)
        with pytest.raises(StopRequested):
            fc.train(dataset, quiet=True, **hopeless)
    (stopped,) = Workspace.find().runs.iterdir()
    assert validations(stopped) == [1, 2]
    fc.resume(stopped, quiet=True)
    assert validations(stopped) == [1, 2, 3]
