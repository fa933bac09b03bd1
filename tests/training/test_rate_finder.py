"""The sweep over learning rates: what it leaves alone, what it keeps in proportion, what it makes of a curve."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fullconv.data.dataset import Dataset
from fullconv.evaluation.figures import to_png
from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import ScoreGrid
from fullconv.networks.weights import TransferReport
from fullconv.training import rate_finder
from fullconv.training.display import TrainingDisplay
from fullconv.training.job import Job
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.rate_finder import find_learning_rate, sweep_figure, sweep_of
from fullconv.training.settings.experiment import Experiment
from fullconv.workspace import Workspace


@pytest.fixture
def job(dataset: Dataset, quick: dict[str, Any], tmp_path: Path) -> Job:
    torch.manual_seed(0)
    optimization = {"optimizer": "sgd", "learning_rate": 0.02, "bias_factor": 2.0}
    asked = Experiment(dataset="streets", **quick, optimization=optimization)
    net = build_network(asked.network, classes=len(dataset.classes))
    plan = resolve(asked, TrainingSet(dataset.train.sizes, dataset.val.sizes))
    folder = tmp_path / "run"
    folder.mkdir()
    report = TransferReport(source="test", copied=("features.0.weight",))
    return Job(folder, plan, dataset, net, ScoreGrid.of(net), report, Workspace.find(), TrainingDisplay(quiet=True))


def test_a_sweep_finds_a_rate_and_leaves_everything_as_it_was(job: Job) -> None:
    before, state = copy.deepcopy(job.net.state_dict()), torch.get_rng_state()
    sweep = find_learning_rate(job, steps=40, span=(1e-3, 1e4))
    assert all(torch.equal(value, before[name]) for name, value in job.net.state_dict().items())
    assert job.net.training
    assert all(parameter.grad is None for parameter in job.net.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert not list(job.directory.iterdir())
    count = len(sweep.rates)
    assert sweep.rates == pytest.approx([2e-5 * 1e7 ** (step / 39) for step in range(count)])
    assert len(sweep.losses) == len(sweep.smoothed) == count
    assert sweep.losses[0] == pytest.approx(math.log(12) + 11 / 12, rel=0.1)  # zero scores know nothing of 12 classes
    assert sweep.diverged is not None
    assert sweep.rates[0] < sweep.suggestion <= sweep.diverged / 10
    assert find_learning_rate(job, steps=40, span=(1e-3, 1e4)) == sweep
    assert to_png(sweep_figure(sweep)).startswith(b"\x89PNG")


def test_all_groups_keep_their_proportion_and_batches_are_gathered(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, float]] = []
    plain = rate_finder._Watch.on_train_batch_start

    def noting(self: Any, trainer: Any, *rest: Any) -> None:
        plain(self, trainer, *rest)
        groups = trainer.optimizers[0].param_groups
        seen.append({group["name"]: group["lr"] for group in groups} | {"said": self.rate})

    monkeypatch.setattr(rate_finder._Watch, "on_train_batch_start", noting)
    plan = job.plan.model_copy(update={"optimization": job.plan.optimization.model_copy(update={"accumulate": 2})})
    job = Job(job.directory, plan, job.data, job.net, job.grid, job.transfer, job.home, job.display)
    sweep = find_learning_rate(job, steps=12, span=(1e-2, 1))
    assert len(sweep.rates) == 12
    for rates in seen:
        assert rates["new weight"] == pytest.approx(rates["said"])
        assert rates["transferred weight"] == pytest.approx(rates["said"] / 10)
        assert rates["new bias"] == pytest.approx(rates["said"] * 2)
        assert rates["transferred bias"] == pytest.approx(rates["said"] / 5)
    assert len(seen) > len({rates["said"] for rates in seen}) == 12


def falling(rate: float, middle: float) -> float:
    """A loss that goes from 2 to 1 around a rate."""
    return 2 - 1 / (1 + middle / rate)


RATES = [10.0 ** (step / 12 - 6) for step in range(96)]


@pytest.mark.parametrize("middle", [1e-4, 1e-3, 1e-1])
def test_the_suggestion_is_where_the_loss_falls_fastest(middle: float) -> None:
    sweep = sweep_of(RATES, [falling(rate, middle) for rate in RATES])
    assert sweep.suggestion is not None
    assert middle / 2 < sweep.suggestion < 20 * middle  # smoothing lags behind by ten steps


def test_the_suggestion_stays_below_divergence() -> None:
    count = 60
    losses = [falling(rate, 1.0) for rate in RATES[:count]]
    sweep = sweep_of(RATES[:count], losses, diverged=RATES[count])
    assert sweep.suggestion == pytest.approx(min(RATES[count] / 10, RATES[count]), rel=0.05)


@pytest.mark.parametrize("losses", [[1.0 + 0.01 * step for step in range(50)], [1.0] * 50, [3.0, 2.0, 1.0]])
def test_where_the_loss_never_falls_nothing_is_suggested(losses: list[float]) -> None:
    assert sweep_of(RATES[: len(losses)], losses).suggestion is None
