"""What one training step and one validation step do."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import nn

from fullconv.data.samples import Batch
from fullconv.evaluation.confusion import ConfusionMatrix
from fullconv.networks.normalization import Normalization
from fullconv.networks.reference import AnyFCN
from fullconv.training.distribution.processes import sum_over
from fullconv.training.heads import AnyObjective, HeadsObjective
from fullconv.training.objective import Objective, Part
from fullconv.training.settings.optimization import Optimization, follow_rates, make_optimizer
from fullconv.training.settings.policies import rate_at

MOST_TOGETHER = 8
"""Processes up to which Lovász loss is that of the batch of all: every one sorts the pixels of all. Of more, each takes
that of its share."""
COUNTED_EVERY = 4
"""Training scores are taken from every so many steps: they only show the way, and counting costs time."""


class SegmentationTask(lightning.LightningModule):
    """A network, its loss and its optimiser, as Lightning runs them.

    Args:
        net: (N, C, H, W) → (N, classes, H, W).
        normalization: pixel values → network input.
        objective: the loss of a training batch, by loss and regime.
        classes: how many; of several heads those of the first.
        optimization: the optimiser and its rates, with nothing left open.
        steps: of the optimiser in the whole run; the schedule is frozen in steps.
        pretrained: whether the backbone was transferred, and trains as `optimization.backbone` says.
    """

    def __init__(
        self,
        net: AnyFCN,
        normalization: Normalization,
        objective: AnyObjective,
        *,
        classes: int,
        optimization: Optimization,
        steps: int,
        pretrained: bool,
    ) -> None:
        super().__init__()
        self.net = net
        self.normalization = normalization
        self.objective = objective
        self.optimization = optimization
        self.steps = steps
        self.pretrained = pretrained
        self.train_confusion = ConfusionMatrix(classes=classes, ignore=objective.ignore)
        self.val_confusion = ConfusionMatrix(classes=classes, ignore=objective.ignore)
        further: list[tuple[str, Objective]] = []
        if isinstance(objective, HeadsObjective):
            further = list(zip(objective.names, objective.each, strict=True))[1:]
        self.head_confusions: dict[str, Any] = {}
        for split in ("train", "val"):
            matrices = {name: ConfusionMatrix(classes=head.classes, ignore=head.ignore) for name, head in further}
            self.head_confusions[split] = matrices
            self.add_module(f"{split}_head_confusions", nn.ModuleDict(matrices))
        self.losses: dict[str, list[torch.Tensor]] = {"train": [], "val": []}
        if pretrained and optimization.backbone == "frozen":
            self.net.features.requires_grad_(False)

    def network_input(self, batch: Batch) -> torch.Tensor:
        """Normalise, change colours, and lay out channels-last: one matrix product per image."""
        pixels = batch.images.float()
        with torch.autocast(pixels.device.type, enabled=False):
            if batch.colors is None:
                ready = self.normalization.apply(pixels)
            else:
                bands = pixels.shape[1]
                factor, offset = (value.to(pixels.device) for value in self.normalization.affine())
                matrix = batch.colors[:, :, :bands] * factor.view(1, -1, 1)
                shift = batch.colors[:, :, bands] * factor * self.normalization.scale + offset
                ready = torch.baddbmm(shift.unsqueeze(-1), matrix, pixels.flatten(2)).view_as(pixels)
        return ready.contiguous(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> SegmentationTask:
        """Training mode, with batch norm that is to keep its statistics left in evaluation."""
        super().train(mode)
        if mode and self.pretrained and self.optimization.backbone == "frozen":
            self.net.features.eval()
        if mode and self.optimization.batch_norm == "frozen":
            for module in self.net.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        reading = self.objective(self.net, self.network_input(batch), batch.labels, batch.seeds)
        loss, of_all = self._divided(reading.part)
        if not math.isfinite(of_all.item()):
            raise FloatingPointError(
                f"the loss became {of_all.item()} in epoch {self.current_epoch + 1}, step {self.global_step}"
            )
        if index % COUNTED_EVERY == 0:
            self.train_confusion.update(reading.scores.detach().contiguous(), reading.labels)
            for confusion, one in zip(self.head_confusions["train"].values(), reading.further, strict=True):
                confusion.update(one.scores.detach().contiguous(), one.labels)
        self.losses["train"].append(of_all)
        return loss * self._share(index)

    def on_train_start(self) -> None:
        """A checkpoint brings the rates that it was made with; the plan may have other ones by now."""
        self.train()  # Lightning leaves every module in the mode that it came in
        across = 1 < self.trainer.world_size <= MOST_TOGETHER
        for head in self.objective.each if isinstance(self.objective, HeadsObjective) else [self.objective]:
            head.across = across
        follow_rates(self.trainer.optimizers[0], self.lr_schedulers(), self._rates)

    def _share(self, index: int) -> float:
        """What Lightning takes back: it divides every batch by `accumulate`, though sums are not to be divided, and the
        last step of an epoch may have fewer batches."""
        size = self.optimization.accumulate
        batches = int(self.trainer.num_training_batches)
        short = batches % size
        if self.objective.loss.reduction == "sum":
            return size
        return size / short if index >= batches - short else 1.0

    def validation_step(self, batch: Batch, index: int) -> torch.Tensor:
        """Count a batch, and hand its scores (N, classes, H, W) on to those who look."""
        scores = self.net(self.network_input(batch))
        part = self.objective.part(scores, batch.labels, keep=1.0, single=True)
        images = (batch.labels != self.objective.ignore).flatten(1).any(1).sum().to(part.total.dtype)
        self.losses["val"].append(torch.stack([part.total, part.count, images.expand_as(part.total)]).double())
        if isinstance(self.objective, HeadsObjective):
            own, matrices = self.objective.labels(batch.labels), self.head_confusions["val"].values()
            for confusion, found, truth in zip(matrices, scores[1:], own[1:], strict=True):
                confusion.update(found.contiguous(), truth)
            scores = scores[0]
        first: torch.Tensor = scores
        self.val_confusion.update(first.contiguous(), batch.labels)
        return first

    def _divided(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of this process, so that the mean over all processes is the loss of their batches together; and that
        loss, without gradient."""
        processes = self.trainer.world_size
        if processes == 1:
            return part.loss, part.loss.detach()
        total, count = sum_over(torch.stack([part.total, part.count]))
        if self.objective.loss.reduction == "sum":
            return part.total.sum() * processes, total.sum()
        return Part(part.total * processes, count).loss, Part(total, count).loss

    def validation_loss(self, batch_size: int) -> float | None:
        """The loss of all validation images in all processes together: divided by all that counts; a sum, as of
        `batch_size` images. None where there was none.

        Every process calls it, and all get the same.
        """
        nothing = torch.zeros(3, self.objective.parts, dtype=torch.float64, device=self.device)
        told = [found.view(3, -1) for found in self.losses["val"]]
        total, count, images = sum_over(torch.stack([nothing, *told]).sum(0))
        if self.objective.loss.reduction == "sum":
            return float(total.sum() * batch_size / images[0]) if images[0] else None
        return float(Part(total, count).loss) if count[0] else None

    def on_validation_epoch_end(self) -> None:
        self.log("val/mean_iou", _mean_iou(self.val_confusion), logger=False)

    def head_counts(self, split: str) -> dict[str, torch.Tensor]:
        """Confusion counts of every head but the first over the images of a split, counted anew from here on.

        Every process calls it, and all get the same.
        """
        found = {}
        for name, confusion in self.head_confusions[split].items():
            found[name] = confusion.compute()
            confusion.reset()
        return found

    def configure_optimizers(self) -> Any:
        plan = self.optimization
        carried = list(self.net.features.parameters()) if self.pretrained else []
        optimizer = make_optimizer(plan, self.net, carried)
        self._rates = [float(group["lr"]) for group in optimizer.param_groups]
        warmup = plan.warmup or 0.0
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_at(plan.policy, step, self.steps, warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _mean_iou(confusion: Any) -> torch.Tensor:
    counts = confusion.compute()
    truth, found, both = counts.sum(1), counts.sum(0), counts.diagonal()
    union = truth + found - both
    iou: torch.Tensor = both[union > 0] / union[union > 0]
    return iou.mean() if iou.numel() else torch.tensor(0.0)
