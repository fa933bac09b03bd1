"""Which part of the loss is kept: cells of the score grid, or the blocks of pixels that belong to them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def kept_at_random(probabilities: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """Keep each cell with its probability; what is kept of an image is a function of its seed.

    Args:
        probabilities: (N, h, w) from 0 to 1.
        seeds: (N,) int64.

    Returns:
        (N, h, w), bool.

    >>> share = torch.full((1, 100, 100), 0.25)
    >>> kept = kept_at_random(share, torch.tensor([7]))
    >>> 0.23 < kept.float().mean() < 0.27, torch.equal(kept, kept_at_random(share, torch.tensor([7])))
    (tensor(True), True)
    """
    generator = torch.Generator()
    draws = [
        torch.rand(probabilities.shape[1:], generator=generator.manual_seed(seed)) for seed in seeds.cpu().tolist()
    ]
    return torch.stack(draws).to(probabilities.device) < probabilities


def kept_hardest(losses: torch.Tensor, counted: torch.Tensor, share: float) -> torch.Tensor:
    """Keep that share of the cells that count, those with the largest losses of the whole batch.

    Args:
        losses: (N, h, w).
        counted: (N, h, w), bool.
        share: above 0, at most 1; rounded up to whole cells.

    Source: Shrivastava et al. 2016, Online Hard Example Mining, section 4.

    >>> kept_hardest(torch.tensor([[[1.0, 4.0, 3.0, 9.0]]]), torch.tensor([[[True, True, True, False]]]), 0.5)
    tensor([[[False,  True,  True, False]]])
    """
    wanted = math.ceil(share * int(counted.sum()))
    kept = torch.zeros_like(counted).flatten()
    kept[losses.masked_fill(~counted, float("-inf")).flatten().topk(wanted).indices] = True
    return kept.view_as(counted) & counted


def blocks(size: tuple[int, int], stride: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of blocks of stride × stride pixels that cover an image; the last ones may hang over.

    >>> blocks((100, 64), (8, 8))
    (13, 8)
    """
    return -(-size[0] // stride[0]), -(-size[1] // stride[1])


def block_means(values: torch.Tensor, stride: tuple[int, int]) -> torch.Tensor:
    """The mean of every block: (N, H, W) → (N, rows, columns).

    >>> block_means(torch.tensor([[[1.0, 3.0, 7.0]]]), (2, 2))
    tensor([[[2., 7.]]])
    """
    pooled: torch.Tensor = F.avg_pool2d(values.unsqueeze(1), stride, ceil_mode=True, count_include_pad=False)
    return pooled.squeeze(1)


def over_pixels(kept: torch.Tensor, size: tuple[int, int], stride: tuple[int, int]) -> torch.Tensor:
    """What is kept by blocks, for every pixel: (N, rows, columns) → (N, H, W).

    >>> over_pixels(torch.tensor([[[True, False]]]), (1, 3), (2, 2))
    tensor([[[ True,  True, False]]])
    """
    wide = kept.repeat_interleave(stride[0], 1).repeat_interleave(stride[1], 2)
    return wide[:, : size[0], : size[1]]
