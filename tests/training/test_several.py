"""Several processes on paper: shares, the exchange of gradients, and the time that follows, by hand."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from fullconv.data.dataset import Dataset
from fullconv.training.forecast.forecasting import REPORT_SECONDS, times_of
from fullconv.training.forecast.several import (
    INSIDE,
    LINKS,
    LOOPBACK,
    efficiencies,
    one_of,
    ring_seconds,
    several,
    together,
)
from fullconv.training.forecast.trial import Trial
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.settings.experiment import Experiment, Plan

SET = TrainingSet(train=[(72, 96)] * 20, val=[(72, 96)] * 5)
TRIAL = Trial(
    batch_size=3,
    idle=0,
    peak=0,
    workers=0,
    steps=4,
    step=0.5,
    between=0.1,
    validation=0.2,
    preparation=0.0,
    start=1.0,
)


def plan(**settings: Any) -> Plan:
    wanted = {"dataset": "streets", "device": "cpu", "batch_size": 5, "epochs": 2, "validate_every": 1}
    return resolve(Experiment.model_validate(wanted | settings), SET)


def test_a_ring_moves_the_gradients_nearly_twice_and_the_backward_pass_hides_two_thirds_of_a_step() -> None:
    assert ring_seconds(1e9, 2, LOOPBACK) == pytest.approx(2 * 0.5 + 2 * 1e-4)
    assert efficiencies(0.5, 0.1) == pytest.approx((0.5 / 0.6, 1.0))
    assert efficiencies(0.3, 0.5) == pytest.approx((0.3 / 0.8, 0.3 / 0.6))


def test_one_process_has_the_largest_share_and_many_make_the_whole() -> None:
    whole = plan(devices=2)
    one = one_of(whole)
    assert (one.batch_size, one.devices) == (3, 1)
    assert together(one, whole) == whole
    smaller = one.model_copy(update={"batch_size": 1, "crop": (64, 64)})
    assert (together(smaller, whole).batch_size, together(smaller, whole).crop) == (2, (64, 64))
    assert one_of(plan()) == plan() == together(plan(), plan())


@pytest.mark.parametrize(
    ("settings", "link", "machine"),
    [
        ({"devices": 2}, LOOPBACK, 2 * 110),
        ({"devices": 2, "nodes": 2}, LINKS[-1], 2 * 110),
        ({"devices": 2, "device": "cuda"}, INSIDE, None),
    ],
)
def test_the_link_and_the_memory_are_those_of_the_machine(settings: Any, link: Any, machine: int | None) -> None:
    wanted = plan().model_copy(update=settings)
    net = nn.Conv2d(10, 100, 10)
    frozen = nn.Conv2d(1, 1, 1).requires_grad_(False)
    found = several(wanted, nn.Sequential(net, frozen), total=100, loader=10, step=None)  # type: ignore[arg-type]
    assert found is not None
    assert (found.link, found.memory, found.machine) == (link.name, 110, machine)
    assert found.gradients == 4 * (10 * 100 * 100 + 100)
    assert found.exchange == ring_seconds(found.gradients, found.count, link)
    assert found.efficiency is None
    assert several(plan(), net, total=100, loader=10, step=1.0) is None  # type: ignore[arg-type]


def test_time_of_many_is_that_of_one_and_the_exchange(dataset: Dataset) -> None:
    net = nn.Conv2d(10, 100, 10)
    whole = plan(devices=2)
    group = several(whole, net, total=None, loader=0, step=TRIAL.step)  # type: ignore[arg-type]
    assert group is not None
    assert group.memory is group.machine is None
    times = times_of(TRIAL, whole, dataset, 4, group)
    assert times.step == pytest.approx(0.5 + group.exchange)
    assert times.epoch == pytest.approx(4 * (0.5 + group.exchange) + 0.1)
    assert times.validation == pytest.approx(-(-len(dataset.val) // 2) * 0.2)
    assert times.evaluation == pytest.approx(len(dataset.test) * 0.2 + REPORT_SECONDS)
    assert times_of(TRIAL, whole, dataset, 4).step == 0.5
