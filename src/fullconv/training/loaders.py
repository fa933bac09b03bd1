"""From a dataset to batches: prepared samples, random views, worker processes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from fullconv.data.cache import prepared_samples
from fullconv.data.dataset import Dataset
from fullconv.data.orders import ByClass, EpochBatches, Order, Passes, Replacement, Windows
from fullconv.data.resizing import Resize
from fullconv.data.samples import (
    Batch,
    Collate,
    ResizedSamples,
    SameSizeBatches,
    SampleReader,
    TrainingSamples,
    WholeImages,
    class_presence,
)
from fullconv.networks.normalization import Normalization
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.guard.reading_faults import ReportedCollate, ReportedSamples, ReportingLoader
from fullconv.training.settings.experiment import Plan
from fullconv.training.settings.regimes import Patchwise, WholeImage
from fullconv.workspace import Workspace

PREFETCHED_BATCHES = 2


def training_loader(
    data: Dataset,
    plan: Plan,
    normalization: Normalization,
    home: Workspace,
    grid: ScoreGrid,
    *,
    rank: int = 0,
    processes: int = 1,
) -> DataLoader[Batch]:
    """Batches of views of the training images, by the plan's regime, in an order fixed by the seed.

    Args:
        data: the training split.
        plan: gives regime, crop, batch size, views and augmentation.
        normalization: its mean fills the padding.
        home: holds the cache of prepared samples.
        grid: of the network's scores.
        rank, processes: which share of every batch this process takes.
    """
    reader = _reader(data, plan.resize, home)
    samples, order = training_views(data, plan, normalization, reader, grid)
    batches = EpochBatches(order, plan.batch_size, seed=plan.seed, rank=rank, processes=processes)
    return _loader(samples, batches, plan, Collate(tuple(samples.fill.tolist()), data.classes.ignore_index))


def training_views(
    data: Dataset,
    plan: Plan,
    normalization: Normalization,
    reader: SampleReader,
    grid: ScoreGrid,
    *,
    labels: SampleReader | None = None,
) -> tuple[TrainingSamples, Order]:
    """Views of the training images by the plan's regime, and the order in which they are drawn.

    Args:
        data: the training split.
        plan: gives regime, crop, views and augmentation.
        normalization: its mean fills the padding.
        reader: of the samples, resized.
        grid: of the network's scores.
        labels: reads the same labels at less cost, where the order depends on what is in them.
    """
    regime = plan.regime
    fill = tuple(value * normalization.scale for value in normalization.mean)
    full = isinstance(regime, WholeImage) and regime.full
    jitter = isinstance(regime, WholeImage) and regime.jitter
    samples = TrainingSamples(
        reader,
        crop=None if full else plan.crop,
        plan=plan.augmentation,
        fill=fill,
        mean=normalization.mean,
        std=normalization.std,
        rgb=data.channels == 3 and data.dtype != "float32",
        ignore=data.classes.ignore_index,
        seed=plan.seed,
        around="region" if isinstance(regime, Patchwise) and regime.around == "objects" else "pixel",
        # The class drawn is to be that of the cell whose loss is read.
        target=grid.middle_pixel(plan.crop) if isinstance(regime, Patchwise) and regime.loss_at == "center" else None,
        jitter=grid.total_stride if jitter else (1, 1),
    )
    return samples, _order(labels or reader, data, plan, grid)


def views_in_epoch(data: Dataset, plan: Plan, grid: ScoreGrid) -> int:
    """How many views of the training images make an epoch.

    Args:
        data: the training split.
        plan: gives regime, views and crop.
        grid: of the network's scores.
    """
    if isinstance(plan.regime, Patchwise) and plan.regime.origins == "grid":
        return len(_order(data, data, plan, grid))
    return len(data) * plan.views


def _order(reader: SampleReader, data: Dataset, plan: Plan, grid: ScoreGrid) -> Order:
    regime = plan.regime
    if isinstance(regime, Patchwise) and regime.origins == "grid":
        height, width = plan.crop
        wanted = (regime.step or height // 2, regime.step or width // 2)
        rows, cols = (
            max(1, round(step / stride)) * stride for step, stride in zip(wanted, grid.total_stride, strict=True)
        )
        return Windows([plan.resize.size(*size) for size in data.sizes], plan.crop, (rows, cols))
    if isinstance(regime, Patchwise) and regime.around != "uniform":
        pixels = data.statistics.pixels("train")
        without = (int(pixels.argmax()),) if regime.around == "objects" and len(pixels) > 1 else ()
        return ByClass(class_presence(reader, len(data.classes)), views=plan.views, without=without)
    if plan.replacement:
        return Replacement(len(reader), views=plan.views)
    return Passes(len(reader), views=plan.views)


def validation_loader(
    data: Dataset, plan: Plan, home: Workspace, *, rank: int = 0, processes: int = 1
) -> DataLoader[Batch]:
    """Whole validation images, those of one size together, with no more pixels in a batch than in training.

    Args:
        data: the validation split.
        plan: gives batch size and crop.
        home: holds the cache of prepared samples.
        rank, processes: which share of the batches this process takes. Where there are fewer batches than processes,
            the others get one in which nothing counts, for all of them have to validate.
    """
    samples = WholeImages(_reader(data, plan.resize, home))
    sizes = [plan.resize.size(*size) for size in data.sizes]
    room = plan.batch_size * plan.crop[0] * plan.crop[1] // processes
    largest = max(height * width for height, width in sizes)
    together = min(max(1, room // largest), -(-len(sizes) // processes))
    batches = SameSizeBatches(sizes, together, rank=rank, processes=processes)
    if len(batches):
        return _loader(samples, batches, plan, Collate(), most_workers=1)
    return _loader(samples, [[0]], plan, NothingCounts(ignore=data.classes.ignore_index), most_workers=1)


class NothingCounts(Collate):
    """Samples → a batch whose labels are all ignored."""

    def __call__(self, samples: Sequence[Batch]) -> Batch:
        batch = super().__call__(samples)
        return batch._replace(labels=torch.full_like(batch.labels, self.ignore))


def prepare_samples(data: Dataset, plan: Plan, home: Workspace) -> None:
    """Decode and resize training and validation images now, so that several processes find them ready."""
    for split in (data.train, data.val):
        _reader(split, plan.resize, home)


def _reader(data: Dataset, resize: Resize, home: Workspace) -> SampleReader:
    """The prepared cache, or the files themselves where it would not fit on the disk."""
    bands = data.channels * np.dtype(data.dtype).itemsize
    itemsize = bands + data.classes.label_dtype.itemsize
    prepared = prepared_samples(data, home.cache, resize=resize, sizes=data.sizes, itemsize=itemsize)
    return prepared if prepared is not None else ResizedSamples(data, resize)


def _loader(samples: Any, batches: Any, plan: Plan, collate: Collate, *, most_workers: int = 64) -> DataLoader[Batch]:
    workers = min(plan.workers, most_workers)
    return ReportingLoader(
        ReportedSamples(samples),
        batch_sampler=batches,
        collate_fn=ReportedCollate(collate),
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
