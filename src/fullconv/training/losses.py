"""Losses of scores against labels: per pixel (cross-entropy, focal) and per region (Dice, Lovász)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from fullconv.training.distribution.gathering import rows_of_all


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
    scores: torch.Tensor,
    labels: torch.Tensor,
    *,
    ignore: int,
    weight: torch.Tensor | None = None,
    stride: int = 1,
    across: bool = False,
) -> torch.Tensor:
    """The Lovász extension of 1 − IoU on softmax probabilities, mean over the classes that the batch holds.

    Source: Berman, Rannen Triki, Blaschko 2018, section 3, equations 8, 9 and 11.

    Args:
        scores, labels, ignore, weight: see `dice_loss`.
        stride: only every so many pixels down and across are read, from the middle of each block: all pixels of every
            class are sorted, which takes several times as long as a small network.
        across: of the batches of all processes together, which all call it; each gets the same.

    >>> scores = torch.tensor([[[[9.0, -9.0]], [[-9.0, 9.0]]]])
    >>> round(lovasz_softmax(scores, torch.tensor([[[0, 1]]]), ignore=255).item(), 4)
    0.0
    """
    rows, columns = (slice((step - 1) // 2, None, step) for step in (min(stride, size) for size in labels.shape[-2:]))
    pixels, ids = _rows(scores[..., rows, columns], labels[..., rows, columns], ignore)
    probabilities = pixels.softmax(1)
    if across:
        probabilities, ids = rows_of_all(probabilities), rows_of_all(ids[:, None] + 1)[:, 0] - 1  # -1: of nobody
    classes = scores.shape[1]
    there = (ids + 1).bincount(minlength=classes + 1)[1:] > 0
    present = torch.arange(classes, device=ids.device)[there]  # what is not there would be sorted for nothing
    truth = (ids[:, None] == present).to(probabilities.dtype)
    errors, order = (truth - probabilities[:, present]).abs().sort(dim=0, descending=True)
    with torch.no_grad():
        found = truth.gather(0, order).cumsum(0)
        total = truth.sum(0)
        intersection = total - found
        union = total + torch.arange(1, len(found) + 1, dtype=found.dtype, device=found.device)[:, None] - found
        jaccard = 1 - intersection / union.clamp_min(1)
        steps = torch.diff(jaccard, dim=0, prepend=jaccard.new_zeros(1, jaccard.shape[1]))
    return _mean_of_classes((errors * steps).sum(0), total > 0, None if weight is None else weight[present])


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


def _wide(scores: torch.Tensor) -> torch.Tensor:
    """Losses are summed in float32 at least."""
    return (scores if scores.dtype == torch.float64 else scores.float()).contiguous()


def _rows(scores: torch.Tensor, labels: torch.Tensor, ignore: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and class ids of the pixels that count: (pixels, classes) and (pixels,)."""
    counted = labels != ignore
    return _wide(scores).permute(0, 2, 3, 1)[counted], labels[counted].long()


def _counted(scores: torch.Tensor, labels: torch.Tensor, ignore: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and one-hot truth of the pixels that count, (pixels, classes)."""
    rows, ids = _rows(scores, labels, ignore)
    return rows.softmax(1), F.one_hot(ids, scores.shape[1]).to(rows.dtype)


def _mean_of_classes(losses: torch.Tensor, present: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    factors = present.to(losses.dtype) if weight is None else present * weight.to(losses.dtype)
    return (losses * factors).sum() / factors.sum().clamp_min(1e-12)
