"""The memory of a training step, told from shapes alone, against real steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fullconv.errors import NetworkError
from fullconv.networks.catalogue import build_network
from fullconv.networks.own_file import own_network
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.depthwise import strided_depthwise_in_float32
from fullconv.training.forecast import memory, room
from fullconv.training.forecast.fallback import fallback_for
from fullconv.training.forecast.heap import Heap, held_at_most
from fullconv.training.forecast.memory import MemoryForecast
from fullconv.training.forecast.single_step import SingleStep, blank_batch
from fullconv.training.settings.experiment import Plan
from fullconv.training.settings.optimization import Optimization

NAME, CLASSES, CROP = "fcn8s-squeezenet1_1", 5, (64, 96)


def plan_of(**settings: Any) -> Plan:
    optimization = Optimization.model_validate(settings.pop("optimization", {})).decided()
    plain: dict[str, Any] = {
        "dataset": "none",
        "crop": CROP,
        "batch_size": 4,
        "epochs": 1,
        "views": 1,
        "validate_every": 1,
        "precision": "fp32",
        "device": "cpu",
        "workers": 0,
        "optimization": optimization,
    }
    return Plan.model_validate(plain | settings)


def told_of(plan: Plan, net: Any = None) -> MemoryForecast:
    net = build_network(NAME, classes=CLASSES) if net is None else net
    return MemoryForecast(net, plan, ScoreGrid.of(net), channels=3, classes=CLASSES)


def bytes_of(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop"])
def test_weights_gradients_and_state_are_those_of_a_real_step(optimizer: str) -> None:
    plan = plan_of(optimization={"optimizer": optimizer})
    net = build_network(NAME, classes=CLASSES)
    found = told_of(plan, net).of(2)
    step = SingleStep(net, plan, ScoreGrid.of(net), channels=3, classes=CLASSES)
    step.train(blank_batch(2, CROP, channels=3))
    assert found.parameters == bytes_of((*net.parameters(), *net.buffers()))
    assert found.gradients == bytes_of(parameter.grad for parameter in net.parameters())
    state = [value for each in step.optimizer.state.values() for value in each.values() if torch.is_tensor(value)]
    assert found.optimizer == pytest.approx(bytes_of(state), rel=1e-3)


@pytest.mark.parametrize(("name", "precision"), [(NAME, "fp32"), (NAME, "bf16"), ("fcn32s-compact", "bf16")])
def test_activations_are_what_autograd_saves(name: str, precision: str) -> None:
    plan = plan_of(precision=precision)
    net = build_network(name, classes=CLASSES).to(memory_format=torch.channels_last)
    found = told_of(plan, net).of(3)
    step = SingleStep(net, plan, ScoreGrid.of(net), channels=3, classes=CLASSES)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*net.parameters(), *net.buffers())}
    saved: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    batch = blank_batch(3, CROP, channels=3)
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        strided_depthwise_in_float32(net, wanted=precision == "bf16"),
    ):
        loss = step.forward(batch)
    expected = sum(storage.nbytes() for place, storage in saved.items() if place not in own)
    assert loss.requires_grad
    assert found.activations == pytest.approx(expected, rel=0.05)


def test_two_batch_sizes_tell_all(monkeypatch: pytest.MonkeyPatch) -> None:
    net = build_network(NAME, classes=CLASSES)
    from_few = told_of(plan_of(), net).of(6)
    monkeypatch.setattr(memory, "TRACED_BATCHES", (6, 7))
    assert told_of(plan_of(), net).of(6) == from_few


def test_the_network_stays_as_it_is() -> None:
    net = build_network(NAME, classes=CLASSES)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    told_of(plan_of(precision="bf16"), net).of(2)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(type(parameter) is nn.Parameter for parameter in net.parameters())


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": {"terms": "dice+lovasz"}},
        {"regime": {"kind": "loss-sampling", "how": "hardest"}},
        {"regime": {"kind": "loss-sampling", "how": "uniform", "loss_at": "cells"}},
        {"regime": {"kind": "patchwise", "size": CROP, "loss_at": "center"}},
        {"optimization": {"clip": 1.0, "ema": 0.9}},
    ],
)
def test_every_loss_and_regime_can_be_followed(settings: dict[str, Any]) -> None:
    found = told_of(plan_of(**settings)).of(4)
    assert found.training > found.parameters + found.gradients + found.optimizer + found.activations > 0


def test_a_frozen_backbone_takes_less() -> None:
    net = build_network(NAME, classes=CLASSES)
    facts: dict[str, Any] = {"channels": 3, "classes": CLASSES, "pretrained": True}
    free, frozen = (
        MemoryForecast(net, plan_of(optimization={"backbone": how}), ScoreGrid.of(net), **facts).of(4)
        for how in ("free", "frozen")
    )
    assert frozen.gradients < free.gradients / 10
    assert frozen.activations < free.activations / 2


def test_the_largest_batch_is_the_largest() -> None:
    told = told_of(plan_of())
    enough = told.of(7).total
    assert told.largest_batch(enough) == 7
    assert told.largest_batch(enough - 1) == 6
    assert told.largest_batch(told.of(1).total - 1) == 0
    assert told.largest_batch(2**50, most=20) == 20


def test_a_network_that_depends_on_values_is_named(tmp_path: Path) -> None:
    code = (
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Conv2d(3, 5, 1)\n"
        "    def forward(self, images):\n"
        "        scores = self.layer(images)\n"
        "        return scores + torch.nonzero(scores > 0).float().mean()\n"
        "def build(classes, channels):\n"
        "    return Net()\n"
    )
    (tmp_path / "net.py").write_text(code)
    net = own_network(f"{tmp_path / 'net.py'}:build", classes=CLASSES, channels=3)
    grid = ScoreGrid.of(build_network(NAME, classes=CLASSES))
    with pytest.raises(NetworkError, match="by its shapes alone"):
        MemoryForecast(net, plan_of(), grid, channels=3, classes=CLASSES).of(2)


def test_what_does_not_fit_becomes_batches_that_do() -> None:
    told = told_of(plan_of(batch_size=16))
    found = fallback_for(told.plan, told, told.of(6).total, batch_norm=False)
    assert (found.batch_size, found.accumulate, found.crop, found.fits) == (6, 3, CROP, True)
    assert found.applied(told.plan).optimization.accumulate == 3


def test_what_not_even_one_view_of_fits_is_cut_smaller() -> None:
    told = told_of(plan_of(batch_size=2, crop=(128, 160)))
    room_for = told.with_crop((96, 128)).of(2).total
    found = fallback_for(told.plan, told, room_for, batch_norm=True)
    assert found.fits
    assert found.total <= room_for
    assert (found.batch_size, found.accumulate) == (2, 1)
    assert found.crop == (96, 128)
    small = told.with_crop(CROP)
    hopeless = fallback_for(small.plan, small, 1000, batch_norm=True)
    assert not hopeless.fits
    assert "smaller network" in hopeless.meaning


def test_a_heap_holds_at_least_what_lives() -> None:
    generator = torch.Generator().manual_seed(3)
    events: list[tuple[int, int]] = []
    alive: dict[int, int] = {}
    most = 0
    for number in range(400):
        size = int(2 ** (8 + 18 * torch.rand((), generator=generator).item()))
        events.append((number, size))
        alive[number] = size
        most = max(most, sum(alive.values()))
        if len(alive) > 20:
            gone = list(alive)[int(torch.randint(len(alive), (), generator=generator))]
            del alive[gone]
            events.append((gone, -1))
    heap, mapped = held_at_most(events)
    assert most <= heap + mapped <= 2 * most


def test_a_heap_gives_the_top_back() -> None:
    heap = Heap()
    heap.take("a", 100 * 2**20)
    heap.give_back("a")
    assert heap.held == 0
    for key in range(64):
        heap.take(key, 100_000)
    for key in range(64):
        heap.give_back(key)
    assert heap.held < 2**20


@pytest.mark.parametrize(("limit", "left"), [("max", room._UNLIMITED), ("1000000", 1_000_000 - 400_000 + 50_000)])
def test_a_container_may_leave_less_than_the_machine(tmp_path: Path, limit: str, left: int) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("400000\n")
    (tmp_path / "memory.stat").write_text("anon 350000\ninactive_file 50000\n")
    assert room._left_in_container(tmp_path) == left
