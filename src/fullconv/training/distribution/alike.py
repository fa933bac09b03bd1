"""What keeps the copies of a network in several processes alike, beyond their gradients."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from fullconv.training.distribution.processes import Processes, sum_over


class KeptAlike(Callback):
    """Batch norm's running statistics are their mean over all processes after every step.

    On GPUs synchronised batch norm has equal statistics already, frozen batch norm everywhere.

    Args:
        processes: how many, and which this is.
    """

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, *rest: Any) -> None:
        average_statistics(task.net, self.processes.count)


def average_statistics(net: nn.Module, count: int) -> None:
    """Set the running statistics of batch norm in training mode to their mean over `count` processes."""
    statistics = [
        buffer
        for module in net.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and not isinstance(module, nn.SyncBatchNorm)
        and module.training
        for buffer in (module.running_mean, module.running_var)
        if buffer is not None
    ]
    if not statistics:
        return
    means = sum_over(torch.cat(statistics)) / count
    for buffer, mean in zip(statistics, torch.split(means, [buffer.numel() for buffer in statistics]), strict=True):
        buffer.copy_(mean)
