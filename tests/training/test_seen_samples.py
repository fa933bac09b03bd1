"""Samples shown before a run begins are those that it learns from."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fullconv.data.dataset import Dataset
from fullconv.data.orders import EpochBatches
from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.engine import objective_of
from fullconv.training.loaders import normalization_of, training_loader
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.plan_checks import patch_of
from fullconv.training.seen_samples import seen_samples
from fullconv.training.settings.experiment import Experiment
from fullconv.training.task import SegmentationTask
from fullconv.workspace import Workspace


@pytest.mark.parametrize(
    "regime",
    [
        {"kind": "whole-image", "jitter": True},
        {"kind": "whole-image", "full": True},
        {"kind": "patchwise", "size": [40, 56], "around": "objects", "loss_at": "pixels"},
        {"kind": "patchwise", "size": [48, 48], "origins": "grid", "loss_at": "pixels"},
    ],
)
@pytest.mark.parametrize("epoch", [1, 3])
def test_they_are_the_very_pixels(dataset: Dataset, quick: dict[str, Any], regime: dict[str, Any], epoch: int) -> None:
    quick.pop("crop")
    settings = quick | {"dataset": "streets", "regime": regime, "resize": {"scale": 0.9}, "seed": 5}
    net = build_network("fcn8s-squeezenet1_1", classes=len(dataset.classes))
    grid = ScoreGrid.of(net)
    sizes = TrainingSet(dataset.train.sizes, dataset.val.sizes, patch_of(grid))
    plan = resolve(Experiment.model_validate(settings), sizes)
    normalization = normalization_of(dataset, pretrained=False)
    loader = training_loader(dataset.train, plan, normalization, Workspace.find(), grid)
    batches = loader.batch_sampler
    assert isinstance(batches, EpochBatches)
    batches.set_epoch(epoch - 1)
    batch = list(loader)[1]
    task = SegmentationTask(
        net,
        normalization,
        objective_of(plan, dataset, grid),
        classes=len(dataset.classes),
        optimization=plan.optimization,
        steps=1,
        pretrained=False,
    )
    inputs = task.network_input(batch)
    std, mean = (torch.tensor(values).view(-1, 1, 1) for values in (normalization.std, normalization.mean))
    found = seen_samples(dataset.train, plan, normalization, grid, epoch=epoch, first=plan.batch_size, count=3)
    for place, sample in enumerate(found):
        height, width = sample.labels.shape
        expected = ((inputs[place] * std + mean) * normalization.scale)[:, :height, :width]
        torch.testing.assert_close(torch.from_numpy(sample.pixels).permute(2, 0, 1), expected, atol=0.01, rtol=1e-4)
        assert torch.equal(torch.from_numpy(sample.labels), batch.labels[place, :height, :width])
        assert sample.key == dataset.train.samples[int(batch.indices[place])].key
        assert sample.picture("uint8").shape == (height, width, 3)


def test_an_epoch_ends(dataset: Dataset, quick: dict[str, Any]) -> None:
    net = build_network("fcn8s-squeezenet1_1", classes=len(dataset.classes))
    grid = ScoreGrid.of(net)
    experiment = Experiment.model_validate(quick | {"dataset": "streets"})
    plan = resolve(experiment, TrainingSet(dataset.train.sizes, dataset.val.sizes))
    normalization = normalization_of(dataset, pretrained=False)
    assert seen_samples(dataset.train, plan, normalization, grid, first=10**6) == []
