"""The confusion matrix of a whole set, collected batch by batch on any number of processes."""

from __future__ import annotations

from typing import Any

import torch
from torchmetrics import Metric

from fullconv.evaluation.counting import count_confusion

__all__ = ["ConfusionMatrix", "count_confusion"]


class ConfusionMatrix(Metric):
    """Confusion counts summed over batches and, in distributed runs, over processes.

    Args:
        classes: how many classes there are.
        ignore: the truth value that counts nowhere.

    `update` takes predicted labels (..., H, W) or scores (N, classes, H, W), and true labels (..., H, W); `compute`
    gives the (classes, classes) int64 counts, row = truth, column = prediction.

    >>> matrix = ConfusionMatrix(classes=2)
    >>> matrix.update(torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 0, 255]]]))
    >>> matrix.compute()
    tensor([[1, 1],
            [0, 0]])
    """

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False
    counts: torch.Tensor

    def __init__(self, *, classes: int, ignore: int = 255, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = classes
        self.ignore = ignore
        self.add_state("counts", default=torch.zeros(classes, classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: torch.Tensor, truth: torch.Tensor) -> None:
        """Add one batch.

        Args:
            prediction: integer labels of the shape of `truth`, or floating-point scores with classes in dimension 1.
            truth: integer labels.

        Raises:
            DataError: the shapes differ, or a counted pixel holds a value that is no class.
        """
        if prediction.is_floating_point():
            prediction = prediction.max(1).indices
        self.counts += count_confusion(truth, prediction, self.classes, self.ignore)

    def compute(self) -> torch.Tensor:
        """(classes, classes) int64."""
        return self.counts.clone()
