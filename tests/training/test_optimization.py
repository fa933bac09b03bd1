"""Optimisers, their groups, and what a step of them does."""

from __future__ import annotations

import copy
import warnings
from fractions import Fraction
from typing import Any

import lightning
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.utils.data import DataLoader

from fullconv.data.samples import Batch
from fullconv.geometry.fields import Field
from fullconv.networks.normalization import Normalization
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.objective import Objective
from fullconv.training.settings.loss_settings import Loss
from fullconv.training.settings.optimization import Optimization, make_optimizer, shown_rate
from fullconv.training.settings.regimes import WholeImage
from fullconv.training.task import SegmentationTask

CLASSES, IGNORE = 3, 255
ADAM = {"betas": (0.8, 0.999), "eps": 1e-8}
SETTINGS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adamw": (torch.optim.AdamW, ADAM),
    "adam": (torch.optim.Adam, ADAM),
    "sgd": (torch.optim.SGD, {"momentum": 0.8, "nesterov": False, "dampening": 0}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.8, "nesterov": True, "dampening": 0}),
    "adagrad": (torch.optim.Adagrad, {"lr_decay": 0}),
    "rmsprop": (torch.optim.RMSprop, {"momentum": 0.8, "alpha": 0.99}),
    "adadelta": (torch.optim.Adadelta, {"rho": 0.9}),
}


class Tiny(nn.Module):
    """A backbone with batch norm, and scores for every pixel."""

    def __init__(self, *, normed: bool = True) -> None:
        super().__init__()
        torch.manual_seed(2)
        norm = nn.BatchNorm2d(4) if normed else nn.Identity()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), norm, nn.ReLU())
        self.head = nn.Conv2d(4, CLASSES, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images))


def batches(count: int, images: int = 2) -> list[Batch]:
    generator = torch.Generator().manual_seed(3)
    made = []
    for number in range(count):
        pixels = torch.randint(256, (images, 3, 8, 8), dtype=torch.uint8, generator=generator)
        labels = torch.randint(CLASSES, (images, 8, 8), generator=generator)
        labels[:, :2] = IGNORE
        made.append(Batch(pixels, labels, None, torch.arange(images), torch.arange(images) + number))
    return made


def joined(several: list[Batch]) -> Batch:
    images, labels, _, indices, seeds = ([getattr(batch, field) for batch in several] for field in Batch._fields)
    return Batch(torch.cat(images), torch.cat(labels), None, torch.cat(indices), torch.cat(seeds))


def task_of(net: nn.Module, plan: Optimization, *, pretrained: bool = True, loss: Loss | None = None, steps: int = 9):
    pixels = Field(stride=Fraction(1), center=Fraction(0), lows=(0,), highs=(0,))
    grid = ScoreGrid(pixels, pixels, True, (1, 1))
    objective = Objective(loss or Loss(terms="cross-entropy"), WholeImage(), grid, classes=CLASSES, ignore=IGNORE)
    return SegmentationTask(
        net,
        Normalization.imagenet(),
        objective,
        classes=CLASSES,
        optimization=plan.decided(),
        steps=steps,
        pretrained=pretrained,
    )


def trained(net: nn.Module, plan: Optimization, data: list[Batch], **options: Any) -> nn.Module:
    """One epoch, as Lightning runs it."""
    task = task_of(net, plan, **options)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        accumulate_grad_batches=plan.accumulate,
        gradient_clip_val=plan.clip,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(task, DataLoader(data, batch_size=None))
    return net


def difference(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("name", SETTINGS)
def test_an_optimiser_is_torchs_with_those_settings(name: str) -> None:
    kind, expected = SETTINGS[name]
    momentum = {} if name in ("adagrad", "adadelta") else {"momentum": 0.8}
    plan = Optimization(optimizer=name, learning_rate=0.25, weight_decay=0.03, **momentum).decided()
    optimizer = make_optimizer(plan, Tiny(), [])
    assert type(optimizer) is kind
    for group in optimizer.param_groups:
        assert {key: group[key] for key in expected} == expected
        assert group["lr"] == 0.25
        assert group["weight_decay"] == (0.03 if group["name"] == "new weight" else 0.0)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_optimiser_learns_at_its_usual_rate(name: str) -> None:
    plan = Optimization(optimizer=name, policy="fixed")
    net, data = Tiny(), batches(1) * 60
    first = task_of(copy.deepcopy(net), plan, pretrained=False)
    before = first.objective(first.net, first.network_input(data[0]), data[0].labels).part.loss.item()
    task = task_of(trained(net, plan, data, pretrained=False), plan, pretrained=False)
    after = task.objective(task.net, task.network_input(data[0]), data[0].labels).part.loss.item()
    assert after < before - 0.02


def test_groups_have_their_own_rate_and_decay() -> None:
    net = Tiny()
    plan = Optimization(learning_rate=0.1, weight_decay=0.2, bias_factor=2.0).decided()
    optimizer = make_optimizer(plan, net, net.features.parameters())
    found = {group["name"]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups}
    assert found == {
        "transferred weight": (pytest.approx(0.01), 0.2),
        "transferred bias": (pytest.approx(0.02), 0.0),
        "transferred normalization": (pytest.approx(0.01), 0.0),
        "new weight": (0.1, 0.2),
        "new bias": (0.2, 0.0),
    }
    assert shown_rate(optimizer) == 0.1
    every = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(one) for one in every} == {id(one) for one in net.parameters()}
    assert len(every) == len(list(net.parameters()))


def test_steps_of_the_reference_recipe_by_hand() -> None:
    """v ← 0.99 v + g + decay · w; w ← w − rate · v; biases at twice the rate, without decay."""
    rate, momentum, decay = 1e-4, 0.99, 5e-4
    settings = {"optimizer": "sgd", "learning_rate": rate, "momentum": momentum, "weight_decay": decay}
    plan = Optimization(**settings, bias_factor=2.0, policy="fixed", backbone="free")
    net, data = Tiny(normed=False), batches(3, images=1)
    task = task_of(copy.deepcopy(net), plan, loss=Loss(terms="cross-entropy", reduction="sum"))
    weights = dict(task.net.named_parameters())
    velocity = {name: torch.zeros_like(value) for name, value in weights.items()}
    for batch in data:
        reading = task.objective(task.net, task.network_input(batch), batch.labels)
        counted = int((batch.labels != IGNORE).sum())
        logs = nn.functional.cross_entropy(reading.scores, batch.labels, ignore_index=IGNORE)
        torch.testing.assert_close(reading.part.loss, logs * counted)
        gradients = torch.autograd.grad(reading.part.loss, list(weights.values()))
        with torch.no_grad():
            for (name, value), gradient in zip(weights.items(), gradients, strict=True):
                bias = name.endswith("bias")
                velocity[name] = momentum * velocity[name] + gradient + (0.0 if bias else decay) * value
                value -= (2 * rate if bias else rate) * velocity[name]
    found = trained(net, plan, data, loss=Loss(terms="cross-entropy", reduction="sum"))
    for name, value in found.named_parameters():
        torch.testing.assert_close(value, weights[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("backbone", ["slow", "free", "frozen"])
@pytest.mark.parametrize("pretrained", [True, False])
def test_a_transferred_backbone_learns_slowly_freely_or_not_at_all(backbone: str, pretrained: bool) -> None:
    plan = Optimization(optimizer="sgd", learning_rate=0.1, momentum=0.0, backbone=backbone, policy="fixed")
    start = Tiny()
    net = trained(copy.deepcopy(start), plan, batches(1), pretrained=pretrained)
    moved = {name: float((value - start.state_dict()[name]).abs().max()) for name, value in net.state_dict().items()}
    assert moved["head.weight"] > 0
    if pretrained and backbone == "frozen":
        assert {name: by for name, by in moved.items() if name.startswith("features")} == dict.fromkeys(
            (name for name in moved if name.startswith("features")), 0.0
        )
        return
    assert moved["features.0.weight"] > 0
    assert moved["features.1.running_mean"] > 0
    free = trained(copy.deepcopy(start), plan.model_copy(update={"backbone": "free"}), batches(1))
    name = "features.0.weight"
    freely = float((free.state_dict()[name] - start.state_dict()[name]).abs().max())
    assert moved[name] / freely == pytest.approx(0.1 if pretrained and backbone == "slow" else 1, rel=0.02)


def test_frozen_batch_norm_keeps_its_statistics_and_learns_its_factors() -> None:
    plan = Optimization(optimizer="sgd", learning_rate=0.1, batch_norm="frozen", policy="fixed")
    start = Tiny()
    net = trained(copy.deepcopy(start), plan, batches(3))
    old, new = start.state_dict(), net.state_dict()
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(old[f"features.1.{name}"], new[f"features.1.{name}"])
    assert not torch.equal(old["features.1.weight"], new["features.1.weight"])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_batches_are_one_large_batch(reduction: str, accumulate: int) -> None:
    loss = Loss(terms="cross-entropy", reduction=reduction)
    rate = 0.05 if reduction == "mean" else 0.05 / 96
    plan = Optimization(optimizer="sgd", learning_rate=rate, batch_norm="frozen", policy="fixed")
    data = batches(9)  # nine: the last step has fewer batches, of which the mean is taken
    large = [joined(data[start : start + accumulate]) for start in range(0, len(data), accumulate)]
    start = Tiny()
    one = trained(copy.deepcopy(start), plan, large, loss=loss)
    several = trained(copy.deepcopy(start), plan.model_copy(update={"accumulate": accumulate}), data, loss=loss)
    assert difference(start, one) > 1e-3
    assert difference(one, several) < 1e-5


def test_no_gradient_is_longer_than_the_clip() -> None:
    plan = Optimization(optimizer="sgd", learning_rate=1.0, momentum=0.0, weight_decay=0.0, backbone="free", clip=1e-2)
    plan = plan.model_copy(update={"policy": Optimization(policy="fixed").policy})
    start = Tiny()
    net = trained(copy.deepcopy(start), plan, batches(1))
    pairs = zip(start.parameters(), net.parameters(), strict=True)
    moved = torch.sqrt(sum(((a - b) ** 2).sum() for a, b in pairs))  # type: ignore[arg-type]
    assert moved.item() == pytest.approx(1e-2, rel=1e-3)


def test_open_settings_are_decided() -> None:
    plain = Optimization().decided()
    assert (plain.learning_rate, plain.pretrained_learning_rate, plain.warmup) == (5e-3, 5e-4, 0.1)
    assert Optimization(policy="poly").decided().warmup == 0
    assert Optimization(warmup=0.3, policy="poly").decided().warmup == 0.3
    chosen = Optimization(learning_rate=1e-10, pretrained_learning_rate=3e-10).decided()
    assert (chosen.learning_rate, chosen.pretrained_learning_rate) == (1e-10, 3e-10)
    assert Optimization(learning_rate=1e-13).decided().pretrained_learning_rate == 1e-14


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"optimizer": "lamb"}, "adamw"),
        ({"optimizer": "nesterov", "momentum": 0}, "above 0"),
        ({"momentum": 1.0}, "less than 1"),
        ({"clip": 0}, "greater than 0"),
        ({"ema": 1.0}, "less than 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        Optimization(**setting)
