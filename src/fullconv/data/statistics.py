"""What a dataset holds, in numbers: pixels per class, sizes, channels, the commonest class, the ceiling of a stride."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from fullconv.data.channels import fit_channels

if TYPE_CHECKING:
    from fullconv.data.inspection import Inspection

STRIDES = (32, 16, 8, 4)
"""Output strides whose ceiling is measured."""


class SplitStatistics(BaseModel):
    """One split: images and pixels, per class by name in class order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    pixels: dict[str, int]
    images_with: dict[str, int]
    ignored_pixels: int

    @classmethod
    def of(cls, pixels: npt.NDArray[np.int64], ignored: int, names: Sequence[str]) -> SplitStatistics:
        """From (images, classes) pixel counts, and how many pixels are ignored."""
        return cls(
            images=len(pixels),
            pixels=dict(zip(names, pixels.sum(axis=0).tolist(), strict=True)),
            images_with=dict(zip(names, (pixels > 0).sum(axis=0).tolist(), strict=True)),
            ignored_pixels=ignored,
        )


class Commonest(BaseModel):
    """What always saying the commonest class scores on the whole set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    pixel_accuracy: float
    mean_iou: float


class Statistics(BaseModel):
    """A dataset in numbers.

    Args:
        splits: "train", "val", "test" → counts.
        sizes: (height, width, images), most frequent first.
        channel_mean, channel_std: per channel over the training images; uint8 divided by 255, uint16 by 65535,
            float as it is.
        commonest: the baseline that any model must pass.
        stride_ceiling: stride → mean IoU of the labels themselves after down- and upsampling by it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    splits: dict[str, SplitStatistics]
    sizes: tuple[tuple[int, int, int], ...]
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]
    commonest: Commonest | None
    stride_ceiling: dict[int, float]

    @property
    def images(self) -> int:
        """Images in all splits together."""
        return sum(split.images for split in self.splits.values())

    def pixels(self, split: str | None = None) -> npt.NDArray[np.int64]:
        """(classes,) pixel counts of one split, or of all.

        >>> counts = SplitStatistics(images=1, pixels={"road": 3, "sky": 1}, images_with={"road": 1, "sky": 1},
        ...                          ignored_pixels=0)
        >>> Statistics(splits={"train": counts}, sizes=(), channel_mean=(), channel_std=(), commonest=None,
        ...            stride_ceiling={}).pixels()
        array([3, 1])
        """
        chosen = [self.splits[split]] if split else list(self.splits.values())
        counts = np.array([list(found.pixels.values()) for found in chosen], dtype=np.int64)
        return np.asarray(counts.sum(axis=0))


def mean_iou(
    intersection: npt.NDArray[np.integer], truth: npt.NDArray[np.integer], predicted: npt.NDArray[np.integer]
) -> float:
    """Mean intersection over union from per-class counts (K,); classes that neither side has are left out.

    >>> mean_iou(np.array([1, 0]), np.array([2, 0]), np.array([1, 0]))
    0.5
    """
    union = truth + predicted - intersection
    present = union > 0
    return float((intersection[present] / union[present]).mean()) if present.any() else float("nan")


def commonest_baseline(pixels: npt.NDArray[np.integer], names: Sequence[str]) -> Commonest | None:
    """Pixel accuracy and mean IoU of always saying the commonest class.

    Args:
        pixels: (K,) pixel counts.
        names: the K class names.

    Returns:
        None where no pixel is labelled.

    >>> commonest_baseline(np.array([60, 40, 0]), ["road", "sky", "car"])
    Commonest(name='road', pixel_accuracy=0.6, mean_iou=0.3)
    """
    total = int(pixels.sum())
    if total == 0:
        return None
    best = int(pixels.argmax())
    intersection = np.zeros_like(pixels)
    intersection[best] = pixels[best]
    predicted = np.zeros_like(pixels)
    predicted[best] = total
    return Commonest(
        name=names[best],
        pixel_accuracy=float(pixels[best] / total),
        mean_iou=mean_iou(intersection, pixels, predicted),
    )


def summarize(
    inspections: Sequence[Inspection], splits: Sequence[str], names: Sequence[str], *, channels: int
) -> Statistics:
    """Add up what was counted image by image.

    Args:
        inspections: one per sample, all of them usable.
        splits: the split of each.
        names: class names in class order.
        channels: what the images are brought to.
    """
    by_split: dict[str, SplitStatistics] = {}
    for split in dict.fromkeys(sorted(splits, key=_split_order)):
        chosen = [found for found, own in zip(inspections, splits, strict=True) if own == split]
        pixels = np.array([found.class_pixels for found in chosen])
        by_split[split] = SplitStatistics.of(pixels, sum(found.ignored_pixels for found in chosen), names)
    sizes = Counter(found.size for found in inspections if found.size is not None)
    training = [found for found, own in zip(inspections, splits, strict=True) if own == "train"] or list(inspections)
    mean, std = _channel_moments(training, channels)
    total = np.sum([found.class_pixels for found in inspections], axis=0)
    ceiling = np.sum([found.ceiling for found in inspections], axis=0)
    return Statistics(
        splits=by_split,
        sizes=tuple((height, width, count) for (height, width), count in sizes.most_common()),
        channel_mean=mean,
        channel_std=std,
        commonest=commonest_baseline(total, names),
        stride_ceiling={
            stride: round(mean_iou(counts[0], counts[1], counts[2]), 6)
            for stride, counts in zip(STRIDES, ceiling, strict=True)
            if counts[1].any()
        },
    )


def _channel_moments(inspections: Sequence[Inspection], channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    sums = np.sum([fit_channels(found.channel_sums, channels) for found in inspections], axis=0)
    count = np.maximum(sums[0], 1)
    mean = sums[1] / count
    std = np.sqrt(np.maximum(sums[2] / count - mean**2, 0))
    return _significant(mean), _significant(std)


def _significant(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Six significant digits: reflectances or radiances may be as small as they like."""
    return tuple(float(f"{value:.6g}") for value in values)


def _split_order(split: str) -> int:
    order = ("train", "val", "test")
    return order.index(split) if split in order else len(order)
