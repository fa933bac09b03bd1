"""How the learning rate moves over a run: the policies of DIGITS and Caffe, cosine and one-cycle, with a warm-up.

What a policy yields is a share of the peak rate at a share of the run, so that a plan means the same for any number of
steps. As in DIGITS, all that Caffe counts in steps is counted in percent of the run.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

FIRST = 1 / 25
LAST = 1e-4
Percent = Annotated[float, Field(gt=0, le=100)]
Decay = Annotated[float, Field(gt=0, le=1)]
"""A rate never rises above its peak."""


class _Policy(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Fixed(_Policy):
    """The peak rate throughout."""

    kind: Literal["fixed"] = "fixed"

    def share(self, percent: float) -> float:
        """Of the peak rate."""
        return 1.0


class Step(_Policy):
    """Times `gamma` after every `size` percent of the run."""

    kind: Literal["step"] = "step"
    size: Percent = 33.0
    gamma: Decay = 0.1

    def share(self, percent: float) -> float:
        """Of the peak rate."""
        return float(self.gamma ** math.floor(percent / self.size))


class MultiStep(_Policy):
    """Times `gamma` at each of the given percents of the run."""

    kind: Literal["multistep"] = "multistep"
    at: tuple[Percent, ...] = (50.0, 85.0)
    gamma: Decay = 0.5

    def share(self, percent: float) -> float:
        """Of the peak rate."""
        return float(self.gamma ** sum(percent >= place for place in self.at))


class Exponential(_Policy):
    """Times `gamma` for every percent of the run."""

    kind: Literal["exp"] = "exp"
    gamma: Decay = 0.95

    def share(self, percent: float) -> float:
        """Of the peak rate."""
        return float(self.gamma**percent)


class Inverse(_Policy):
    """(1 + gamma · percent)^−power."""

    kind: Literal["inv"] = "inv"
    gamma: float = Field(default=0.1, gt=0)
    power: float = Field(default=0.5, gt=0)

    def share(self, percent: float) -> float:
        """Of the peak rate."""
        return float((1 + self.gamma * percent) ** -self.power)


class Polynomial(_Policy):
    """(1 − share of the run)^power."""

    kind: Literal["poly"] = "poly"
    power: float = Field(default=0.9, gt=0)

    def share(self, percent: float) -> float:
        """Of the peak rate."""
        return float((1 - percent / 100) ** self.power)


class Sigmoid(_Policy):
    """1 / (1 + exp(gamma · (percent − center))): high, then low, around `center` percent of the run."""

    kind: Literal["sigmoid"] = "sigmoid"
    center: Percent = 50.0
    gamma: float = Field(default=0.1, gt=0)

    def share(self, percent: float) -> float:
        """Of the peak rate."""
        return 0.5 - 0.5 * math.tanh(0.5 * self.gamma * (percent - self.center))


class Cosine(_Policy):
    """Down along half a cosine to 1/10,000 of the peak (Loshchilov and Hutter 2017, section 3, without restarts)."""

    kind: Literal["cosine"] = "cosine"

    def share(self, percent: float) -> float:
        """Of the peak rate."""
        return _cosine(1.0, LAST, percent / 100)


class OneCycle(_Policy):
    """Up along a cosine over the warm-up, then down along a cosine (Smith and Topin 2018, section 3)."""

    kind: Literal["one-cycle"] = "one-cycle"

    def share(self, percent: float) -> float:
        """Of the peak rate, after the warm-up."""
        return _cosine(1.0, LAST, percent / 100)


Policy = Annotated[
    Annotated[
        Fixed | Step | MultiStep | Exponential | Inverse | Polynomial | Sigmoid | Cosine | OneCycle,
        Field(discriminator="kind"),
    ],
    BeforeValidator(lambda value: _named(value)),
]
"""A policy by its name alone has the defaults."""


def _named(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def rate_at(policy: Any, step: int, steps: int, warmup: float) -> float:
    """Share of the peak rate at a step, with a warm-up along a cosine from 1/25.

    One-cycle spends what the warm-up leaves of the run on going down; the others run their course beneath the warm-up,
    as if there were none.

    Args:
        policy: one of `Policy`.
        step: done so far, 0 … steps.
        steps: of the whole run.
        warmup: share of the steps until the peak; 0 for none.

    >>> [round(rate_at(OneCycle(), step, 100, 0.1), 2) for step in (0, 10, 55, 100)]
    [0.04, 1.0, 0.5, 0.0]
    >>> [round(rate_at(Step(), step, 100, 0.0), 3) for step in (0, 33, 66, 99)]
    [1.0, 0.1, 0.01, 0.001]
    """
    cycle = isinstance(policy, OneCycle)
    peak = max(1.0, warmup * steps) if warmup else 0.0
    rising = _cosine(FIRST, 1.0, step / peak) if step < peak else 1.0
    if not cycle:
        return float(rising * policy.share(min(100.0, 100 * step / steps)))  # in this order whole percents are exact
    if step < peak:
        return rising
    return float(policy.share(min(100.0, 100 * (step - peak) / max(1.0, steps - peak))))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
