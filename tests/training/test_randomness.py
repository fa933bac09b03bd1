"""What a network draws in training is a function of seed, epoch, batch and process, and of nothing else."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.training.randomness import DrawnAnew

TELLING = """
import random
from pathlib import Path

import numpy as np
import torch
from torch import nn

class Telling(nn.Module):
    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training and torch.is_grad_enabled():
            rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
            with Path("{folder}", f"{{rank}}").open("a") as stream:
                stream.write(f"{{torch.rand(()).item()}} {{np.random.rand()}} {{random.random()}}\\n")
        return self.head(images)

def build(classes: int, channels: int) -> nn.Module:
    return Telling(classes, channels)
"""
"""Writes down a draw of every generator in every step, in a file of its process."""


def draws(seed: int, epoch: int, batch: int, rank: int) -> tuple[float, float, float]:
    DrawnAnew(seed, rank=rank).on_train_batch_start(SimpleNamespace(current_epoch=epoch), None, None, batch)  # type: ignore[arg-type]
    return torch.rand(()).item(), np.random.rand(), random.random()  # noqa: NPY002


def test_every_batch_of_every_process_draws_anew_and_always_the_same() -> None:
    places = [(seed, epoch, batch, rank) for seed in (0, 1) for epoch in (0, 1) for batch in (0, 1) for rank in (0, 1)]
    first = [draws(*place) for place in places]
    torch.rand(7)
    random.random()
    np.random.rand(3)  # noqa: NPY002
    assert [draws(*place) for place in places] == first
    for of_one_generator in zip(*first, strict=True):
        assert len(set(of_one_generator)) == len(places)


def test_two_processes_draw_differently_in_every_batch_also_of_one_step(
    dataset: Dataset, quick: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "told").mkdir()
    (tmp_path / "telling.py").write_text(TELLING.format(folder=tmp_path / "told"))
    network = {"network": f"{tmp_path / 'telling.py'}:build", "weights": "auto", "devices": 2}
    fc.train(dataset, quiet=True, **quick | network | {"epochs": 2, "optimization": {"accumulate": 2}})
    first, second = ((tmp_path / "told" / rank).read_text().splitlines() for rank in ("0", "1"))
    batches = 2 * -(-len(dataset.train) // quick["batch_size"])
    assert len(set(first[-batches:])) == len(set(second[-batches:])) == batches  # before them the file is tried out
    assert not set(first[-batches:]) & set(second[-batches:])
