"""Per-pixel cross-entropy with ignored pixels and class weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from fullconv.errors import PlanError


def cross_entropy(
    scores: torch.Tensor, labels: torch.Tensor, *, ignore: int, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean negative log-likelihood over the pixels that count; 0 where none does.

    Args:
        scores: (N, classes, H, W) floating point.
        labels: (N, H, W) integer class ids.
        ignore: the id that counts nowhere.
        weight: (classes,) factor per true class; the mean is then weighted.

    >>> scores = torch.zeros(1, 4, 1, 2)
    >>> round(cross_entropy(scores, torch.tensor([[[1, 255]]]), ignore=255).item(), 4)
    1.3863
    >>> cross_entropy(scores, torch.tensor([[[255, 255]]]), ignore=255).item()
    0.0
    """
    target = labels.long()
    if not bool((labels != ignore).any()):
        return scores.sum() * 0.0
    # torch divides the weighted sum by the weights of the pixels that count.
    return F.cross_entropy(scores.float().contiguous(), target, weight=weight, ignore_index=ignore)


def cross_entropy_of_heads(
    scores: Sequence[torch.Tensor],
    labels: Sequence[torch.Tensor],
    *,
    ignore: Sequence[int],
    weights: Sequence[torch.Tensor | None] | None = None,
) -> torch.Tensor:
    """One cross-entropy per head, summed; each is a mean over the pixels that count for that head.

    For networks with several heads (`networks.several_heads`), such as semantic and geometric classes.

    Args:
        scores: per head (N, classes, H, W) floating point.
        labels: per head (N, H, W) integer class ids.
        ignore: per head the id that counts nowhere.
        weights: per head (classes,) factors per true class, or None; None for no weights at all.

    Raises:
        PlanError: labels, ignored ids or weights are not given for every head.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 5 (SIFT Flow).

    >>> scores = torch.zeros(1, 4, 1, 2), torch.zeros(1, 2, 1, 2)
    >>> labels = torch.tensor([[[1, 255]]]), torch.tensor([[[0, 1]]])
    >>> round(cross_entropy_of_heads(scores, labels, ignore=(255, 255)).item(), 4)
    2.0794
    """
    per_head = [None] * len(scores) if weights is None else weights
    for what, given in (("labels", labels), ("ignored ids", ignore), ("class weights", per_head)):
        if len(given) != len(scores):
            raise PlanError(f"{len(given)} {what} for {len(scores)} heads", remedy="give one for every head")
    heads = zip(scores, labels, ignore, per_head, strict=True)
    losses = [cross_entropy(found, truth, ignore=other, weight=weight) for found, truth, other, weight in heads]
    return torch.stack(losses).sum()


def inverse_log_weights(pixels: Sequence[int], *, offset: float = 1.02) -> torch.Tensor:
    """Class weights 1 / ln(offset + share), scaled so that their mean over the pixels is 1.

    Rare classes weigh more, bounded by 1 / ln(offset). (Paszke et al. 2016, ENet, section 5.3.)

    Args:
        pixels: training pixels of every class.

    >>> inverse_log_weights([90, 10]).numpy().round(2)
    array([0.68, 3.9 ], dtype=float32)
    """
    counts = np.asarray(pixels, dtype=np.float64)
    shares = counts / max(1.0, counts.sum())
    weights = 1 / np.log(offset + shares)
    return torch.tensor(weights / (weights * shares).sum(), dtype=torch.float32)
