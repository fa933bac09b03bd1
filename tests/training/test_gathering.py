"""Lovász loss of a batch whose images lie in two processes, one of which may have nothing that counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from fullconv.training.losses import lovasz_softmax

CLASSES, IGNORE = 4, 255
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)


def batch(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Three images; two processes take the first one and the other two."""
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(3, CLASSES, 9, 7, generator=generator, dtype=torch.float64)
    labels = torch.randint(CLASSES - 1, (3, 9, 7), generator=generator)  # the last class occurs nowhere
    labels[1, :4] = IGNORE
    if kind == "one share is empty":
        labels[0] = IGNORE
    return scores, labels


def loss_of(scores: torch.Tensor, labels: torch.Tensor, *, across: bool) -> torch.Tensor:
    return lovasz_softmax(scores, labels, ignore=IGNORE, weight=WEIGHTS, stride=2, across=across)


def one_process(rank: int, folder: str, kind: str) -> None:
    """Each divides what it has of the loss as training does: by its share of what counts."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    scores, labels = batch(kind)
    mine = slice(0, 1) if rank == 0 else slice(1, 3)
    own = scores[mine].clone().requires_grad_()
    share = (labels[mine] != IGNORE).sum().double() / (labels != IGNORE).sum()
    loss = loss_of(own, labels[mine], across=True)
    (share * loss).backward()
    torch.save((loss.detach(), own.grad), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["both count", "one share is empty"])
def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path: Path, kind: str) -> None:
    mp.spawn(one_process, (str(tmp_path), kind), nprocs=2)
    scores, labels = batch(kind)
    scores.requires_grad_()
    loss = loss_of(scores, labels, across=False)
    loss.backward()
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for value, _ in found:
        torch.testing.assert_close(value, loss.detach(), atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(torch.cat([gradient for _, gradient in found]), scores.grad, atol=1e-12, rtol=1e-12)
    assert scores.grad is not None
    assert scores.grad.abs().sum() > 0
