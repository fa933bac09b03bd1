"""Several processes train as one does: same batches, same losses, same weights, same scores."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import DataError, FullconvError, PlanError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training.distribution.launching import failure, packed
from fullconv.training.distribution.processes import Processes, on_these
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.settings.experiment import Experiment
from fullconv.training.status import read_status
from fullconv.workspace import Workspace

TIMES = ("seconds", "images_per_second", "loader_wait")


@pytest.fixture
def steady(quick: dict[str, Any]) -> dict[str, Any]:
    """A run in which nothing depends on which images are together.

    Of two processes one has three views of a batch and the other two; one has all validation images and the other none.
    """
    frozen = {"batch_norm": "frozen", "optimizer": "sgd", "learning_rate": 0.05}
    return quick | {"network": "fcn32s-compact", "batch_size": 5, "crop": [96, 96], "epochs": 2, "optimization": frozen}


def checkpoint(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    return state


def same_rows(one: Path, other: Path, *, within: float) -> None:
    """Rows of metrics.csv, which has six digits: losses within a bound, all else but the times exactly."""
    for first, second in zip(read_rows(one / "metrics.csv"), read_rows(other / "metrics.csv"), strict=True):
        for column in first.keys() - {*TIMES}:
            if column == "loss":
                assert float(first[column]) == pytest.approx(float(second[column]), abs=within, rel=5e-6)
            else:
                assert first[column] == second[column], column


@pytest.mark.parametrize("terms", ["cross-entropy", "cross-entropy+lovasz"])
def test_two_processes_train_as_one(dataset: Dataset, steady: dict[str, Any], terms: str) -> None:
    steady["loss"] = terms
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


def test_torchrun_gives_the_same_where_the_loss_is_sampled_and_batches_are_accumulated(
    dataset: Dataset, steady: dict[str, Any], workspace_home: Path
) -> None:
    steady["optimization"] |= {"accumulate": 2}
    settings = steady | {"regime": {"kind": "loss-sampling", "keep": 0.5, "loss_at": "cells"}}
    one = fc.train(dataset, quiet=True, **settings)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    chosen = [f"--set={name}={json.dumps(value)}" for name, value in settings.items()]
    command = [*launcher, "-m", "fullconv", "train", "streets", "--json", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)  # by one process only
    two = Path(said["run"])
    assert sorted(path.name for path in Workspace(workspace_home).runs.iterdir()) == sorted(
        [one.directory.name, two.name]
    )
    for name, weights in checkpoint(one.directory).items():
        torch.testing.assert_close(checkpoint(two)[name], weights, atol=1e-5, rtol=1e-5)
    same_rows(one.directory, two, within=1e-5)
    assert said["scores"]["mean_iou"] == pytest.approx(one.scores.mean_iou)


def test_a_killed_worker_ends_all_with_one_sentence_and_the_run_goes_on(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path
) -> None:
    def kill_one() -> None:
        while not list(workspace_home.glob("runs/*/checkpoints/last.ckpt")) or not (training := workers()):
            time.sleep(0.05)
        training[-1].kill()

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    with pytest.raises(FullconvError, match=r"process \d of 2 was killed \(SIGKILL\); continue with .*--resume"):
        fc.train(dataset, quiet=True, **quick | {"epochs": 15, "network": "fcn32s-compact", "devices": 2})
    assert not workers()
    (run,) = Workspace(workspace_home).runs.iterdir()
    assert read_status(run).state == "failed"
    assert not (run / "model").exists()
    fc.resume(run, quiet=True)
    assert read_status(run).state == "done"
    epochs = [int(row["epoch"]) for row in read_rows(run / "metrics.csv") if row["split"] == "val"]
    assert epochs == sorted(set(epochs))
    assert epochs[-1] == 15


def test_ctrl_c_stops_all_processes(scenes: Path, quick: dict[str, Any], workspace_home: Path) -> None:
    settings = [f"--set={key}={value}" for key, value in (quick | {"epochs": 300, "network": "fcn32s-compact"}).items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "fullconv", "train", str(scenes), "--devices", "2", *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not list(workspace_home.glob("runs/*/checkpoints/last.ckpt")):
        assert process.poll() is None
        time.sleep(0.05)
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert b"--resume" in errors
    assert not psutil.wait_procs(started, timeout=10)[1]
    (run,) = Workspace(workspace_home).runs.iterdir()
    assert read_status(run).state == "aborted"


def workers() -> list[psutil.Process]:
    """Processes of this one that train; children of other tests may end, or have ended, while they are looked at."""
    training = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(child.cmdline()):
                training.append(child)
    return training


@dataclass
class Ended:
    """A process that has ended, as far as `failure` asks."""

    exitcode: int

    def join(self, timeout: float) -> None:
        pass


def saying(problem: BaseException | None) -> Any:
    receiving, sending = multiprocessing.Pipe(duplex=False)
    if problem is not None:
        sending.send_bytes(packed(problem))
    sending.close()
    return receiving


@pytest.mark.parametrize(
    ("codes", "said", "kind", "words"),
    [
        (
            (1, 1),
            (RuntimeError("peer is gone"), PlanError("too large", remedy="less")),
            PlanError,
            "^too large; less",
        ),
        ((1, 1), (PlanError("the loss"), DataError("a bad file")), DataError, "a bad file"),
        ((1, -9), (RuntimeError("peer is gone"), None), FullconvError, r"process 2 of 2 was killed \(SIGKILL\)"),
        ((1, 1), (RuntimeError("a defect"), None), RuntimeError, "a defect"),
        ((3, 1), (None, None), FullconvError, "process 1 of 2 ended with code 3"),
    ],
)
def test_what_ended_the_processes_is_told_by_the_one_that_knows(
    tmp_path: Path, codes: Any, said: Any, kind: type[Exception], words: str
) -> None:
    problem = failure(tmp_path, [Ended(code) for code in codes], [saying(one) for one in said])  # type: ignore[misc]
    assert type(problem) is kind
    assert re.search(words, str(problem))


def test_a_launcher_decides_how_many_there_are() -> None:
    eight = Processes(rank=5, count=8, local_rank=1, local_count=4)
    asked = Experiment(dataset="streets")
    assert (on_these(asked, eight).devices, on_these(asked, eight).nodes) == (4, 2)
    assert on_these(asked, Processes()) == asked
    with pytest.raises(PlanError, match="3 × 1 processes are asked for and 8 are there"):
        on_these(Experiment(dataset="streets", devices=3), eight)
    with pytest.raises(PlanError, match="torchrun --nnodes 2 --nproc-per-node 4"):
        on_these(Experiment(dataset="streets", devices=4, nodes=2), Processes())


def test_a_batch_has_a_view_for_every_process() -> None:
    data = TrainingSet(train=[(96, 96)] * 20, val=[(96, 96)])
    assert resolve(Experiment(dataset="streets", devices=3, batch_size=3, device="cpu"), data).devices == 3
    with pytest.raises(PlanError, match="a batch of 2 leaves some of 3 processes nothing to do"):
        resolve(Experiment(dataset="streets", devices=3, batch_size=2, device="cpu"), data)
