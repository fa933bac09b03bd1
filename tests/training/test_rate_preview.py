"""The rate of a plan before it runs is the rate that its run has."""

from __future__ import annotations

from typing import Any

import pytest

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.evaluation.figures import to_png
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training.rate_preview import rate_curve, rate_figure, rate_text
from fullconv.training.settings.optimization import Optimization

POLICIES = ["fixed", "step", "multistep", "exp", "inv", "poly", "sigmoid", "cosine", "one-cycle"]


def test_a_run_has_the_rates_of_the_preview(dataset: Dataset, quick: dict[str, Any]) -> None:
    run = fc.train(dataset, quiet=True, **quick | {"optimization": {"policy": "poly", "warmup": 0.4}})
    rows = [row for row in read_rows(run.directory / "metrics.csv") if row["learning_rate"]]
    steps = max(int(row["step"]) for row in rows)
    curve = dict(rate_curve(run.experiment.optimization, steps))
    assert len(curve) == steps
    # A row is written after its step, when the rate is that of the next one.
    told = {int(row["step"]): float(row["learning_rate"]) for row in rows if int(row["step"]) < steps}
    assert len(told) >= 4
    assert {step: curve[step] for step in told} == pytest.approx(told, rel=1e-4)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("steps", [1, 2, 7, 3000])
def test_every_policy_can_be_drawn(policy: str, steps: int) -> None:
    curve = rate_curve(Optimization(policy=policy, learning_rate=1e-10), steps, points=100)
    assert len(curve) == min(100, steps)
    assert curve[0][0] == 0
    assert curve[-1][0] == steps - 1
    assert max(rate for _, rate in curve) <= 1e-10
    lines = rate_text(curve, width=40, height=8).splitlines()
    assert len(lines) == 10
    assert sum(line.count("●") for line in lines) == 40
    assert str(steps - 1) in lines[-1]
    assert to_png(rate_figure(curve)).startswith(b"\x89PNG")


def test_the_text_shows_the_shape() -> None:
    lines = rate_text(rate_curve(Optimization(policy="poly"), 100), width=30, height=6).splitlines()
    first = [line.index("●") for line in lines[:6]]
    assert first == sorted(first)
    assert first[-1] - first[0] > 20
    stairs = rate_text(rate_curve(Optimization(policy="step"), 100), width=30, height=6).splitlines()
    assert [line.count("●") for line in stairs[:6]] == [10, 0, 0, 0, 0, 20]
    assert all(line.count("│") == 1 for line in stairs[1:5])
