"""What a network draws in training, such as dropout and stochastic depth: a function of seed, epoch, batch and process.

So a run that goes on from a checkpoint draws what it would have drawn, and no checkpoint has to hold a random state.
"""

from __future__ import annotations

import random
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback


class DrawnAnew(Callback):
    """Sets the generators of PyTorch, NumPy and Python before every batch; a network of one's own may use any of them.

    Batches that are accumulated to one step, and processes that share one, each have draws of their own. Activation
    checkpointing repeats those of the forward pass.

    Args:
        seed: of the run.
        rank: of this process.
    """

    def __init__(self, seed: int, *, rank: int = 0) -> None:
        self.seed = seed
        self.rank = rank

    def on_train_batch_start(self, trainer: lightning.Trainer, task: Any, batch: Any, batch_idx: int) -> None:
        state = state_of(self.seed, epoch=trainer.current_epoch, batch=batch_idx, rank=self.rank)
        torch.manual_seed(state)  # of all devices
        np.random.seed(state % 2**32)  # noqa: NPY002
        random.seed(state)


def state_of(seed: int, *, epoch: int, batch: int, rank: int = 0) -> int:
    """What the generators are set to: 64 bits.

    >>> state_of(0, epoch=2, batch=5) == state_of(0, epoch=2, batch=5)
    True
    >>> len({state_of(0, epoch=2, batch=batch, rank=rank) for batch in (0, 1) for rank in (0, 1)})
    4
    """
    return int(np.random.SeedSequence([seed, epoch, batch, rank]).generate_state(1, np.uint64)[0])
