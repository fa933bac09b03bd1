"""From a dataset to batches: prepared samples, random views, worker processes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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

PREFETCHED_BATCHES = 2


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
        std=normalization.std,
        rgb=data.channels == 3 and data.dtype != "float32",
        ignore=data.classes.ignore_index,
        seed=plan.seed,
    )
    batches = EpochBatches(len(samples), plan.batch_size, seed=plan.seed, views=plan.views)
    return _loader(samples, batches, plan)


def validation_loader(data: Dataset, plan: Plan, home: Workspace) -> DataLoader[Batch]:
    """Whole validation images, those of one size together, with no more pixels in a batch than in training."""
    samples = WholeImages(_reader(data, plan.resize, home))
    sizes = [plan.resize.size(*size) for size in data.sizes]
    room = plan.batch_size * plan.crop[0] * plan.crop[1]
    largest = max(height * width for height, width in sizes)
    return _loader(samples, SameSizeBatches(sizes, max(1, room // largest)), plan, most_workers=1)


def _reader(data: Dataset, resize: Resize, home: Workspace) -> SampleReader:
    """The prepared cache, or the files themselves where it would not fit on the disk."""
    bands = data.channels * np.dtype(data.dtype).itemsize
    itemsize = bands + data.classes.label_dtype.itemsize
    prepared = prepared_samples(data, home.cache, resize=resize, sizes=data.sizes, itemsize=itemsize)
    return prepared if prepared is not None else ResizedSamples(data, resize)


def _loader(samples: Any, batches: Any, plan: Plan, *, most_workers: int = 64) -> DataLoader[Batch]:
    workers = min(plan.workers, most_workers)
    return DataLoader(
        samples,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=bool(workers),
        prefetch_factor=PREFETCHED_BATCHES if workers else None,
        worker_init_fn=_prepare_worker if workers else None,
        pin_memory=plan.device == "cuda",
    )


def _prepare_worker(worker: int) -> None:
    """One thread each, and Ctrl-C is for the main process to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


@contextmanager
def workers_without_main() -> Iterator[None]:
    """While it lasts, spawned loader processes do not run the user's script again; they need none of it."""
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    for name in kept:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)


def normalization_of(data: Dataset, *, pretrained: bool) -> Normalization:
    """ImageNet's where weights come from there and the images are its kind, else the dataset's own."""
    if pretrained and data.channels == 3 and data.dtype == "uint8":
        return Normalization.imagenet()
    return Normalization.of_dataset(data.dtype, data.statistics.channel_mean, data.statistics.channel_std)
