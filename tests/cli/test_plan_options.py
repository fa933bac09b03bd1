"""What `fullconv plan` and `fullconv train` share: the options of a plan, and that a slip is told first."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import typer

from commands import run
from fullconv.cli.main import app
from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes

NET = ("--net", "fcn32s-compact", "--weights", "random", "--device", "cpu", "--no-trial", "--json")
QUICK = (*NET, "--set", "crop=[64, 64]", "--set", "workers=0", "--set", "views=1", "--set", "precision=fp32")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("options") / "streets", count=16, size=(96, 72), processes=1)


def options_of(name: str) -> dict[str, str | None]:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    return {one.name: getattr(one, "help", None) for one in command.params}


def test_plan_and_train_take_the_same_options_of_a_plan() -> None:
    plan, train = options_of("plan"), options_of("train")
    assert plan.keys() - train.keys() == {"memory", "trial", "curve", "find_rate", "out"}
    assert train.keys() - plan.keys() == {"cluster", "resume"}
    assert {"class_weights", "patience", "momentum", "weight_decay", "clip", "folds", "devices"} <= plan.keys()
    assert all(plan[name] == train[name] for name in plan.keys() & train.keys())


def test_every_shared_option_reaches_the_plan(scenes: Path) -> None:
    steps = ("--momentum", "0.8", "--weight-decay", "0.001", "--clip", "5", "--patience", "4", "--seed", "3")
    code, output, errors = run("plan", scenes, *QUICK, *steps, "--class-weights", "none", "--group", "some")
    assert code == 0, errors
    plan = json.loads(output)["plan"]
    assert [plan[name] for name in ("patience", "seed", "class_weights", "group")] == [4, 3, "none", "some"]
    assert [plan["optimization"][name] for name in ("momentum", "weight_decay", "clip")] == [0.8, 0.001, 5]


@pytest.mark.parametrize("command", ["plan", "train"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "optimization.lr=0.1"), "perhaps optimization.learning_rate is meant"),
        (("--set", "optimisation.momentum=0.1"), "perhaps optimization is meant"),
        (("--epochs", "0"), "epochs: 0 is too small; give 1 or more"),
        (("--loss", "hinge"), "'hinge' is not one of cross-entropy"),
        (("--set", "seed=[0,many]"), "seed: 'many' is not a whole number"),
        (("--net", "fcn8s-vgg61"), "no backbone is named 'vgg61'"),
        (("--net", "nowhere.py:build"), "nowhere.py"),
    ],
)
def test_a_slip_is_told_before_anything_is_read_or_written(
    scenes: Path,
    command: str,
    words: tuple[str, ...],
    said: str,
    workspace_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unread(*_: Any, **__: Any) -> Dataset:
        raise AssertionError("the folder was read")

    monkeypatch.setattr(Dataset, "from_folders", unread)
    code, output, errors = run(command, scenes, *words)
    assert code == 2
    assert said in errors
    assert not output
    assert errors.count("\n") == 1
    assert not workspace_home.exists()


def test_each_of_several_processes_has_its_share(scenes: Path) -> None:
    code, output, errors = run("plan", scenes, *QUICK, "--devices", "2", "--batch-size", "5")
    assert code == 0, errors
    found = json.loads(output)
    rows = {row["batch_size"]: row["total"] for row in found["memory"]["batches"]}
    group = found["processes"]
    assert (group["count"], group["devices"], group["views"]) == (2, 2, 3)
    assert group["memory"] == rows[3]
    assert group["machine"] == 2 * rows[3]
    assert found["recommended"] == found["plan"]
    assert (found["plan"]["batch_size"], found["plan"]["devices"]) == (5, 2)
    assert found["steps_per_epoch"] == math.ceil(found["images"]["train"] / 5)
    assert found["memory"]["largest_batch"] % 2 == 0
    # What fits one process does not fit two that share the memory.
    gib = 1.5 * rows[3] / 0.9 / 2**30
    short = json.loads(run("plan", scenes, *QUICK, "--devices", "2", "--batch-size", "5", "--memory", gib)[1])
    assert not short["fits"]
    assert json.loads(run("plan", scenes, *QUICK, "--batch-size", "3", "--memory", gib)[1])["fits"]
    plan = short["recommended"]
    assert plan["devices"] == 2
    assert plan["batch_size"] == 2 * short["fallback"]["batch_size"] < 5


def test_people_read_what_was_assumed(scenes: Path) -> None:
    words = [word for word in QUICK if word != "--json"]
    code, output, _ = run("plan", scenes, *words, "--devices", "2", "--batch-size", "5", "--epochs", "1")
    said = " ".join(output.split())
    assert code == 0
    for part in ("at most 3 views of the 5 of a batch", "1 epoch of", "in every process", "Each process takes about"):
        assert part in said
    assert "exchanges" in said
    assert "validated every epoch" in said


def test_of_several_runs_the_first_is_planned(scenes: Path, tmp_path: Path) -> None:
    lists = ("--set", "seed=[4, 5]", "--set", "optimization.momentum=[0.8, 0.9]")
    code, output, _ = run("plan", scenes, *QUICK, *lists)
    found = json.loads(output)
    assert (code, found["runs"], found["plan"]["seed"]) == (0, 4, 4)
    assert found["plan"]["optimization"]["momentum"] == 0.8
    code, _, errors = run("plan", scenes, *QUICK, "--folds", "3", "--out", tmp_path / "plan.yaml")
    assert code == 2
    assert "3 runs are no plan of one" in errors
