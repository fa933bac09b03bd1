"""Several processes train as one does: same batches, same losses, same weights, same scores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import FullconvError, PlanError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training.experiment import Experiment
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.processes import Processes, on_these
from fullconv.training.status import read_status
from fullconv.workspace import Workspace

TIMES = ("seconds", "images_per_second", "loader_wait")


@pytest.fixture
def steady(quick: dict[str, Any]) -> dict[str, Any]:
    """A run in which nothing depends on which images are together; a batch of 5 has uneven shares."""
    frozen = {"batch_norm": "frozen", "optimizer": "sgd", "learning_rate": 0.01}
    return quick | {"network": "fcn32s-compact", "batch_size": 5, "epochs": 2, "optimization": frozen}


def checkpoint(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    return state


def same_rows(one: Path, other: Path, *, within: float) -> None:
    """Rows of metrics.csv, times aside; scores of the validation images within 0."""
    for first, second in zip(read_rows(one / "metrics.csv"), read_rows(other / "metrics.csv"), strict=True):
        for column in first.keys() - {*TIMES}:
            if column == "loss":
                assert float(first[column]) == pytest.approx(float(second[column]), abs=within)
            else:
                assert first[column] == second[column], column


def test_two_processes_train_as_one(dataset: Dataset, steady: dict[str, Any]) -> None:
    one = fc.train(dataset, quiet=True, **steady)
    two = fc.train(dataset, quiet=True, **steady, devices=2)
    assert two.experiment.devices == 2
    expected, found = checkpoint(one.directory), checkpoint(two.directory)
    assert expected.keys() == found.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, atol=1e-5, rtol=1e-5)
    same_rows(one.directory, two.directory, within=1e-5)
    assert two.scores.confusion.tolist() == one.scores.confusion.tolist()
    status = read_status(two.directory)
    assert (status.state, status.process) == ("done", os.getpid())
