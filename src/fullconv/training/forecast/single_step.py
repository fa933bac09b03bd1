"""One training step by itself: what the fitting does with a batch, without its loop."""

from __future__ import annotations

import torch
from torch import nn

from fullconv.data.samples import Batch
from fullconv.networks.checkpointing import set_checkpointing
from fullconv.networks.normalization import Normalization
from fullconv.networks.reference import AnyFCN
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.heads import AnyObjective
from fullconv.training.objective import Objective
from fullconv.training.settings.experiment import Plan
from fullconv.training.task import SegmentationTask


class SingleStep:
    """Forward, backward and optimiser step on one batch, in the order in which the trainer does them.

    Args:
        net: laid out channels-last; trained in place.
        plan: gives loss, regime, optimiser, precision and checkpointing.
        grid: of the network's scores.
        channels: bands of the images.
        classes: how many.
        ignore: the label that counts nowhere.
        pretrained: whether the backbone was transferred, and trains as `optimization.backbone` says.
    """

    def __init__(
        self,
        net: AnyFCN,
        plan: Plan,
        grid: ScoreGrid,
        *,
        channels: int,
        classes: int,
        ignore: int = 255,
        pretrained: bool = False,
        objective: AnyObjective | None = None,
    ) -> None:
        self.plan = plan
        set_checkpointing(net, plan.checkpointing)
        self.task = SegmentationTask(
            net,
            Normalization(scale=255.0, mean=(0.5,) * channels, std=(0.25,) * channels),
            objective
            or Objective(plan.loss, plan.regime, grid, classes=classes, ignore=ignore, weights=torch.ones(classes)),
            classes=classes,
            optimization=plan.optimization,
            steps=1000,
            pretrained=pretrained,
        )
        self.task.train()
        self.optimizer: torch.optim.Optimizer = self.task.configure_optimizers()["optimizer"]

    def forward(self, batch: Batch) -> torch.Tensor:
        """The loss of a batch; its scores are counted as every few steps of a run."""
        task = self.task
        with self._autocast():
            reading = task.objective(task.net, task.network_input(batch), batch.labels, batch.seeds)
            task.train_confusion.update(reading.scores.detach().contiguous(), reading.labels)
            loss: torch.Tensor = reading.part.loss
        return loss

    def update(self, loss: torch.Tensor) -> None:
        """Gradients of the loss, and one step of the optimiser."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.plan.optimization.clip is not None:
            nn.utils.clip_grad_norm_(self.task.net.parameters(), self.plan.optimization.clip)
        self.optimizer.step()

    def train(self, batch: Batch) -> None:
        """The whole step."""
        self.update(self.forward(batch))

    def validate(self, batch: Batch) -> None:
        """What validation does with a batch."""
        task = self.task.eval()
        with torch.no_grad(), self._autocast():
            scores = task.net(task.network_input(batch))
            task.objective.part(scores, batch.labels)  # the same steps for every batch size, and no less memory
            first = scores[0] if isinstance(scores, tuple) else scores
            task.val_confusion.update(first.contiguous(), batch.labels)
        task.train()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.plan.device, dtype=torch.bfloat16, enabled=self.plan.precision == "bf16")


def blank_batch(
    count: int, size: tuple[int, int], *, channels: int, dtype: str = "uint8", colors: bool = True, device: str = "cpu"
) -> Batch:
    """A batch of empty images and labels, of which only the size matters.

    >>> blank_batch(2, (4, 6), channels=3).images.shape
    torch.Size([2, 3, 4, 6])
    """
    images = torch.zeros(count, channels, *size, dtype=getattr(torch, dtype), device=device)
    labels = torch.zeros(count, *size, dtype=torch.uint8, device=device)
    change = torch.zeros(count, channels, channels + 1, device=device) if colors else None
    return Batch(images, labels, change, torch.arange(count), torch.arange(count))
