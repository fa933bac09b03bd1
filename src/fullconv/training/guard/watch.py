"""The guard of a run: it watches every step and validation, and says in plain words what is wrong and what to do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.nn.utils import get_total_norm

from fullconv.data.dataset import Dataset
from fullconv.data.samples import Batch
from fullconv.errors import DataError, FullconvError, PlanError
from fullconv.evaluation.scores import Scores
from fullconv.training.checkpoints import go_back_to_best, last_checkpoint
from fullconv.training.guard.data import different_classes, different_images, extreme, image_means, unusable
from fullconv.training.guard.finding import Finding
from fullconv.training.guard.heads import FurtherHeads, named
from fullconv.training.guard.reading_faults import SampleError
from fullconv.training.guard.scores import Course, Facts, Measured, Validation, findings, validation_of
from fullconv.training.guard.steps import (
    RECENT,
    has_diverged,
    learning_rate_too_large,
    still_weights,
    zero_score_loss,
    zero_scores,
)
from fullconv.training.job import Job
from fullconv.training.settings.optimization import shown_rate

WEIGHTS_WATCHED = 10_000
"""Of every parameter, evenly spaced: enough to see whether it moves."""
IMAGES_COMPARED = 500


class Guard(Callback):
    """Tells what goes wrong in a run, each kind once; it changes nothing in the training.

    Args:
        job: the run.
        steps: of the whole run.
        warn: says a sentence to the person and keeps it in status.json.
        measured: what the last validation measured, by split; `RunRecorder` fills it before the guard looks.
        heads: the same of further heads.
    """

    def __init__(
        self,
        job: Job,
        *,
        steps: int,
        warn: Callable[[str], None],
        measured: dict[str, Measured],
        heads: Mapping[str, Mapping[str, Scores]] = MappingProxyType({}),
    ) -> None:
        self.job = job
        self.facts = facts_of(job, steps)
        self.warn = warn
        self.measured = measured
        self.heads = heads
        self.first_head = next(iter(job.plan.heads), None) if job.plan.heads else None
        self.further = FurtherHeads(job.plan.heads, self.facts)
        self.counts = [len(self.facts.classes), *(len(facts.classes) for facts in self.further.facts.values())]
        expected = [zero_score_loss(job.plan.loss, count) for count in self.counts]
        self.expected = None if None in expected else sum(filter(None, expected))
        self.said: list[str] = []
        self.validations: list[Validation] = []
        self.epoch_losses: list[float] = []
        self.recent: deque[float] = deque(maxlen=RECENT)
        self._in_epoch: list[float] = []
        self._images: dict[str, list[npt.NDArray[np.float64]]] = {"train": [], "val": []}
        self._compared = False
        self._start: list[torch.Tensor] | None = None
        self._largest_rate = 0.0
        self._strangest: tuple[int, float, float] | None = None
        self._first = True

    def setup(self, trainer: lightning.Trainer, task: Any, stage: str) -> None:
        self._first = trainer.is_global_zero
        if not any(parameter.requires_grad for parameter in task.net.parameters()):
            remedy = "set optimization.backbone: slow, or let the network's own file leave some parameters free"
            raise PlanError("every parameter of the network is frozen: nothing can learn", remedy=remedy)

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        if trainer.global_step == 0:
            self._start = _sampled(task.net)

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: Any) -> None:
        self._in_epoch = []

    def on_train_batch_start(self, trainer: lightning.Trainer, task: Any, batch: Batch, batch_idx: int) -> None:
        self._check(batch, "train", task)

    def on_validation_batch_start(
        self, trainer: lightning.Trainer, task: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._check(batch, "val", task)

    def on_before_optimizer_step(self, trainer: lightning.Trainer, task: Any, optimizer: torch.optim.Optimizer) -> None:
        gradients = [parameter.grad for parameter in task.net.parameters() if parameter.grad is not None]
        if gradients and not _finite(gradients):
            raise FloatingPointError(f"the gradients became infinite or no number in {_when(trainer)}")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(task.losses["train"][-1])
        self.recent.append(loss)
        self._in_epoch.append(loss)
        self._largest_rate = max(self._largest_rate, shown_rate(trainer.optimizers[0]))

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        train, val = self.measured["train"], self.measured["val"]
        if val.loss is not None and not np.isfinite(val.loss):
            raise FloatingPointError(f"the scores of the validation images became no numbers in {_when(trainer)}")
        self.validations.append(validation_of(trainer.global_step, train, val))
        for finding in findings(Course(self.facts, tuple(self.validations))):
            self._say(named(finding, self.first_head))
        for head, finding in self.further.look(trainer.global_step, self.heads):
            self._say(named(finding, head), about=f"{finding.kind} {head}")
        if not self._compared:
            self._compared = True
            self._compare_splits()

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        # Before the checkpoint of this epoch is written.
        if not _all_finite(task.net):
            raise FloatingPointError(f"the weights became infinite or no numbers in {_when(trainer)}")
        self.epoch_losses.append(float(np.mean(self._in_epoch)))
        losses, rate = list(self.recent), shown_rate(trainer.optimizers[0])
        if self._start is not None:
            moved = _moved(self._start, _sampled(task.net))
            still = still_weights(moved, steps=trainer.global_step, losses=losses, rate=self._largest_rate)
            if still is not None:
                self._say(still)
            elif trainer.global_step >= RECENT:
                self._start = None
        if "still-weights" not in self.said:
            stuck = zero_scores(losses, self.expected, classes=self.counts, rate=rate)
            if stuck is not None:
                self._say(stuck)

    def explained(self, problem: FloatingPointError) -> FullconvError:
        """The sentence for a number that became none: it names the sample or the learning rate, and how to go on."""
        directory, rate = self.job.directory, self.job.plan.optimization.learning_rate
        assert rate is not None
        if self._strangest is not None:
            place, value, deviations = self._strangest
            return DataError(
                f"{problem}, after a pixel of {value:.3g}, {deviations:.1g} standard deviations from the mean",
                where=_file(self.job.data.train, place),
                remedy=f"mend or remove the file and train again; {directory.name} keeps its last good checkpoint",
            )
        if self._first and has_diverged(self.epoch_losses):
            go_back_to_best(directory)
        command = f"fullconv train --resume {directory.name} --learning-rate"
        found = learning_rate_too_large(str(problem), list(self.recent), rate=rate, again=command)
        remedy = found.remedy
        if last_checkpoint(directory) is None:
            remedy = remedy.replace("goes on from the last good checkpoint", "begins again, for no epoch was finished")
        return PlanError(f"{found.sentence}: {found.cause}", where=directory, remedy=remedy)

    def state_dict(self) -> dict[str, Any]:
        return {
            "said": list(self.said),
            "validations": [asdict(validation) for validation in self.validations],
            "epoch_losses": list(self.epoch_losses),
            "recent": list(self.recent),
            "compared": self._compared,
            "heads": self.further.state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.said = list(state_dict["said"])
        self.validations = [Validation.of(entry) for entry in state_dict["validations"]]
        self.further.restore(state_dict.get("heads", {}))
        self.epoch_losses = list(state_dict["epoch_losses"])
        self.recent = deque(state_dict["recent"], maxlen=RECENT)
        self._compared = bool(state_dict["compared"])

    def _check(self, batch: Batch, split: str, task: Any) -> None:
        data: Dataset = self.job.data.split(split) if split == "val" else self.job.data.train
        bad = unusable(batch, classes=len(data.classes), ignore=data.classes.ignore_index)
        if bad is not None:
            place, what = bad
            raise SampleError(
                what,
                where=_file(data, place, label="label" in what),
                remedy=f"put the right file back, and delete the prepared samples in {self.job.home.cache}",
            )
        if split == "train":
            self._strangest = extreme(batch, task.normalization) or self._strangest
        if not self._compared and sum(map(len, self._images[split])) < IMAGES_COMPARED:
            self._images[split].append(image_means(batch.images))

    def _compare_splits(self) -> None:
        facts, normalization = self.facts, self.job.normalization
        data = self.job.data
        found = different_classes(
            facts.classes,
            facts.train_shares,
            facts.val_shares,
            images=min(len(data.train), len(data.val)),
            val_images_with=list(data.statistics.splits["val"].images_with.values()),
        )
        if found is None and all(self._images.values()):
            train, val = (np.concatenate(self._images[split]) for split in ("train", "val"))
            std = [spread * normalization.scale for spread in normalization.std]
            found = different_images(train, val, std)
        if found is not None:
            self._say(found)
        self._images = {"train": [], "val": []}

    def _say(self, finding: Finding, *, about: str | None = None) -> None:
        """Once for each kind, or for what it is about."""
        if (about or finding.kind) not in self.said:
            self.said.append(about or finding.kind)
            self.warn(str(finding))


def facts_of(job: Job, steps: int) -> Facts:
    """What the guard needs to know of a run before it begins."""
    statistics = job.data.statistics
    train, val = (_shares(statistics.splits[split].pixels) for split in ("train", "val"))
    stride = max(job.grid.total_stride)
    ceiling = statistics.stride_ceiling.get(stride, 1.0)
    return Facts(job.data.classes.names, train, val, steps, job.transfer.pretrained, ceiling)


def _shares(pixels: dict[str, int]) -> tuple[float, ...]:
    total = max(1, sum(pixels.values()))
    return tuple(count / total for count in pixels.values())


def _file(data: Dataset, place: int, *, label: bool = False) -> Path:
    sample = data.samples[place]
    return sample.labels[0] if label and sample.labels else sample.image


def _when(trainer: lightning.Trainer) -> str:
    return f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}"


def _sampled(net: nn.Module) -> list[torch.Tensor]:
    """Some values of every parameter that learns."""
    watched = []
    for parameter in net.parameters():
        if parameter.requires_grad:
            flat = parameter.detach().flatten()
            watched.append(flat[:: max(1, len(flat) // WEIGHTS_WATCHED)].clone())
    return watched


def _moved(before: list[torch.Tensor], after: list[torch.Tensor]) -> float:
    """Norm of the change over the norm of all."""
    change = get_total_norm([now - then for now, then in zip(after, before, strict=True)])
    return float(change / get_total_norm(before).clamp_min(torch.finfo(torch.float32).tiny))


def _all_finite(net: nn.Module) -> bool:
    """Weights, and the running statistics of batch norm; other buffers may hold infinities on purpose."""
    normalising = (module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    running = (value for module in normalising for value in (module.running_mean, module.running_var))
    weights = (parameter.detach() for parameter in net.parameters())
    return _finite([*weights, *(value for value in running if value is not None)])


def _finite(values: list[torch.Tensor]) -> bool:
    """Whether all values are numbers; the norm tells it in one quick pass, unless it overflows itself."""
    return bool(get_total_norm(values).isfinite()) or all(bool(value.isfinite().all()) for value in values)
