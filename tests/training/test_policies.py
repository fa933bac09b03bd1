"""Policies of the learning rate against closed forms, DIGITS' and torch's schedulers."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch.optim import lr_scheduler

from fullconv.training.settings.policies import (
    Cosine,
    Exponential,
    Fixed,
    Inverse,
    MultiStep,
    OneCycle,
    Policy,
    Polynomial,
    Sigmoid,
    Step,
    rate_at,
)

STEPS = 200
STAIRS = [Fixed(), Step(), MultiStep(), Step(size=29, gamma=0.7)]
SMOOTH = [Exponential(), Inverse(), Polynomial(), Sigmoid(), Cosine(), OneCycle()]


def ours(policy, steps: int = STEPS, warmup: float = 0.0) -> list[float]:
    return [rate_at(policy, step, steps, warmup) for step in range(steps + 1)]


def of_torch(make, steps: int = STEPS) -> list[float]:
    """Rates that a scheduler of torch gives a peak of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make(optimizer)
    rates = [optimizer.param_groups[0]["lr"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is nothing to optimise here
        for _ in range(steps):
            schedule.step()
            rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize(
    ("policy", "make"),
    [
        (Step(size=25, gamma=0.3), lambda o: lr_scheduler.StepLR(o, STEPS // 4, gamma=0.3)),
        (Step(size=29, gamma=0.3), lambda o: lr_scheduler.StepLR(o, 58, gamma=0.3)),
        (MultiStep(at=(29, 57.5, 90), gamma=0.2), lambda o: lr_scheduler.MultiStepLR(o, [58, 115, 180], gamma=0.2)),
        (Exponential(gamma=0.9), lambda o: lr_scheduler.ExponentialLR(o, 0.9 ** (100 / STEPS))),
        (Polynomial(power=0.9), lambda o: lr_scheduler.PolynomialLR(o, STEPS, power=0.9)),
        (Polynomial(power=2), lambda o: lr_scheduler.PolynomialLR(o, STEPS, power=2)),
        (Cosine(), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=1e-4)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_policy_is_torchs_scheduler(policy, make) -> None:
    assert ours(policy) == pytest.approx(of_torch(make), rel=1e-9, abs=1e-12)


def test_one_cycle_is_torchs() -> None:
    share = 0.1
    # torch counts the last step in, and ends a phase one step before its share of the total.
    total = STEPS + 1
    expected = of_torch(
        lambda o: lr_scheduler.OneCycleLR(
            o,
            max_lr=1.0,
            total_steps=total,
            pct_start=(share * STEPS + 1) / total,
            div_factor=25,
            final_div_factor=1e4 / 25,
            cycle_momentum=False,
        )
    )
    assert ours(OneCycle(), warmup=share) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("policy", "formula"),
    [
        (Fixed(), lambda p: 1.0),
        (Inverse(gamma=0.2, power=0.75), lambda p: (1 + 0.2 * p) ** -0.75),
        (Sigmoid(center=40, gamma=0.3), lambda p: 1 / (1 + math.exp(0.3 * (p - 40)))),
        (Exponential(gamma=0.97), lambda p: 0.97**p),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_policy_is_digits_form_in_percent_of_the_run(policy, formula) -> None:
    expected = [formula(100 * step / STEPS) for step in range(STEPS + 1)]
    assert ours(policy) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("size", range(1, 101))
def test_a_step_falls_at_its_percent_and_not_one_later(size: int) -> None:
    for steps in (100, 300, 1700):
        place = size * steps // 100
        assert rate_at(Step(size=size), place - 1, steps, 0.0) == 1.0
        assert rate_at(Step(size=size), place, steps, 0.0) == pytest.approx(0.1)
        assert rate_at(MultiStep(at=(size,)), place - 1, steps, 0.0) == 1.0
        assert rate_at(MultiStep(at=(size,)), place, steps, 0.0) == 0.5


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(STAIRS + SMOOTH) | st.builds(Sigmoid, gamma=st.floats(1e-3, 1e6), center=st.floats(1, 100)),
    st.integers(1, 5000),
    st.sampled_from([0.0, 0.01, 0.1, 0.5, 0.99]),
)
def test_rates_stay_within_the_peak_rise_over_the_warm_up_and_never_after(policy, steps: int, warmup: float) -> None:
    rates = ours(policy, steps, warmup)
    assert all(0 <= rate <= 1 for rate in rates)
    assert all(math.isfinite(rate) for rate in rates)
    after = rates[math.ceil(max(1.0, warmup * steps)) if warmup else 0 :]
    assert after == sorted(after, reverse=True)
    if warmup and isinstance(policy, OneCycle):
        rising = rates[: math.ceil(max(1.0, warmup * steps))]
        assert rising == sorted(rising)
        assert rates[0] == pytest.approx(1 / 25)


@pytest.mark.parametrize("policy", SMOOTH, ids=lambda policy: policy.kind)
def test_a_plan_means_the_same_for_any_number_of_steps(policy) -> None:
    assert ours(policy, 50, 0.1) == pytest.approx(ours(policy, 500, 0.1)[::10])


@pytest.mark.parametrize("policy", [Fixed(), Step(size=40), Polynomial()], ids=lambda policy: policy.kind)
def test_a_warm_up_lies_over_the_course_of_the_policy(policy) -> None:
    plain, warmed = ours(policy), ours(policy, warmup=0.2)
    assert warmed[0] == pytest.approx(plain[0] / 25)
    assert warmed[20] == pytest.approx(plain[20] * (1 + 1 / 25) / 2)
    assert warmed[40:] == plain[40:]


@pytest.mark.parametrize("kind", ["fixed", "step", "multistep", "exp", "inv", "poly", "sigmoid", "cosine", "one-cycle"])
def test_every_policy_is_known_by_its_name(kind: str) -> None:
    adapter = TypeAdapter(Policy)
    policy = adapter.validate_python(kind)
    assert policy.kind == kind
    assert adapter.validate_python(policy.model_dump()) == policy


@pytest.mark.parametrize(
    "setting", ["often", {"kind": "step", "gamma": 2}, {"kind": "step", "size": 0}, {"kind": "poly", "gamma": 1}]
)
def test_a_policy_that_makes_no_sense_is_refused(setting) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Policy).validate_python(setting)
