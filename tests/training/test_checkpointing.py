"""Checkpointing in plans, runs and forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fullconv.data.dataset import Dataset
from fullconv.errors import NetworkError, PlanError
from fullconv.files import read_document, validate_document, write_document
from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.fit import train
from fullconv.training.forecast.fallback import fallback_for
from fullconv.training.forecast.memory import MemoryForecast, _peak
from fullconv.training.forecast.single_step import SingleStep, blank_batch
from fullconv.training.forecast.storages import StorageLedger
from fullconv.training.settings.experiment import Experiment, Plan
from fullconv.training.settings.optimization import Optimization
from fullconv.workspace import Workspace

NAME, CLASSES, CROP = "fcn8s-squeezenet1_1", 5, (192, 256)
LARGE = (480, 640)


def plan_of(**settings: Any) -> Plan:
    plain: dict[str, Any] = {
        "dataset": "none",
        "crop": CROP,
        "batch_size": 8,
        "epochs": 1,
        "views": 1,
        "validate_every": 1,
        "precision": "fp32",
        "device": "cpu",
        "workers": 0,
        "optimization": Optimization.model_validate(settings.pop("optimization", {})).decided(),
    }
    return Plan.model_validate(plain | settings)


@pytest.fixture(scope="module")
def net() -> Any:
    return build_network(NAME, classes=CLASSES).to(memory_format=torch.channels_last)


def told_of(net: Any, plan: Plan, **facts: Any) -> MemoryForecast:
    return MemoryForecast(net, plan, ScoreGrid.of(net), channels=3, classes=CLASSES, **facts)


@pytest.fixture(scope="module")
def told(net: Any) -> MemoryForecast:
    return told_of(net, plan_of(crop=LARGE))


def lived_through(net: Any, plan: Plan) -> int:
    """Most bytes of tensors that live at one time in two real steps."""
    step = SingleStep(net, plan, ScoreGrid.of(net), channels=3, classes=CLASSES)
    ledger = StorageLedger()
    ledger.note([*net.parameters(), *net.buffers()])
    with ledger:
        for _ in range(2):
            step.train(blank_batch(2, CROP, channels=3))
    return _peak(ledger.events)


def test_a_step_takes_less_as_forecast() -> None:
    peaks = []
    for plan in (plan_of(), plan_of(checkpointing=True)):
        fresh = build_network(NAME, classes=CLASSES).to(memory_format=torch.channels_last)
        forecast = told_of(fresh, plan).of(2)
        parts = (forecast.parameters, forecast.gradients, forecast.optimizer, forecast.batch)
        found = lived_through(fresh, plan)
        assert sum(parts) + forecast.activations + forecast.moment == pytest.approx(found, rel=0.05)
        peaks.append(found - sum(parts))
    assert peaks[1] < 0.75 * peaks[0]


def test_a_forecast_leaves_the_network_as_it_is(net: Any) -> None:
    told_of(net, plan_of(checkpointing=True)).of(2)
    assert not net.checkpointing


@pytest.mark.parametrize("network", ["fcn32s-compact", "fcn2s-compact-features-late2"])
def test_a_run_ends_with_the_same_weights(
    dataset: Dataset, quick: dict[str, Any], tmp_path: Path, network: str
) -> None:
    home = Workspace(tmp_path)
    more = {"network": network, "epochs": 2, "optimization": {"ema": 0.9, "accumulate": 2}}
    plain, again = (
        train(dataset, workspace=home, quiet=True, settings=quick | more | {"checkpointing": wanted})
        for wanted in (False, True)
    )
    first, second = (load_file(run.directory / "model" / "model.safetensors") for run in (plain, again))
    assert list(first) == list(second)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert read_document(again.directory / "experiment.yaml", Plan, PlanError).checkpointing


def test_a_plan_keeps_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    write_document(path, plan_of(checkpointing=True))
    assert read_document(path, Plan, PlanError) == plan_of(checkpointing=True)
    settings = {"dataset": "none", "checkpointing": "sometimes"}
    with pytest.raises(PlanError, match="checkpointing"):
        validate_document(settings, Experiment, where="the experiment", error=PlanError)


def test_a_network_of_ones_own_is_refused_in_a_sentence(
    dataset: Dataset, quick: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "net.py"
    path.write_text("from torch import nn\ndef build(classes, channels): return nn.Conv2d(channels, classes, 1)\n")
    own = quick | {"network": str(path), "checkpointing": True}
    with pytest.raises(NetworkError, match=r"divided into stages.*leave checkpointing out"):
        train(dataset, workspace=Workspace(tmp_path), quiet=True, settings=own)
    assert not list((tmp_path / "runs").glob("*"))


def test_smaller_batches_come_first_and_checkpointing_is_stated_beside(told: MemoryForecast) -> None:
    found = fallback_for(told.plan, told, told.of(3).total, batch_norm=True)
    assert (found.batch_size, found.accumulate, found.checkpointing) == (3, 3, False)
    more = told.with_checkpointing().largest_batch(told.of(3).total, most=8)
    assert more > 3
    assert found.alternative is not None
    assert f"batches of {more} fit" in found.alternative
    assert "quarter longer" in found.alternative


def test_checkpointing_comes_where_no_batch_fits(told: MemoryForecast) -> None:
    lean = told.with_checkpointing()
    room = lean.of(2).total
    assert room < told.of(2).total
    found = fallback_for(told.plan, told, room, batch_norm=True)
    assert found.fits
    assert (found.batch_size, found.accumulate, found.checkpointing, found.crop) == (2, 4, True, LARGE)
    assert found.total == lean.of(2).total <= room
    assert f"take {found.total / 2**20:,.0f} MiB instead of {told.of(2).total / 2**20:,.0f}" in found.meaning
    assert "quarter longer" in found.meaning
    assert "gradients of 4 batches of 2" in found.meaning
    applied = found.applied(told.plan)
    assert applied.checkpointing
    assert told_of(told.net, applied).of(applied.batch_size).total == found.total


def test_views_are_cut_only_where_checkpointing_does_not_suffice(told: MemoryForecast) -> None:
    room = told.with_checkpointing().of(2).total - 1
    found = fallback_for(told.plan, told, room, batch_norm=True)
    assert found.fits
    assert found.checkpointing
    assert found.total <= room
    height, width = found.crop
    assert LARGE[0] > height > LARGE[0] // 2
    assert found.meaning.startswith(f"checkpointing, and views of {width}×{height} pixels")


def test_a_plan_with_checkpointing_is_not_offered_it(net: Any) -> None:
    told = told_of(net, plan_of(checkpointing=True, crop=LARGE))
    found = fallback_for(told.plan, told, told.of(3).total, batch_norm=False)
    assert (found.batch_size, found.accumulate, found.checkpointing, found.alternative) == (3, 3, True, None)
    assert found.applied(told.plan).checkpointing


def test_a_frozen_backbone_is_not_offered_it(net: Any) -> None:
    told = told_of(net, plan_of(optimization={"backbone": "frozen"}), pretrained=True)
    assert not told.gains_by_checkpointing
