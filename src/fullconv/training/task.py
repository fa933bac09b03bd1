"""What one training step and one validation step do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import lightning
import torch
from torch import nn

from fullconv.data.samples import Batch
from fullconv.evaluation.confusion import ConfusionMatrix
from fullconv.networks.normalization import Normalization
from fullconv.networks.reference import AnyFCN
from fullconv.training.experiment import Optimization
from fullconv.training.losses import cross_entropy
from fullconv.training.schedule import one_cycle

COUNTED_EVERY = 4
"""Training scores are taken from every so many steps: they only show the way, and counting costs time."""


class SegmentationTask(lightning.LightningModule):
    """A network, its loss and its optimiser, as Lightning runs them.

    Args:
        net: (N, C, H, W) → (N, classes, H, W).
        normalization: pixel values → network input.
        classes: how many.
        ignore: the label that counts nowhere.
        optimization: rates and decay.
        steps: of the whole run; the schedule is frozen in steps.
        pretrained: whether the backbone was transferred and trains at the lower rate.
        class_weights: (classes,) or None.
    """

    def __init__(
        self,
        net: AnyFCN,
        normalization: Normalization,
        *,
        classes: int,
        ignore: int,
        optimization: Optimization,
        steps: int,
        pretrained: bool,
        class_weights: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.normalization = normalization
        self.ignore = ignore
        self.optimization = optimization
        self.steps = steps
        self.pretrained = pretrained
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.train_confusion = ConfusionMatrix(classes=classes, ignore=ignore)
        self.val_confusion = ConfusionMatrix(classes=classes, ignore=ignore)
        self.losses: dict[str, list[torch.Tensor]] = {"train": [], "val": []}

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

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        scores = self.net(self.network_input(batch))
        loss = cross_entropy(scores, batch.labels, ignore=self.ignore, weight=self._weights())
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"the loss became {loss.item()} in epoch {self.current_epoch}, step {index}")
        if index % COUNTED_EVERY == 0:
            self.train_confusion.update(scores.detach().contiguous(), batch.labels)
        self.losses["train"].append(loss.detach())
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        scores = self.net(self.network_input(batch))
        self.losses["val"].append(cross_entropy(scores, batch.labels, ignore=self.ignore, weight=self._weights()))
        self.val_confusion.update(scores.contiguous(), batch.labels)

    def on_validation_epoch_end(self) -> None:
        counts = self.val_confusion.compute()
        truth, found, both = counts.sum(1), counts.sum(0), counts.diagonal()
        union = truth + found - both
        iou = both[union > 0] / union[union > 0]
        self.log("val/mean_iou", iou.mean() if iou.numel() else torch.tensor(0.0))

    def _weights(self) -> torch.Tensor | None:
        weights: torch.Tensor | None = self.class_weights  # type: ignore[assignment]
        return weights

    def configure_optimizers(self) -> Any:
        plan = self.optimization
        rate = plan.pretrained_learning_rate if self.pretrained else plan.learning_rate
        known = list(self.net.features.parameters())
        carried = {id(parameter) for parameter in known}
        new = [parameter for parameter in self.net.parameters() if id(parameter) not in carried]
        groups = [
            *parameter_groups(known, rate, plan.weight_decay),
            *parameter_groups(new, plan.learning_rate, plan.weight_decay),
        ]
        optimizer = torch.optim.AdamW(groups, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, self.steps, plan.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def parameter_groups(
    parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float
) -> Iterable[dict[str, Any]]:
    """Weights that decay, and biases and normalisation parameters that do not; groups with nothing in them left out."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = (([p for p in trained if p.ndim > 1], weight_decay), ([p for p in trained if p.ndim <= 1], 0.0))
    return [{"params": found, "lr": learning_rate, "weight_decay": decay} for found, decay in groups if found]
