"""Options of `fullconv train` that have a name of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from commands import run
from fullconv.data.scenes import write_scenes

QUICK = [
    *("--net", "fcn8s-squeezenet1_1", "--weights", "random", "--epochs", "1", "--batch-size", "4", "--device", "cpu"),
    *("--set", "crop=[64, 64]", "--set", "workers=0", "--set", "views=1", "--set", "precision=fp32"),
]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("cli") / "streets", count=14, size=(96, 72), processes=1)


def test_every_option_is_in_the_plan(scenes: Path) -> None:
    options = [
        *("--regime", "loss-sampling", "--loss", "focal+dice", "--class-weights", "median-frequency"),
        *("--set", "loss.focal_gamma=1.5", "--set", "regime.keep=0.8", "--patience", "4", "--accumulate", "2"),
        *(
            "--optimizer",
            "nesterov",
            "--learning-rate",
            "0.02",
            "--policy",
            "poly",
            "--set",
            "optimization.policy.power=2",
        ),
        *("--momentum", "0.8", "--weight-decay", "0.001", "--clip", "5", "--ema", "0.9"),
    ]
    code, output, errors = run("train", scenes, *QUICK, *options, "--json")
    assert code == 0, errors
    plan = yaml.safe_load((Path(json.loads(output)["run"]) / "experiment.yaml").read_text())
    assert (plan["class_weights"], plan["patience"]) == ("median-frequency", 4)
    assert plan["regime"] == {"kind": "loss-sampling", "keep": 0.8, "how": "uniform", "loss_at": "pixels"}
    assert plan["loss"]["terms"] == {"focal": 1.0, "dice": 1.0}
    assert plan["loss"]["focal_gamma"] == 1.5
    steps = plan["optimization"]
    assert steps["policy"] == {"kind": "poly", "power": 2.0}
    found = [
        steps[name] for name in ("optimizer", "learning_rate", "momentum", "weight_decay", "accumulate", "clip", "ema")
    ]
    assert found == ["nesterov", 0.02, 0.8, 0.001, 2, 5.0, 0.9]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--loss", "ohem"], "say regime: {kind: loss-sampling, how: hardest}"),
        (["--loss", "hinge"], "not one of cross-entropy"),
        (["--optimizer", "lamb"], "optimization.optimizer"),
        (["--policy", "often"], "policy"),
        (["--momentum", "1.5"], "optimization.momentum"),
        (["--loss", "dice", "--set", "loss.terms=focal"], "is set twice"),
        (["--recipe", "heavy"], "recipe"),
        (
            ["--class-weights", "none", "--regime", "loss-sampling", "--set", "regime.how=class-balanced"],
            "class_weights",
        ),
    ],
)
def test_what_is_wrong_with_an_option_is_one_sentence(
    scenes: Path, options: list[str], sentence: str, workspace_home: Path
) -> None:
    code, _, errors = run("train", scenes, *QUICK, *options)
    assert code == 2
    assert sentence in errors
    assert "Traceback" not in errors
    assert not list(workspace_home.glob("runs/*"))
