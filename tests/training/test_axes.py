"""Which lists of values make several runs, wherever in the settings they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

import fullconv as fc
from fullconv.cli.main import app
from fullconv.data.dataset import Dataset
from fullconv.errors import PlanError
from fullconv.training.axes import axes_of
from fullconv.training.sweep import runs_asked_for


@pytest.mark.parametrize(
    ("settings", "axes"),
    [
        (
            {"optimization": {"policy": {"kind": "step", "size": [25, 33]}, "momentum": 0.8}},
            {"optimization.policy.size": [25, 33]},
        ),
        (
            {"optimization": {"policy": {"kind": "step", "size": [25, 33], "gamma": [0.1, 0.5]}, "ema": [0.9]}},
            {
                "optimization.policy.size": [25, 33],
                "optimization.policy.gamma": [0.1, 0.5],
                "optimization.ema": [0.9],
            },
        ),
        (
            {"optimization": {"policy": {"kind": ["step", "exp"], "gamma": [0.1, 0.5]}}},
            {"optimization.policy.kind": ["step", "exp"], "optimization.policy.gamma": [0.1, 0.5]},
        ),
        ({"optimization": {"policy": {"kind": "multistep", "at": [50, 85]}}}, {}),
        (
            {"optimization": {"policy": {"kind": "multistep", "at": [[50, 85], [30, 60]]}}},
            {"optimization.policy.at": [[50, 85], [30, 60]]},
        ),
        ({"loss": {"terms": "focal", "boundary": {"width": [3, 5]}}}, {"loss.boundary.width": [3, 5]}),
        (
            {"loss": {"terms": {"dice": [0.5, 1], "cross-entropy": 1}}},
            {"loss.terms.dice": [0.5, 1]},
        ),
        ({"folds": 5, "fold": [1, 3]}, {"fold": [1, 3]}),
        ({"regime": "patchwise", "crop": [[16, 16], [24, 24]]}, {"crop": [[16, 16], [24, 24]]}),
        ({"batch_size": "many", "seed": [0, 1]}, {"seed": [0, 1]}),
    ],
)
def test_a_list_is_an_axis_beside_the_settings_that_it_depends_on(settings: Any, axes: Any) -> None:
    assert axes_of(settings) == axes


def test_a_value_two_sections_down_makes_a_run_each(dataset: Dataset, quick: dict[str, Any]) -> None:
    dataset.save()
    chosen = [f"--set={name}={json.dumps(value)}" for name, value in (quick | {"epochs": 1}).items()]
    policy = ["--policy", "step", "--set", "optimization.policy.size=[25,33]"]
    done = CliRunner().invoke(app, ["train", "streets", "--json", *policy, *chosen])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert [run["settings"] for run in said["runs"]] == [{"optimization.policy.size": size} for size in (25.0, 33.0)]


def test_a_wrong_value_two_sections_down_is_the_one_that_is_named(dataset: Dataset) -> None:
    policy = {"kind": "step", "size": [25, 133]}
    with pytest.raises(PlanError, match=r"optimization\.policy.*size: 133 "):
        runs_asked_for("streets", {"optimization": {"policy": policy}})
    with pytest.raises(PlanError, match="nothing is given as a list"):
        fc.sweep(dataset, settings={"optimization": {"policy": policy | {"size": 25}}})
