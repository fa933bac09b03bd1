"""Training samples as training sees them: the pixels of any place of any epoch, to look at before a run begins."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fullconv.data.dataset import Dataset
from fullconv.data.orders import EpochBatches
from fullconv.data.pictures import Picture, display_rgb
from fullconv.data.resizing import Resize, resize_label
from fullconv.data.samples import Batch, ResizedSamples, SampleReader
from fullconv.networks.normalization import Normalization
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.loaders import training_views
from fullconv.training.settings.experiment import Plan


@dataclass(frozen=True, eq=False)
class SeenSample:
    """One view.

    Args:
        key: of the image that it is cut from.
        pixels: (H, W, C) float32 in the values of the files, after augmentation.
        labels: (H, W) class indices, ignored where there is padding.
    """

    key: str
    pixels: npt.NDArray[np.float32]
    labels: npt.NDArray[np.unsignedinteger]

    def picture(self, dtype: str) -> Picture:
        """(H, W, 3) uint8 for a screen; what augmentation makes darker than black is black.

        Args:
            dtype: of the dataset's images.
        """
        if dtype == "uint8":
            return display_rgb(self.pixels.round().clip(0, 255).astype(np.uint8))
        return display_rgb(self.pixels)


def seen_samples(
    data: Dataset,
    plan: Plan,
    normalization: Normalization,
    grid: ScoreGrid,
    *,
    epoch: int = 1,
    first: int = 0,
    count: int = 8,
) -> list[SeenSample]:
    """Views in the order in which a run of this plan takes them; a function of the seed, the epoch and the place.

    Args:
        data: the training images.
        plan: nothing is left open in it.
        normalization: of the run.
        grid: of the network's scores.
        epoch: from 1.
        first: place in the epoch, from 0. count: how many; fewer at the end of the epoch.
    """
    reader = ResizedSamples(data, plan.resize)
    samples, order = training_views(data, plan, normalization, reader, grid, labels=_LabelsAlone(data, plan.resize))
    batches = EpochBatches(order, plan.batch_size, seed=plan.seed)
    batches.set_epoch(epoch - 1)
    requests = (request for batch in batches for request in batch)
    return [
        _seen(samples[request], data.samples[request.image].key, normalization)
        for request in islice(requests, first, first + count)
    ]


def _seen(sample: Batch, key: str, normalization: Normalization) -> SeenSample:
    """The colours changed as `SegmentationTask.network_input` changes them, and not normalised."""
    pixels = sample.images.float()
    if sample.colors is not None:
        bands = pixels.shape[0]
        shift = sample.colors[:, bands:] * normalization.scale
        pixels = torch.addmm(shift, sample.colors[:, :bands], pixels.flatten(1)).view_as(pixels)
    return SeenSample(key, pixels.permute(1, 2, 0).contiguous().numpy(), sample.labels.numpy())


class _LabelsAlone(SampleReader):
    """Labels without their images."""

    def __init__(self, data: Dataset, resize: Resize) -> None:
        self.data = data
        self.resize = resize

    def __len__(self) -> int:
        return len(self.data)

    def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Nothing, and label (H, W)."""
        label = torch.from_numpy(self.data.read_label(self.data.samples[index]))
        height, width = label.shape
        return np.zeros((0, 0, 0)), resize_label(label, self.resize.size(height, width)).numpy()
