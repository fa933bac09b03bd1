"""Rows of all processes together, with gradient."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def rows_of_all(rows: torch.Tensor) -> torch.Tensor:
    """The rows of all processes one below the other, which all call it; rows of zeros fill up what some have less.

    PyTorch's own differentiable gathering is deprecated or private, by release.

    Args:
        rows: (rows here, columns).

    Returns:
        (processes × the most rows of one, columns); the gradient of a process's rows is the sum of what all send back.

    >>> rows_of_all(torch.ones(2, 3)).shape  # one process
    torch.Size([2, 3])
    """
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    gathered: torch.Tensor = _Rows.apply(rows)
    return gathered


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        ctx.own = len(rows)
        most = torch.tensor(len(rows), device=rows.device)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        filled = rows.new_zeros(int(most), rows.shape[1])
        filled[: len(rows)] = rows
        parts = [torch.empty_like(filled) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, filled)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        begin = dist.get_rank() * (len(total) // dist.get_world_size())
        return total[begin : begin + ctx.own]
