"""`fullconv plan` as a user types it: which batch fits, how long it takes, what it can reach."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

import fullconv as fc
from commands import run
from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.training import rate_finder
from fullconv.training.forecast import forecasting, shortage
from fullconv.training.forecast.trial import OutOfMemory, Trial, try_out
from fullconv.training.job import Job
from fullconv.training.rate_finder import RateSweep
from fullconv.training.settings.experiment import Plan

NET = ("--net", "fcn8s-squeezenet1_1", "--weights", "random", "--device", "cpu")
QUICK = (*NET, "--set", "crop=[64, 64]", "--set", "workers=0", "--set", "views=1", "--set", "precision=fp32")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("plan") / "streets", count=16, size=(96, 72), processes=1)


def test_which_batch_is_answered_in_one_command(scenes: Path, workspace_home: Path) -> None:
    code, output, _ = run("plan", scenes, *QUICK, "--epochs", "4", "--json")
    assert code == 0
    found = json.loads(output)
    rows = {row["batch_size"]: row["total"] for row in found["memory"]["batches"]}
    assert list(rows) == sorted(rows)
    assert list(rows.values()) == sorted(rows.values())
    assert found["memory"]["largest_batch"] == found["images"]["train"]
    assert found["memory"]["checked"]
    assert 0 < found["memory"]["peak"] < 2**30
    assert found["fits"]
    assert found["steps_per_epoch"] == -(-found["images"]["train"] // found["plan"]["batch_size"])
    times = found["times"]
    assert times["run"] >= 4 * times["epoch"] > 0
    data = Dataset.from_folders(scenes)
    assert found["ceiling"] == data.statistics.stride_ceiling[8]
    assert data.statistics.commonest is not None
    assert found["commonest"]["pixel_accuracy"] == data.statistics.commonest.pixel_accuracy
    assert sum(found["classes"].values()) == pytest.approx(1)
    assert not workspace_home.exists()


def test_a_machine_with_less_memory_gets_another_plan_that_trains(scenes: Path, tmp_path: Path) -> None:
    words = (*QUICK, "--epochs", "1", "--batch-size", "8", "--no-trial", "--json")
    _, output, _ = run("plan", scenes, *words)
    rows = {row["batch_size"]: row["total"] for row in json.loads(output)["memory"]["batches"]}
    gib = (rows[2] + rows[4]) / 2 / 0.9 / 2**30
    out = tmp_path / "experiment.yaml"
    code, output, _ = run("plan", scenes, *words, "--memory", gib, "--out", out)
    assert code == 0
    found = json.loads(output)
    assert not found["fits"]
    assert 2 <= found["memory"]["largest_batch"] < 4
    written = yaml.safe_load(out.read_text())
    assert written["batch_size"] * written["optimization"]["accumulate"] in (8, 9)
    assert written["batch_size"] == found["fallback"]["batch_size"]
    trained = fc.train(out, quiet=True)
    assert trained.experiment.batch_size == written["batch_size"]


def test_what_cannot_fit_is_said_in_words(scenes: Path) -> None:
    code, output, _ = run("plan", scenes, *QUICK, "--no-trial", "--memory", "0.001")
    assert code == 2
    assert "No batch fits" in output
    assert "smaller network" in " ".join(output.split())


def test_people_read_tables_and_a_curve(scenes: Path, tmp_path: Path, workspace_home: Path) -> None:
    curve = tmp_path / "rate.svg"
    code, output, _ = run("plan", scenes, *QUICK, "--epochs", "2", "--no-trial", "--curve", curve)
    assert code == 0
    for word in ("batch", "activations", "Largest batch that fits", "To beat", "Ceiling", "Learning rate", "●"):
        assert word in output
    assert "<svg" in curve.read_text()
    assert not workspace_home.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to plan for"),
        (("nowhere",), "nowhere"),
        (("SCENES", "--memory", "-1"), "--memory"),
        (("SCENES", "--memory", "nan"), "--memory"),
        (("SCENES", "--curve", "rate.txt"), "no kind of picture"),
        (("SCENES", "--out", "plan.txt"), "--out"),
        (("SCENES", "--set", "batch_size=0"), "batch_size"),
        (("SCENES", "--net", "fcn8s-nothing"), "nothing"),
    ],
)
def test_a_mistake_is_one_sentence(scenes: Path, words: tuple[str, ...], said: str) -> None:
    code, _, error = run("plan", *(str(scenes) if word == "SCENES" else word for word in words), "--no-trial")
    assert code == 2
    assert said in error
    assert "Traceback" not in error


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Job, RateSweep]]:
    """What is swept: the job, and what came of it."""
    done: list[tuple[Job, RateSweep]] = []
    find = rate_finder.find_learning_rate

    def noted(job: Job) -> RateSweep:
        done.append((job, find(job, steps=40)))
        return done[-1][1]

    monkeypatch.setattr(rate_finder, "find_learning_rate", noted)
    return done


def test_a_learning_rate_is_found(scenes: Path, workspace_home: Path, sweeps: list[tuple[Job, RateSweep]]) -> None:
    words = ("plan", scenes, *QUICK, "--no-trial", "--find-rate", "--batch-size", "4", "--learning-rate", "0.003")
    code, output, _ = run(*words, "--json")
    assert code == 0
    [(job, sweep)] = sweeps
    assert sweep.rates[0] == pytest.approx(0.003 * 1e-4)
    assert min(sweep.smoothed) < 0.95 * sweep.smoothed[0]
    assert sweep.suggestion is not None
    assert sweep.rates[0] < sweep.suggestion < sweep.rates[-1]
    assert json.loads(output)["rate"] == sweep.suggestion
    assert json.loads(output)["recommended"] == job.plan.model_dump(mode="json")
    _, output, _ = run(*words)
    assert f"found by a sweep: {sweep.suggestion:g}; take it with --learning-rate" in " ".join(output.split())
    assert not workspace_home.exists()


def test_a_learning_rate_is_found_for_what_fits(scenes: Path, sweeps: list[tuple[Job, RateSweep]]) -> None:
    words = ("plan", scenes, *QUICK, "--no-trial", "--batch-size", "8", "--json")
    rows = {row["batch_size"]: row["total"] for row in json.loads(run(*words)[1])["memory"]["batches"]}
    fitting = (rows[2] + rows[4]) / 2 / 0.9 / 2**30
    code, output, _ = run(*words, "--find-rate", "--memory", fitting)
    assert code == 0
    [(job, _)] = sweeps
    assert job.plan.batch_size == json.loads(output)["fallback"]["batch_size"] < 8
    assert job.plan.optimization.accumulate > 1
    code, output, _ = run(*words, "--find-rate", "--memory", "0.001")
    assert (code, json.loads(output)["rate"], len(sweeps)) == (2, None, 1)


def test_a_fall_back_that_took_more_than_forecast_is_made_smaller(
    scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("plan", scenes, *QUICK, "--batch-size", "16", "--json")
    rows = {row["batch_size"]: row["total"] for row in json.loads(run(*words, "--no-trial")[1])["memory"]["batches"]}
    asked: list[int] = []

    def more_than_forecast(plan: Plan, data: Dataset, **rest: object) -> Trial:
        asked.append(plan.batch_size)
        peak = int(rows[8] * (1.4 if plan.batch_size >= 8 else 0.5))
        return Trial(plan.batch_size, 0, peak, 0, 3, 0.1, 0.1, 0.1, 0.1, 1.0)

    monkeypatch.setattr(forecasting, "try_out", more_than_forecast)
    code, output, _ = run(*words, "--memory", rows[8] * 1.05 / 0.9 / 2**30)
    found = json.loads(output)
    assert code == 0
    assert asked[1] < asked[0] < 16
    assert found["recommended"]["batch_size"] == found["fallback"]["batch_size"] == asked[1]


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C reaches a whole group of processes there")
def test_ctrl_c_ends_a_trial_without_a_word(scenes: Path) -> None:
    command = [sys.executable, "-m", "fullconv", "plan", str(scenes), *QUICK]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True) as process:
        told = psutil.Process(process.pid)
        trial: list[psutil.Process] = []
        while not trial and process.poll() is None:
            trial = [child for child in told.children() if "spawn_main" in " ".join(child.cmdline())]
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert not psutil.wait_procs(trial, timeout=5)[1]


def test_help_speaks_of_no_type() -> None:
    for command in ("plan", "train"):
        assert "<class" not in run(command, "--help")[1]


def test_training_warns_of_a_batch_that_will_not_fit(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortage, "free_memory", lambda device: 20 * 2**20)
    code, _, error = run("train", scenes, *QUICK, "--epochs", "1", "--batch-size", "4")
    assert code == 0
    assert "will take about" in error
    assert "fullconv plan" in error


def test_steps_that_the_system_ends_are_no_end_of_ours(scenes: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal, torch\nfrom torch import nn\n"
        "class Net(nn.Conv2d):\n"
        "    def forward(self, images):\n"
        "        if images.shape[0] == 5 and images.shape[-1] == 64:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().forward(images)\n"
        "def build(classes, channels):\n"
        "    return Net(channels, classes, 1)\n"
    )
    (tmp_path / "net.py").write_text(code)
    data = Dataset.from_folders(scenes)
    settings = {"crop": (64, 64), "workers": 0, "device": "cpu", "trial": False}
    found = fc.forecast(data, f"{tmp_path / 'net.py'}:build", batch_size=2, **settings)
    with pytest.raises(OutOfMemory):
        try_out(found.plan.model_copy(update={"batch_size": 5}), data, short=True)
