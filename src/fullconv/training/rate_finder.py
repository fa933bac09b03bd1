"""A learning rate for a job, from a short sweep over rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import Callback
from matplotlib.figure import Figure

from fullconv.errors import PlanError
from fullconv.evaluation.figures import BASELINE, INK, TRAIN, plain_axes
from fullconv.training.depthwise import strided_depthwise_in_float32
from fullconv.training.display import TrainingDisplay
from fullconv.training.engine import objective_of, quiet_lightning
from fullconv.training.job import Job
from fullconv.training.loaders import training_loader, workers_without_main
from fullconv.training.task import SegmentationTask

STEPS = 100
SPAN = (1e-4, 1e2)
"""First and last rate of a sweep, as shares of the plan's rate."""
DIVERGED = 4.0
"""Times its best, above which a smoothed loss counts as diverged."""
BELOW_DIVERGENCE = 10.0
SMOOTHING = 0.9
LEAST_FALL = 0.01
"""Of the first loss, without which a sweep suggests nothing."""
FEWEST = 10
"""Steps before divergence without which nothing can be said."""


@dataclass(frozen=True)
class RateSweep:
    """What a sweep over learning rates showed.

    Args:
        rates: (n,) of parameters that start from nothing; transferred ones and biases kept their proportion to them.
        losses: (n,) of the batch at each.
        smoothed: (n,) running mean of the losses.
        diverged: the rate at which the loss left all measure; none if it did not.
        suggestion: where the smoothed loss falls fastest, and no more than a tenth of what diverged; none where it does
            not fall.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    diverged: float | None
    suggestion: float | None


def find_learning_rate(job: Job, *, steps: int = STEPS, span: tuple[float, float] = SPAN) -> RateSweep:
    """Train a copy of the job's network while the rate grows from step to step, and see what the loss does.

    Loader, loss, optimiser, precision, clipping and accumulation are those of the run; the network, the random state
    and the run's folder stay as they are. Lightning's own finder gives all groups of parameters one rate, so that slow
    backbones and doubled biases are lost; the sweep here keeps their proportions.

    Args:
        job: what would be trained; its display shows progress.
        steps: of the optimiser.
        span: first and last rate, as shares of the plan's.

    Raises:
        PlanError: the loss is no number from the start.

    Source: Smith 2017, Cyclical Learning Rates, section 3.3.
    """
    plan = job.plan
    loader = training_loader(job.data.train, plan, job.normalization, job.home, job.grid)
    watch = _Watch(job.display, steps)
    with torch.random.fork_rng(), quiet_lightning():
        net = deepcopy(job.net).to(memory_format=torch.channels_last)
        task = _Sweep(
            net,
            job.normalization,
            objective_of(job.plan, job.data, job.grid),
            classes=len(job.data.classes),
            optimization=plan.optimization,
            steps=steps,
            pretrained=job.transfer.pretrained,
        )
        task.span = span
        trainer = lightning.Trainer(
            accelerator="gpu" if plan.device == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if plan.precision == "bf16" else "32-true",
            max_steps=steps,
            max_epochs=-1,
            accumulate_grad_batches=plan.optimization.accumulate,
            gradient_clip_val=plan.optimization.clip,
            callbacks=[watch],
            default_root_dir=job.directory,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            limit_val_batches=0,
            use_distributed_sampler=False,
        )
        slow_bf16 = plan.device == "cpu" and plan.precision == "bf16"
        try:
            with job.display, workers_without_main(), strided_depthwise_in_float32(net, wanted=slow_bf16):
                trainer.fit(task, loader)
        except FloatingPointError:  # a loss that is no number
            watch.diverged = watch.rate
    if not watch.losses:
        raise PlanError("the loss is no number at the smallest rate", remedy="check weights and images")
    return sweep_of(watch.rates, watch.losses, diverged=watch.diverged)


def sweep_of(rates: Sequence[float], losses: Sequence[float], *, diverged: float | None = None) -> RateSweep:
    """What losses at growing rates say.

    Args:
        rates, losses: (n,) of every step.
        diverged: the rate at which it ended before its time, if it did.

    >>> rates = [10.0 ** (step / 10 - 4) for step in range(40)]
    >>> losses = [2 - 1 / (1 + (0.01 / rate) ** 2) for rate in rates]
    >>> 0.002 < sweep_of(rates, losses).suggestion < 0.05
    True
    """
    smoothed = _smoothed(np.array(losses))
    suggestion = _suggestion(rates, smoothed, diverged)
    return RateSweep(tuple(rates), tuple(losses), tuple(smoothed.tolist()), diverged, suggestion)


def sweep_figure(sweep: RateSweep) -> Figure:
    """Loss against rate, with the suggestion.

    >>> sweep_figure(RateSweep((0.1, 1.0), (2.0, 1.0), (2.0, 1.5), None, None)).axes[0].get_xscale()
    'log'
    """
    figure, axes = plain_axes()
    axes.plot(sweep.rates, sweep.losses, color=TRAIN, linewidth=0.8, alpha=0.3)
    axes.plot(sweep.rates, sweep.smoothed, color=TRAIN, linewidth=1.8)
    axes.set_xscale("log")
    finite = np.array(sweep.smoothed)
    axes.set_ylim(top=float(finite[0] + 2 * max(1e-9, finite[0] - finite.min())))
    if sweep.suggestion is not None:
        axes.axvline(
            sweep.suggestion, color=BASELINE, linestyle="--", linewidth=1.2, label=f"suggested: {sweep.suggestion:.2g}"
        )
        axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    axes.set_xlabel("learning rate", color=INK)
    axes.set_title("loss", color=INK, fontsize=11, loc="left")
    return figure


class _Sweep(SegmentationTask):
    """Training at rates that grow exponentially, in proportion in all groups."""

    span: tuple[float, float]

    def configure_optimizers(self) -> Any:
        made = super().configure_optimizers()
        made["lr_scheduler"]["scheduler"] = torch.optim.lr_scheduler.LambdaLR(made["optimizer"], self.growth)
        return made

    def growth(self, step: int) -> float:
        """The share of the plan's rate at a step."""
        first, last = self.span
        return float(first * (last / first) ** (step / max(1, self.steps - 1)))


class _Watch(Callback):
    """Notes rates and losses of the optimiser's steps, and ends the sweep when it has diverged."""

    def __init__(self, display: TrainingDisplay, steps: int) -> None:
        self.display = display
        self.steps = steps
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.diverged: float | None = None
        self.rate = 0.0

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        self.display.start(self.steps, 0)

    def on_train_batch_start(self, trainer: lightning.Trainer, task: Any, batch: Any, batch_idx: int) -> None:
        self.rate = task.optimization.learning_rate * task.growth(trainer.global_step)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == len(self.losses):  # gathers gradients still
            return
        several = task.losses["train"]
        self.losses.append(float(torch.stack(several).mean()))
        several.clear()
        self.rates.append(self.rate)
        self.display.step(trainer.global_step, 1, 1, self.losses[-1], self.rate)
        smoothed = _smoothed(np.array(self.losses))
        if len(self.losses) >= FEWEST and smoothed[-1] > DIVERGED * smoothed.min():
            self.diverged = self.rate
            trainer.should_stop = True


def _smoothed(losses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Running mean that forgets, without the drag of its start (Kingma and Ba 2015, section 3)."""
    mean, means = 0.0, []
    for count, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        means.append(mean / (1 - SMOOTHING**count))
    return np.array(means)


def _suggestion(rates: Sequence[float], smoothed: npt.NDArray[np.float64], diverged: float | None) -> float | None:
    if len(rates) < FEWEST:
        return None
    if smoothed.min() > (1 - LEAST_FALL) * smoothed[0]:
        return None
    slopes = np.gradient(smoothed, np.log(rates))
    steepest = int(slopes[1:-1].argmin()) + 1
    chosen = rates[steepest] if diverged is None else min(rates[steepest], diverged / BELOW_DIVERGENCE)
    return float(f"{chosen:.2g}") if math.isfinite(chosen) else None
