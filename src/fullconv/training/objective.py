"""The number that training makes small: which loss, where it is read, what is left out, what it is divided by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from fullconv.networks.score_grid import CellScores, ScoreGrid
from fullconv.training.loss_sampling import (
    block_means,
    kept_at_random,
    kept_hardest,
    over_pixels,
)
from fullconv.training.losses import dice_loss, lovasz_softmax, near_boundary, pixel_cross_entropy, pixel_focal
from fullconv.training.settings.loss_settings import Loss
from fullconv.training.settings.regimes import AnyRegime, LossSampling

REGIONAL = ("dice", "lovasz")


@dataclass(frozen=True)
class Part:
    """A loss before it is divided: over several processes, totals and counts are summed apart.

    Args:
        total: scalar with gradient, or one per head.
        count: what it is divided by.
    """

    total: torch.Tensor
    count: torch.Tensor

    @property
    def loss(self) -> torch.Tensor:
        """0 where nothing counts; of several heads the sum."""
        return (self.total / self.count.clamp_min(torch.finfo(self.count.dtype).tiny)).sum()


@dataclass(frozen=True)
class Reading:
    """What the loss of a batch was read from.

    Args:
        scores: (N, classes, h, w), at the pixels or at the cells.
        labels: (N, h, w), of the same pixels or cells.
        part: the loss, of those that were kept.
        further: the same of further heads; `part` has their losses too.
    """

    scores: torch.Tensor
    labels: torch.Tensor
    part: Part
    further: tuple[Reading, ...] = ()


def scored(net: nn.Module, images: torch.Tensor, regime: AnyRegime) -> Any:
    """What a network yields where the regime reads the loss: at the pixels, or at the cells of the score grid."""
    return net(images) if regime.loss_at == "pixels" else CellScores(net)(images)


class Objective(nn.Module):
    """The loss of a network on a batch, by a plan's loss and regime.

    Args:
        loss: terms and reduction.
        regime: where the loss is read and what is left out.
        grid: of the network's scores.
        classes: how many.
        ignore: the label that counts nowhere.
        weights: (classes,) factors: of the loss, or of how often a class is kept where sampling is class-balanced.

    With `across` set, a training batch is the batch of all processes together, which all read it at the same time.

    Source: Long, Shelhamer, Darrell, CVPR 2015, sections 3.4 and 4.4.
    """

    def __init__(
        self,
        loss: Loss,
        regime: AnyRegime,
        grid: ScoreGrid,
        *,
        classes: int,
        ignore: int,
        weights: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.parts = 1
        self.across = False
        self.classes = classes
        self.regime = regime
        self.grid = grid
        self.ignore = ignore
        self.keep = regime.keep if isinstance(regime, LossSampling) else 1.0
        table = torch.zeros(ignore + 1)
        table[:classes] = 1.0 if weights is None else weights
        balanced = isinstance(regime, LossSampling) and regime.how == "class-balanced"
        self.register_buffer("sampled", table.clone() if balanced else None, persistent=False)
        if balanced:
            table[:classes] = 1.0
        self.register_buffer("factors", table, persistent=False)

    def forward(
        self, net: nn.Module, images: torch.Tensor, labels: torch.Tensor, seeds: torch.Tensor | None = None
    ) -> Reading:
        """Score a training batch and read its loss.

        Args:
            net: (N, C, H, W) → (N, classes, H, W).
            images: (N, C, H, W), normalised.
            labels: (N, H, W) class ids.
            seeds: (N,) int64, one per image: what loss sampling keeps of the image is a function of it.
        """
        return self.reading(scored(net, images, self.regime), labels, _size(images), seeds)

    def reading(
        self, scores: torch.Tensor, labels: torch.Tensor, image: tuple[int, int], seeds: torch.Tensor | None
    ) -> Reading:
        """The loss of a training batch from its scores.

        Args:
            scores: (N, classes, h, w), where the regime reads the loss (see `scored`).
            labels: (N, H, W) class ids.
            image: (H, W).
            seeds: (N,), or None.
        """
        labels = labels.int() if labels.dtype == torch.uint16 else labels  # torch masks nothing of uint16
        near, truth = self._near(labels), labels
        if self.regime.loss_at != "pixels":
            truth = self.grid.labels(labels, _size(scores), ignore=self.ignore)
            near = None if near is None else self.grid.labels(near.int(), _size(scores), ignore=0).bool()
        kept = self._kept(scores, truth, image, seeds)
        used = truth if kept is None else truth.masked_fill(kept == 0, self.ignore)
        more = kept if kept is not None and kept.is_floating_point() else None
        cells = self.regime.loss_at != "pixels"
        part = self.part(scores, used, near=near, more=more, cells=cells, across=self.across)
        return Reading(scores, truth, part)

    def part(
        self,
        scores: torch.Tensor,
        labels: torch.Tensor,
        *,
        near: torch.Tensor | None = None,
        more: torch.Tensor | None = None,
        keep: float | None = None,
        cells: bool = False,
        across: bool = False,
        single: bool = False,
    ) -> Part:
        """The loss of what is not ignored.

        Args:
            scores: (N, classes, h, w).
            labels: (N, h, w).
            near: (N, h, w), bool: what is near a boundary; as the labels tell if not given.
            more: (N, h, w), factors of what was kept that belong to no class, in losses per pixel; 1 if not given.
            keep: share of the labels that were kept; that of the regime if not given, 1 where none was left out.
            cells: whether these are the cells of the score grid, of which Lovász loss leaves none out.
            across: whether all processes read their shares of one batch, and Lovász loss is that of the whole.
            single: whether Dice and Lovász loss are those of each image, averaged by what counts: then the parts of any
                two sets of images add up to that of both.
        """
        wide = torch.float64 if scores.dtype == torch.float64 else torch.float32
        factors = self._table("factors")[labels.long()].to(wide)
        near = self._near(labels) if near is None else near
        if self.loss.boundary is not None and near is not None:
            factors = factors * (1 + self.loss.boundary.weight * near)
        if more is not None:
            factors = factors * more
        if self.loss.denominator == "weights":
            counts = factors
        elif self.loss.denominator == "pixels":
            counts = (labels != self.ignore).to(wide)
        else:
            counts = torch.full_like(factors, self.keep if keep is None else keep)
        total = factors.new_zeros(())
        for name, share in self.loss.terms.items():
            if name in REGIONAL:
                regional = self._regional(name, cells=cells, across=across)
                sets = zip(
                    *(batch.chunk(len(labels) if single else 1) for batch in (scores, labels, counts)), strict=True
                )
                value = sum((regional(*pair) * count.sum() for *pair, count in sets), factors.new_zeros(()))
            else:
                value = (self._per_pixel(name)(scores, labels, ignore=self.ignore) * factors).sum()
            total = total + share * value
        count = counts.sum()
        return Part(total, count if self.loss.reduction == "mean" else torch.ones_like(count))

    def _near(self, labels: torch.Tensor) -> torch.Tensor | None:
        """Pixels near a boundary, told before anything is left out; None where they weigh no more."""
        if self.loss.boundary is None:
            return None
        return near_boundary(labels, width=self.loss.boundary.width, ignore=self.ignore)

    def _regional(self, name: str, *, cells: bool, across: bool):  # type: ignore[no-untyped-def]
        weight = self._table("factors")[: self.classes]
        if name == "dice":
            return partial(dice_loss, ignore=self.ignore, weight=weight)
        stride = 1 if cells else self.loss.lovasz_stride
        return partial(lovasz_softmax, ignore=self.ignore, weight=weight, stride=stride, across=across)

    def _per_pixel(self, name: str):  # type: ignore[no-untyped-def]
        if name == "focal":
            return partial(pixel_focal, gamma=self.loss.focal_gamma)
        return partial(pixel_cross_entropy, smoothing=self.loss.label_smoothing)

    def _kept(
        self, scores: torch.Tensor, truth: torch.Tensor, image: tuple[int, int], seeds: torch.Tensor | None
    ) -> torch.Tensor | None:
        """What of the truth the loss is read from: None for all, a mask, or factors that are 0 for what is left out."""
        size = _size(truth)
        if isinstance(self.regime, LossSampling):
            return self._sample(scores, truth, seeds)
        if self.regime.loss_at == "inside":
            return self.grid.inside(size, image).to(truth.device).expand_as(truth)
        if self.regime.loss_at == "center":
            row, col = self.grid.middle(size, image)
            kept = torch.zeros_like(truth, dtype=torch.bool)
            kept[:, row, col] = True
            return kept
        return None

    def _sample(self, scores: torch.Tensor, truth: torch.Tensor, seeds: torch.Tensor | None) -> torch.Tensor:
        assert isinstance(self.regime, LossSampling)
        at_pixels = self.regime.loss_at == "pixels"
        stride = (round(self.grid.rows.stride), round(self.grid.cols.stride)) if at_pixels else (1, 1)
        wide = torch.float64 if scores.dtype == torch.float64 else torch.float32
        counted = block_means((truth != self.ignore).to(wide), stride)
        smallest = torch.finfo(wide).tiny
        if self.regime.how == "hardest":
            with torch.no_grad():
                plain = pixel_cross_entropy(scores, truth, ignore=self.ignore).to(wide)
                means = block_means(plain, stride) / counted.clamp_min(smallest)
                kept = kept_hardest(means, counted > 0, self.keep)
        else:
            assert seeds is not None, "loss sampling draws by the seeds of the images"
            if self.regime.how == "uniform":
                return over_pixels(kept_at_random(torch.full_like(counted, self.keep), seeds), _size(truth), stride)
            # By all pixels that count: any of them may be the middle one.
            often = block_means(self._table("sampled")[truth.long()].to(wide), stride)
            often = self.keep * often / counted.clamp_min(smallest)
            # Nothing is kept more often than always: what is left of its weight, it has in the loss.
            kept = kept_at_random(often.clamp_max(1), seeds) * often.clamp_min(1)
        return over_pixels(kept, _size(truth), stride)

    def _table(self, name: str) -> torch.Tensor:
        table: torch.Tensor = getattr(self, name)
        return table


def _size(maps: torch.Tensor) -> tuple[int, int]:
    return maps.shape[-2], maps.shape[-1]
