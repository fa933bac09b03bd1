"""Samples for a data loader: random views for training, whole images for validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler

from fullconv.data.augmentation import Augmentation, apply_view, draw_colors, draw_view, sample_generator
from fullconv.data.cache import SampleSource, prepare
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
    """

    images: torch.Tensor
    labels: torch.Tensor
    colors: torch.Tensor | None
    indices: torch.Tensor


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
    """Random views; an item is asked for by (epoch, index) and is the same whenever it is asked for.

    Args:
        reader: decoded samples.
        crop: (height, width) of every view.
        plan: how views are drawn.
        fill: (C,) pixel value of padding.
        mean, std: (C,) of the colours in units of the pixel scale: what jitter is measured by.
        rgb: whether the bands are red, green and blue.
        ignore: label of padding.
        seed: of the whole run.
    """

    def __init__(
        self,
        reader: SampleReader,
        *,
        crop: tuple[int, int],
        plan: Augmentation,
        fill: Sequence[float],
        mean: Sequence[float],
        std: Sequence[float],
        rgb: bool,
        ignore: int,
        seed: int,
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

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, place: tuple[int, int]) -> Batch:
        epoch, index = place
        rng = sample_generator(self.seed, epoch, index)
        image, label = self.reader.read(index)
        view = draw_view(self.plan, (label.shape[0], label.shape[1]), self.crop, rng)
        seen, truth = apply_view(view, to_tensor(image), torch.from_numpy(label), self.crop, self.fill, self.ignore)
        colors = torch.from_numpy(draw_colors(self.plan, self.mean, self.std, rng, rgb=self.rgb))
        return Batch(seen, truth, colors, torch.tensor(index))


class WholeImages(Dataset[Batch]):
    """Every image as it is."""

    def __init__(self, reader: SampleReader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> Batch:
        image, label = self.reader.read(index)
        return Batch(to_tensor(image).contiguous(), torch.from_numpy(label), None, torch.tensor(index))


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) in an order drawn from (seed, epoch); the last one is filled up from the start.

    Args:
        length: samples in the set.
        batch_size: samples in a batch.
        seed: of the whole run.
        views: how many views of each sample an epoch holds (small sets, large images).

    >>> batches = EpochBatches(5, 2, seed=0)
    >>> len(batches), len({index for batch in batches for _, index in batch})
    (3, 5)
    """

    def __init__(self, length: int, batch_size: int, *, seed: int, views: int = 1) -> None:
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.views = views
        self.epoch = 0

    @property
    def sampler(self) -> EpochBatches:
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of every epoch, and before it goes on from a checkpoint."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.length * self.views // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = np.concatenate([rng.permutation(self.length) for _ in range(self.views)])
        order = np.resize(order, len(self) * self.batch_size)
        for batch, indices in enumerate(order.reshape(len(self), self.batch_size)):
            start = batch * self.batch_size
            passes = [(start + offset) // self.length for offset in range(self.batch_size)]
            yield [
                (self.epoch * (self.views + 1) + turn, int(index)) for turn, index in zip(passes, indices, strict=True)
            ]


class SameSizeBatches(Sampler[list[int]]):
    """Indices grouped so that the images of a batch have one size.

    >>> list(SameSizeBatches([(2, 2), (3, 3), (2, 2), (2, 2)], 2))
    [[0, 2], [3], [1]]
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], batch_size: int) -> None:
        groups: dict[tuple[int, int], list[int]] = {}
        for index, size in enumerate(sizes):
            groups.setdefault(size, []).append(index)
        self.batches = [
            group[start : start + batch_size] for group in groups.values() for start in range(0, len(group), batch_size)
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def collate(samples: Sequence[Batch]) -> Batch:
    """Samples of one size → one batch."""
    colors = [sample.colors for sample in samples if sample.colors is not None]
    return Batch(
        torch.stack([sample.images for sample in samples]),
        torch.stack([sample.labels for sample in samples]),
        torch.stack(colors) if len(colors) == len(samples) else None,
        torch.stack([sample.indices for sample in samples]),
    )
