"""What a run writes down while it goes on: metrics.csv, status.json and a line or a bar for the person watching."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from fullconv.evaluation.confusion import ConfusionMatrix
from fullconv.evaluation.scores import Scores
from fullconv.training.display import TrainingDisplay
from fullconv.training.distribution.processes import Processes
from fullconv.training.guard.scores import Measured
from fullconv.training.metrics_file import MetricsFile
from fullconv.training.settings.optimization import shown_rate
from fullconv.training.status import Status, write_status
from fullconv.training.stopping import StopRequested
from fullconv.training.task import SegmentationTask
from fullconv.training.trackers import Trackers

HEARTBEAT_SECONDS = 2.0
ROWS_IN_AN_EPOCH = 5


class RunRecorder(Callback):
    """Measures and writes; it changes nothing in the training.

    Args:
        run: the run's folder.
        names: class names.
        status: as it stands when training starts.
        display: shows progress.
        batch_size: views in a step, of all processes together.
        heads: further heads, with the names of their classes.
        processes: all measure, the first one writes.
    """

    def __init__(
        self,
        run: Path,
        names: Sequence[str],
        status: Status,
        display: TrainingDisplay,
        *,
        batch_size: int,
        processes: Processes,
        heads: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self.run = run
        self.names = tuple(names)
        self.status = status
        self.display = display
        self.batch_size = batch_size
        self.processes = processes
        self.heads = dict(heads)
        self.metrics = MetricsFile(run / "metrics.csv", names, list(heads))
        self.measured: dict[str, Measured] = {}
        self.measured_heads: dict[str, dict[str, Scores]] = {name: {} for name in heads}
        self.trackers = Trackers()
        self.stop_requested = False
        self.terminated = False
        self._beat = 0.0
        self._waited = 0.0
        self._images = 0
        self._seconds = 0.0
        self._mark = 0.0
        self._recent: list[torch.Tensor] = []

    def warn(self, text: str) -> None:
        """Say what is wrong and keep it in status.json; what was said before is not said again."""
        if text in self.status.warnings:
            return
        self.status = self.status.model_copy(update={"warnings": (*self.status.warnings, text)})
        if self.processes.first:
            self.display.say(f"Warning: {text}.")
            write_status(self.run, self.status)

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        if self.processes.first:
            done = trainer.global_step // self._steps_per_epoch(trainer)
            self.trackers.begin(cut=lambda: self.metrics.start(last_step=trainer.global_step, last_epoch=done))
        self._total = int(trainer.max_epochs or 1) * self._steps_per_epoch(trainer)
        self._first = trainer.global_step
        self._began = time.monotonic()
        self.display.start(self._total, trainer.global_step)
        self._tell(trainer)

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: Any) -> None:
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1  # the last epoch is always validated
        self._waited, self._images, self._seconds = 0.0, 0, 0.0
        self._mark = time.monotonic()
        task.losses["train"].clear()
        task.train_confusion.reset()
        for confusion in task.head_confusions["train"].values():
            confusion.reset()

    def on_train_batch_start(self, trainer: lightning.Trainer, task: Any, batch: Any, batch_idx: int) -> None:
        self._waited += time.monotonic() - self._mark

    def on_train_batch_end(
        self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        self._seconds += now - self._mark
        self._mark = now
        self._images += self.batch_size
        rate = shown_rate(trainer.optimizers[0])
        loss = float(task.losses["train"][-1])
        every = max(1, int(trainer.num_training_batches) // ROWS_IN_AN_EPOCH)
        if (batch_idx + 1) % every == 0:
            recent = torch.stack(task.losses["train"][-every:]).mean()
            self._row(trainer, split="train", loss=float(recent), learning_rate=rate)
        self.display.step(trainer.global_step, self._epoch(trainer), int(trainer.max_epochs or 1), loss, rate)
        if now - self._beat > HEARTBEAT_SECONDS:
            self._tell(trainer)
        if self.stop_requested:
            raise StopRequested

    def on_validation_batch_end(self, trainer: lightning.Trainer, *rest: Any, **named: Any) -> None:
        if time.monotonic() - self._beat > HEARTBEAT_SECONDS:
            self._tell(trainer)
        if self.stop_requested:
            raise StopRequested

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        for split, confusion in (("train", task.train_confusion), ("val", task.val_confusion)):
            self._scores(trainer, task, split, confusion)
        self._mark = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        self._tell(trainer)

    def _scores(
        self, trainer: lightning.Trainer, task: SegmentationTask, split: str, confusion: ConfusionMatrix
    ) -> None:
        scores = Scores.from_confusion(confusion.compute(), self.names)
        row = {
            "loss": task.validation_loss(self.batch_size) if split == "val" else _mean(task.losses["train"]),
            "pixel_accuracy": scores.pixel_accuracy,
            "mean_accuracy": scores.mean_accuracy,
            "mean_iou": scores.mean_iou,
            "frequency_weighted_iou": scores.frequency_weighted_iou,
        }
        if split == "train" and self._seconds:
            row["seconds"] = self._seconds
            row["images_per_second"] = self._images / self._seconds
            row["loader_wait"] = self._waited / self._seconds
        per_class = {f"iou_{name}": float(value) for name, value in zip(self.names, scores.iou, strict=True)}
        further = {
            name: Scores.from_confusion(found, self.heads[name]) for name, found in task.head_counts(split).items()
        }
        self._row(
            trainer, split=split, **row, **per_class, **{f"mean_iou_{n}": one.mean_iou for n, one in further.items()}
        )
        for name, one in further.items():
            self.measured_heads[name][split] = one
        self.measured[split] = Measured(row["loss"], scores)
        confusion.reset()
        task.losses[split].clear()
        if split == "val":
            found = 0.0 if math.isnan(scores.mean_iou) else scores.mean_iou
            best = max(found, self.status.best_mean_iou or 0.0)
            self.status = self.status.model_copy(update={"best_mean_iou": best})
            self.display.validated(self._epoch(trainer), int(trainer.max_epochs or 1), row, best)

    def _row(self, trainer: lightning.Trainer, **values: object) -> None:
        known = {name: value for name, value in values.items() if value is not None and value == value}
        if self.processes.first:
            self.metrics.append({"step": trainer.global_step, "epoch": self._epoch(trainer), **known})
            self.trackers.tell(known, split=str(values["split"]), step=trainer.global_step)

    @staticmethod
    def _steps_per_epoch(trainer: lightning.Trainer) -> int:
        """Of the optimiser, which takes one in so many batches."""
        return -(-int(trainer.num_training_batches) // int(trainer.accumulate_grad_batches))

    def _epoch(self, trainer: lightning.Trainer) -> int:
        """Counted from 1, as people do."""
        return trainer.current_epoch + 1

    def _tell(self, trainer: lightning.Trainer) -> None:
        self._beat = time.monotonic()
        done = trainer.global_step - self._first
        left = (self._beat - self._began) / done * (self._total - trainer.global_step) if done else None
        self.status = Status.now(
            "running",
            self.status,
            progress=trainer.global_step / self._total,
            epoch=trainer.global_step // self._steps_per_epoch(trainer),
            epochs=trainer.max_epochs,
            seconds_left=left,
        )
        if self.processes.first:
            write_status(self.run, self.status)


def _mean(losses: Sequence[torch.Tensor]) -> float | None:
    return float(torch.stack(list(losses)).mean()) if losses else None
