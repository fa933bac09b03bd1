"""Losses of scores against labels: per pixel (cross-entropy, focal) and per region (Dice, Lovász)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from fullconv.errors import PlanError


def pixel_cross_entropy(
    scores: torch.Tensor, labels: torch.Tensor, *, ignore: int, smoothing: float = 0.0
) -> torch.Tensor:
    """Negative log-likelihood per pixel, 0 where ignored.

    Args:
        scores: (N, classes, H, W) floating point.
        labels: (N, H, W) integer class ids.
        ignore: the id that counts nowhere.
        smoothing: share of the truth that is spread evenly over all classes (Szegedy et al. 2016, section 7).

    Returns:
        (N, H, W) float32, or float64 for such scores.

    >>> scores = torch.zeros(1, 4, 1, 2)
    >>> pixel_cross_entropy(scores, torch.tensor([[[1, 255]]]), ignore=255)
    tensor([[[1.3863, 0.0000]]])
    """
    return F.cross_entropy(
        _wide(scores), labels.long(), ignore_index=ignore, reduction="none", label_smoothing=smoothing
    )


def pixel_focal(scores: torch.Tensor, labels: torch.Tensor, *, ignore: int, gamma: float = 2.0) -> torch.Tensor:
    """Cross-entropy times (1 − probability of the truth)^gamma per pixel: what is right already counts little.

    Source: Lin et al. 2017, Focal Loss, section 3.

    >>> scores = torch.zeros(1, 4, 1, 2)
    >>> pixel_focal(scores, torch.tensor([[[1, 255]]]), ignore=255)  # 0.75² · ln 4
    tensor([[[0.7798, 0.0000]]])
    """
    plain = pixel_cross_entropy(scores, labels, ignore=ignore)
    wrong = -torch.expm1(-plain)
    # The gradient of wrong^gamma has no bound at 0 for gamma < 1.
    return torch.where(wrong > 0, wrong.clamp_min(1e-12) ** gamma * plain, torch.zeros_like(plain))


def dice_loss(
    scores: torch.Tensor, labels: torch.Tensor, *, ignore: int, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """1 − soft Dice coefficient, mean over the classes that the batch holds; 0 where nothing counts.

    Source: Milletari et al. 2016, V-Net, section 3, with the sums over the batch.

    Args:
        scores: (N, classes, H, W) floating point.
        labels: (N, H, W) integer class ids.
        ignore: the id that counts nowhere.
        weight: (classes,) factors for the mean.

    >>> scores = torch.tensor([[[[9.0, -9.0]], [[-9.0, 9.0]]]])
    >>> round(dice_loss(scores, torch.tensor([[[0, 1]]]), ignore=255).item(), 4)
    0.0
    """
    probabilities, truth = _counted(scores, labels, ignore)
    both = (probabilities * truth).sum(0)
    sums = probabilities.sum(0) + truth.sum(0)
    return _mean_of_classes(1 - 2 * both / sums.clamp_min(1e-6), truth.sum(0) > 0, weight)


def lovasz_softmax(
    scores: torch.Tensor, labels: torch.Tensor, *, ignore: int, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """The Lovász extension of 1 − IoU on softmax probabilities, mean over the classes that the batch holds.

    Source: Berman, Rannen Triki, Blaschko 2018, section 3, equations 8, 9 and 11.

    >>> scores = torch.tensor([[[[9.0, -9.0]], [[-9.0, 9.0]]]])
    >>> round(lovasz_softmax(scores, torch.tensor([[[0, 1]]]), ignore=255).item(), 4)
    0.0
    """
    probabilities, truth = _counted(scores, labels, ignore)
    errors, order = (truth - probabilities).abs().sort(dim=0, descending=True)
    ordered = truth.gather(0, order)
    total = ordered.sum(0)
    intersection = total - ordered.cumsum(0)
    union = total + (1 - ordered).cumsum(0)
    jaccard = 1 - intersection / union.clamp_min(1)
    steps = torch.diff(jaccard, dim=0, prepend=jaccard.new_zeros(1, jaccard.shape[1]))
    return _mean_of_classes((errors * steps).sum(0), total > 0, weight)


def near_boundary(labels: torch.Tensor, *, width: int, ignore: int) -> torch.Tensor:
    """Pixels within `width` of a pixel of another class: (N, H, W), bool; ignored pixels make no boundary.

    >>> near_boundary(torch.tensor([[[0, 0, 0, 1, 1]]]), width=1, ignore=255)
    tensor([[[False, False,  True,  True, False]]])
    """
    values = labels.float().unsqueeze(1)
    none = values == ignore
    size = 2 * width + 1
    highest = F.max_pool2d(values.masked_fill(none, -1.0), size, 1, width)
    lowest = -F.max_pool2d((-values).masked_fill(none, float("-inf")), size, 1, width)
    return ((highest > lowest) & ~none).squeeze(1)


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
    counted = labels != ignore
    factors = counted.float() if weight is None else weight[labels.long().masked_fill(~counted, 0)] * counted
    total = (pixel_cross_entropy(scores, labels, ignore=ignore) * factors).sum()
    return total / factors.sum().clamp_min(torch.finfo(factors.dtype).tiny)


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


def _wide(scores: torch.Tensor) -> torch.Tensor:
    """Losses are summed in float32 at least."""
    return (scores if scores.dtype == torch.float64 else scores.float()).contiguous()


def _counted(scores: torch.Tensor, labels: torch.Tensor, ignore: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and one-hot truth of the pixels that count, (pixels, classes)."""
    counted = labels != ignore
    rows = _wide(scores).permute(0, 2, 3, 1)[counted]
    return rows.softmax(1), F.one_hot(labels[counted].long(), scores.shape[1]).to(rows.dtype)


def _mean_of_classes(losses: torch.Tensor, present: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    factors = present.to(losses.dtype) if weight is None else present * weight.to(losses.dtype)
    return (losses * factors).sum() / factors.sum().clamp_min(1e-12)
