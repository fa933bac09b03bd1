"""A run that is killed in the midst of a step, of a checkpoint and of a validation ends as one that was left alone."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training.status import read_status
from fullconv.workspace import Workspace

NAME = "killed"
DRAWING = """
import torch
from torch import nn
from torchvision.ops import StochasticDepth

class Drawing(nn.Module):
    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3))
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.drop = StochasticDepth(0.5, "row")
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.body(images)
        return self.head(maps + self.drop(self.branch(maps)))

def build(classes: int, channels: int) -> nn.Module:
    return Drawing(classes, channels)
"""
UNTIMED = ("seconds", "images_per_second", "loader_wait")
DIES = """
import os, signal, sys
from pathlib import Path
import torch
from fullconv.training import fit, recording, task
from fullconv.workspace import Workspace

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def dying(plain, now):
    def method(self, *arguments, **named):
        if now(self, *arguments):
            die()
        return plain(self, *arguments, **named)
    return method

plain_save = torch.save

def half_saved(content, stream, *rest, **named):
    if stream.name.endswith(".last.ckpt.partial"):
        stream.write(b"half of it")
        stream.flush()
        die()
    plain_save(content, stream, *rest, **named)

moment, plan, name = sys.argv[1:]
torch.set_num_threads(1)
if moment == "step":
    step = task.SegmentationTask.training_step
    task.SegmentationTask.training_step = dying(step, lambda task, *rest: task.global_step == 4)
elif moment == "checkpoint":
    torch.save = half_saved
elif moment == "validation":
    validated = recording.RunRecorder.on_validation_batch_end
    in_third = dying(validated, lambda recorder, trainer, *rest: trainer.current_epoch == 2)
    recording.RunRecorder.on_validation_batch_end = in_third
home = Workspace.find()
if home.run(name).exists():
    fit.resume(name, workspace=home, quiet=True)
else:
    fit.train_as(name, Path(plan), {}, workspace=home, quiet=True)
"""
"""Begins the run or goes on with it, and is killed at the given moment."""


def killed_during(moment: str, plan: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIES, moment, str(plan), NAME],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def weights_of(run: Path, checkpoint: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / checkpoint, weights_only=True)["state_dict"]
    return state


def untimed_rows(run: Path) -> list[dict[str, str]]:
    return [{key: value for key, value in row.items() if key not in UNTIMED} for row in read_rows(run / "metrics.csv")]


def test_three_kills_change_nothing(dataset: Dataset, quick: dict[str, Any], tmp_path: Path) -> None:
    """With a network that draws at random in every step."""
    (tmp_path / "drawing.py").write_text(DRAWING)
    network = {"network": f"{tmp_path / 'drawing.py'}:build", "weights": "auto"}
    settings = quick | network | {"epochs": 4, "optimization": {"ema": 0.9}}
    straight = fc.train(dataset, quiet=True, **settings).directory
    run = Workspace.find().run(NAME)
    for moment, epochs, left in (("step", 1, False), ("checkpoint", 1, True), ("validation", 2, False)):
        killed_during(moment, straight / "experiment.yaml")
        status = read_status(run)
        assert (status.state, status.alive) == ("running", False)
        last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
        assert last["epoch"] + 1 == epochs
        assert (run / "checkpoints" / ".last.ckpt.partial").exists() == left
    fc.resume(NAME, quiet=True)
    for checkpoint in ("last.ckpt", "best.ckpt"):
        expected, found = weights_of(straight, checkpoint), weights_of(run, checkpoint)
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert untimed_rows(run) == untimed_rows(straight)
    first, second = (json.loads((folder / "report" / "scores.json").read_text()) for folder in (straight, run))
    assert first["scores"] == second["scores"]


def test_the_benchmark_of_kills_watches_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks")
    benchmark = importlib.import_module("resume_kills")
    assert all(callable(getattr(owner, name)) for owner, name, *_ in benchmark.NOTED)
