"""Samples for a data loader: random views for training, whole images for validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.utils.data import Dataset, Sampler

from fullconv.data.augmentation import (
    Augmentation,
    apply_view,
    draw_colors,
    draw_view,
    sample_generator,
    shifted,
    window_at,
)
from fullconv.data.cache import SampleSource, prepare
from fullconv.data.orders import Request
from fullconv.data.resizing import Resize, to_tensor


class SampleReader(Protocol):
    """Decoded samples by index: a prepared cache or the dataset itself."""

    def __len__(self) -> int: ...
    def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Image (H, W, C) and label (H, W)."""


class Batch(NamedTuple):
    """What the network's task receives.

    Args:
        images: (N, C, H, W) pixel values as in the file.
        labels: (N, H, W) class ids with ignore.
        colors: (N, C, C + 1) affine colour change, or None.
        indices: (N,) place of each sample in its dataset.
        seeds: (N,) int64, for what is drawn of a sample later on.
    """

    images: torch.Tensor
    labels: torch.Tensor
    colors: torch.Tensor | None
    indices: torch.Tensor
    seeds: torch.Tensor


class ResizedSamples:
    """Samples decoded and resized each time they are asked for; for sets too large to prepare on disk."""

    def __init__(self, source: SampleSource, resize: Resize) -> None:
        self.source = source
        self.resize = resize

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Image (H, W, C) and label (H, W)."""
        return prepare(self.source, index, self.resize)


class TrainingSamples(Dataset[Batch]):
    """Random views; what a request yields is a function of it and the seed, whenever it is asked for.

    Args:
        reader: decoded samples.
        crop: (height, width) of every view; None for whole images, each in its own size.
        plan: how views are drawn.
        fill: (C,) pixel value of padding.
        mean, std: (C,) of the colours in units of the pixel scale: what jitter is measured by.
        rgb: whether the bands are red, green and blue.
        ignore: label of padding.
        seed: of the whole run.
        around: what a request for a class is drawn around: one of its pixels, or one of its connected regions.
        target: the pixel (row, column) of a view where what it is drawn around comes to lie; its middle if not given.
        jitter: (rows, columns): views are shifted down and right by less than this; (1, 1) for not at all.
    """

    def __init__(
        self,
        reader: SampleReader,
        *,
        crop: tuple[int, int] | None,
        plan: Augmentation,
        fill: Sequence[float],
        mean: Sequence[float],
        std: Sequence[float],
        rgb: bool,
        ignore: int,
        seed: int,
        around: Literal["pixel", "region"] = "pixel",
        target: tuple[int, int] | None = None,
        jitter: tuple[int, int] = (1, 1),
    ) -> None:
        self.reader = reader
        self.crop = crop
        self.plan = plan
        self.fill = torch.tensor(list(fill))
        self.mean = np.array(mean)
        self.std = np.array(std)
        self.rgb = rgb
        self.ignore = ignore
        self.seed = seed
        self.around = around
        self.target = target
        self.jitter = jitter

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, request: Request) -> Batch:
        rng = sample_generator(self.seed, request.turn, request.image)
        image, label = self.reader.read(request.image)
        size = (label.shape[0], label.shape[1])
        crop = self.crop or size
        if request.corner is not None:
            view = window_at(request.corner, size, crop)
        else:
            center = None if request.aim is None else self._center(label, request.aim, rng)
            view = draw_view(self.plan, size, crop, rng, center=center, target=self.target)
        seen, truth = apply_view(view, to_tensor(image), torch.from_numpy(label), crop, self.fill, self.ignore)
        colors = torch.from_numpy(draw_colors(self.plan, self.mean, self.std, rng, rgb=self.rgb))
        if self.jitter != (1, 1):
            by = int(rng.integers(min(self.jitter[0], crop[0]))), int(rng.integers(min(self.jitter[1], crop[1])))
            seen, truth = shifted(seen, truth, by, self.fill, self.ignore)
        seed = int(rng.integers(2**62))
        return Batch(seen, truth, colors, torch.tensor(request.image), torch.tensor(seed))

    def _center(self, label: npt.NDArray[Any], aim: int, rng: np.random.Generator) -> tuple[int, int]:
        """A pixel of the class, or one in the box around one of its connected regions."""
        there = label == aim
        if self.around == "region":
            regions, count = ndimage.label(there, structure=np.ones((3, 3)))
            rows, columns = ndimage.find_objects(regions)[int(rng.integers(count))]
            return int(rng.integers(rows.start, rows.stop)), int(rng.integers(columns.start, columns.stop))
        place = int(rng.choice(np.flatnonzero(there)))
        return place // label.shape[1], place % label.shape[1]


def class_presence(reader: SampleReader, classes: int) -> npt.NDArray[np.bool_]:
    """(images, classes): whether an image holds a class."""
    found = np.zeros((len(reader), classes), dtype=bool)
    for index in range(len(reader)):
        ids = np.unique(reader.read(index)[1])
        found[index, ids[ids < classes]] = True
    return found


class WholeImages(Dataset[Batch]):
    """Every image as it is."""

    def __init__(self, reader: SampleReader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> Batch:
        image, label = self.reader.read(index)
        return Batch(to_tensor(image).contiguous(), torch.from_numpy(label), None, torch.tensor(index), torch.tensor(0))


class SameSizeBatches(Sampler[list[int]]):
    """Indices grouped so that the images of a batch have one size.

    Args:
        sizes: (height, width) of every image.
        batch_size: images in a batch, at most.
        rank, processes: which share of the batches this process takes.

    >>> list(SameSizeBatches([(2, 2), (3, 3), (2, 2), (2, 2)], 2))
    [[0, 2], [3], [1]]
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], batch_size: int, *, rank: int = 0, processes: int = 1) -> None:
        groups: dict[tuple[int, int], list[int]] = {}
        for index, size in enumerate(sizes):
            groups.setdefault(size, []).append(index)
        batches = [
            group[start : start + batch_size] for group in groups.values() for start in range(0, len(group), batch_size)
        ]
        self.batches = batches[rank::processes]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


@dataclass(frozen=True)
class Collate:
    """Samples → one batch; smaller ones are padded at their ends.

    Args:
        fill: (C,) pixel value of the padding.
        ignore: its label.
    """

    fill: tuple[float, ...] = ()
    ignore: int = 255

    def __call__(self, samples: Sequence[Batch]) -> Batch:
        height, width = (max(sample.labels.shape[axis] for sample in samples) for axis in (0, 1))
        padded = [self._padded(sample, (height, width)) for sample in samples]
        colors = [sample.colors for sample in samples if sample.colors is not None]
        return Batch(
            torch.stack([images for images, _ in padded]),
            torch.stack([labels for _, labels in padded]),
            torch.stack(colors) if len(colors) == len(samples) else None,
            torch.stack([sample.indices for sample in samples]),
            torch.stack([sample.seeds for sample in samples]),
        )

    def _padded(self, sample: Batch, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = sample.labels.shape
        if (height, width) == size:
            return sample.images, sample.labels
        fill = torch.tensor(self.fill).to(sample.images.dtype).view(-1, 1, 1)
        images = fill.expand(-1, *size).clone()
        images[:, :height, :width] = sample.images
        labels = torch.full(size, self.ignore, dtype=sample.labels.dtype)
        labels[:height, :width] = sample.labels
        return images, labels
