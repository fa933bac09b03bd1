"""From a dataset to batches: prepared samples, random views, worker processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from fullconv.data.cache import prepared_samples
from fullconv.data.dataset import Dataset
from fullconv.data.resizing import Resize
from fullconv.data.samples import (
    Batch,
    EpochBatches,
    ResizedSamples,
    SameSizeBatches,
    SampleReader,
    TrainingSamples,
    WholeImages,
    collate,
)
from fullconv.networks.normalization import Normalization
from fullconv.training.experiment import Plan
from fullconv.workspace import Workspace

PREFETCHED_BATCHES = 4


def training_loader(data: Dataset, plan: Plan, normalization: Normalization, home: Workspace) -> DataLoader[Batch]:
    """Batches of random views of the training images, in an order fixed by the seed.

    Args:
        data: the training split.
        plan: gives crop, batch size, views and augmentation.
        normalization: its mean fills the padding.
        home: holds the cache of prepared samples.
    """
    samples = TrainingSamples(
        _reader(data, plan.resize, home),
        crop=plan.crop,
        plan=plan.augmentation,
        fill=[value * normalization.scale for value in normalization.mean],
        mean=normalization.mean,
        ignore=data.classes.ignore_index,
        seed=plan.seed,
    )
    batches = EpochBatches(len(samples), plan.batch_size, seed=plan.seed, views=plan.views)
    return _loader(samples, batches, plan)


def validation_loader(data: Dataset, plan: Plan, home: Workspace) -> DataLoader[Batch]:
    """Whole validation images, those of one size together, in batches of at most half the training batch."""
    samples = WholeImages(_reader(data, plan.resize, home))
    sizes = [plan.resize.size(*size) for size in data.sizes]
    return _loader(samples, SameSizeBatches(sizes, max(1, plan.batch_size // 2)), plan)


def _reader(data: Dataset, resize: Resize, home: Workspace) -> SampleReader:
    """The prepared cache, or the files themselves where it would not fit on the disk."""
    bands = data.channels * np.dtype(data.dtype).itemsize
    itemsize = bands + data.classes.label_dtype.itemsize
    prepared = prepared_samples(data, home.cache, resize=resize, sizes=data.sizes, itemsize=itemsize)
    return prepared if prepared is not None else ResizedSamples(data, resize)


def _loader(samples: Any, batches: Any, plan: Plan) -> DataLoader[Batch]:
    workers = plan.workers
    return DataLoader(
        samples,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=bool(workers),
        prefetch_factor=PREFETCHED_BATCHES if workers else None,
        worker_init_fn=_single_threaded if workers else None,
        pin_memory=plan.device == "cuda",
    )


def _single_threaded(worker: int) -> None:
    torch.set_num_threads(1)


def normalization_of(data: Dataset, *, pretrained: bool) -> Normalization:
    """ImageNet's where weights come from there and the images are its kind, else the dataset's own."""
    if pretrained and data.channels == 3 and data.dtype == "uint8":
        return Normalization.imagenet()
    return Normalization.of_dataset(data.dtype, data.statistics.channel_mean, data.statistics.channel_std)
