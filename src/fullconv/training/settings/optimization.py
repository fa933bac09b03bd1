"""The optimiser in a plan, and the groups of parameters that it works on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from fullconv.training.settings.policies import OneCycle, Policy

OptimizerName = Literal["adamw", "adam", "sgd", "nesterov", "adagrad", "rmsprop", "adadelta"]
DEFAULT_RATES: dict[OptimizerName, float] = {
    "adamw": 5e-3,
    "adam": 5e-3,
    "sgd": 0.05,
    "nesterov": 0.05,
    "adagrad": 0.02,
    "rmsprop": 1e-3,
    "adadelta": 1.0,
}
DEFAULT_MOMENTUM = 0.9
PRETRAINED_SHARE = 0.1
"""Of the rate of new parameters, for those that were transferred."""


class Optimization(BaseModel):
    """The optimiser and its learning rate; AdamW with a one-cycle rate if nothing is said.

    Args:
        optimizer: its name.
        learning_rate: peak for parameters that start from nothing; none for the optimiser's usual one.
        pretrained_learning_rate: peak for parameters that were transferred, where their backbone is slow; none for a
            tenth.
        backbone: transferred parameters learn at that rate ("slow"), at the rate of the others ("free"), or not at all
            ("frozen": their batch norm keeps its statistics too).
        momentum: of SGD, Nesterov and RMSprop; the first moment of Adam and AdamW.
        weight_decay: of weights; normalisation layers are not decayed, nor biases.
        bias_factor: learning rate of biases over that of weights.
        policy: how the rate moves.
        warmup: share of all steps until the peak; none for 0.1 with one-cycle, 0 with other policies.
        batch_norm: "batch" statistics in training, or "frozen": those it came with.
        accumulate: batches whose gradients make one step.
        clip: largest norm of the gradient; none for no bound.
        ema: decay per step of a moving average of the weights, such as 0.99, which is validated and kept instead of
            the weights themselves; none for no average.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    optimizer: OptimizerName = "adamw"
    learning_rate: float | None = Field(default=None, gt=0)
    pretrained_learning_rate: float | None = Field(default=None, gt=0)
    backbone: Literal["slow", "free", "frozen"] = "slow"
    momentum: float = Field(default=DEFAULT_MOMENTUM, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    bias_factor: float = Field(default=1.0, gt=0)
    policy: Policy = OneCycle()
    warmup: float | None = Field(default=None, ge=0, lt=1)
    batch_norm: Literal["batch", "frozen"] = "batch"
    accumulate: int = Field(default=1, ge=1)
    clip: float | None = Field(default=None, gt=0)
    ema: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _sensible(self) -> Optimization:
        if self.optimizer == "nesterov" and self.momentum == 0:
            raise ValueError("momentum: Nesterov's needs one above 0; say optimizer: sgd to go without")
        if self.optimizer in ("adagrad", "adadelta") and self.momentum != DEFAULT_MOMENTUM:
            raise ValueError(f"momentum: {self.optimizer} has none; leave it out")
        if self.backbone != "slow" and self.pretrained_learning_rate is not None:
            raise ValueError(f"pretrained_learning_rate: is for backbone: slow, not {self.backbone}; leave it out")
        return self

    def decided(self) -> Optimization:
        """With rates and warm-up as numbers.

        >>> Optimization(optimizer="sgd").decided().pretrained_learning_rate
        0.005
        """
        rate = self.learning_rate if self.learning_rate is not None else DEFAULT_RATES[self.optimizer]
        slow = self.pretrained_learning_rate
        if slow is None and self.backbone == "slow":
            slow = _short(PRETRAINED_SHARE * rate)
        warmup = self.warmup if self.warmup is not None else 0.1 * isinstance(self.policy, OneCycle)
        changes = {
            "learning_rate": rate,
            "pretrained_learning_rate": slow,
            "warmup": warmup,
        }
        return self.model_copy(update=changes)


def make_optimizer(plan: Optimization, net: nn.Module, carried: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser over the parameters that learn, in groups of one rate and decay.

    Args:
        plan: with nothing left open.
        net: whose parameters learn, those that need gradients.
        carried: the parameters that were transferred.
    """
    known = {id(parameter) for parameter in carried}
    groups = list(_groups(plan, net, known))
    momentum = plan.momentum
    rate = plan.learning_rate
    assert rate is not None
    match plan.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=rate, betas=(momentum, 0.999), fused=True)
        case "adam":
            return torch.optim.Adam(groups, lr=rate, betas=(momentum, 0.999), fused=True)
        case "sgd" | "nesterov":
            return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=plan.optimizer == "nesterov")
        case "adagrad":
            return torch.optim.Adagrad(groups, lr=rate)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=rate, momentum=momentum)
        case "adadelta":
            return torch.optim.Adadelta(groups, lr=rate)


def _groups(plan: Optimization, net: nn.Module, known: set[int]) -> Iterator[dict[str, Any]]:
    """Weights, biases and normalisation layers, transferred and new; groups with nothing in them left out."""
    normalising = {
        id(parameter)
        for module in net.modules()
        if not isinstance(module, nn.modules.conv._ConvNd | nn.Linear)
        for parameter in module.parameters(recurse=False)
        if parameter.ndim <= 1
    }
    sorted_out: dict[tuple[bool, str], list[nn.Parameter]] = {}
    for parameter in net.parameters():
        if not parameter.requires_grad:
            continue
        kind = "weight" if parameter.ndim > 1 else "normalization" if id(parameter) in normalising else "bias"
        sorted_out.setdefault((id(parameter) in known, kind), []).append(parameter)
    for (was_carried, kind), parameters in sorted_out.items():
        slow = was_carried and plan.backbone == "slow"
        rate = plan.pretrained_learning_rate if slow else plan.learning_rate
        assert rate is not None
        yield {
            "params": parameters,
            "lr": rate * (plan.bias_factor if kind == "bias" else 1.0),
            "weight_decay": plan.weight_decay if kind == "weight" else 0.0,
            "name": f"{'transferred' if was_carried else 'new'} {kind}",
        }


def follow_rates(optimizer: torch.optim.Optimizer, schedule: Any, rates: list[float]) -> None:
    """Let peak rates other than those of a checkpoint hold from here on; the schedule goes on where it was.

    Args:
        optimizer, schedule: a `LambdaLR`, both as the checkpoint left them.
        rates: peak of every group.
    """
    if schedule.base_lrs == rates:
        return
    schedule.base_lrs = list(rates)
    for group, rate, share in zip(optimizer.param_groups, rates, schedule.lr_lambdas, strict=True):
        group["initial_lr"], group["lr"] = rate, rate * share(schedule.last_epoch)
    schedule._last_lr = [group["lr"] for group in optimizer.param_groups]


def with_rate(plan: Optimization, rate: float) -> Optimization:
    """Another peak rate; that of transferred parameters changes in proportion.

    >>> with_rate(Optimization().decided(), 5e-4).pretrained_learning_rate
    5e-05
    """
    decided = plan.decided()
    assert decided.learning_rate is not None
    slow = decided.pretrained_learning_rate
    if slow is not None:
        slow = _short(slow * rate / decided.learning_rate)
    return decided.model_copy(update={"learning_rate": rate, "pretrained_learning_rate": slow})


def shown_rate(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate now of the parameters that start from nothing, of their weights if there are any."""
    groups = {group["name"]: float(group["lr"]) for group in optimizer.param_groups}
    return next((groups[name] for name in ("new weight", "transferred weight") if name in groups), max(groups.values()))


def _short(value: float) -> float:
    """Without the dust of a product: 0.0005 and not 0.0005000000000000001, however small."""
    return float(f"{value:.12g}")
