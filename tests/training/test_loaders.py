"""Batches by regime, as the network gets them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import torch

from fullconv.data.dataset import Dataset
from fullconv.networks.score_grid import CellScores
from fullconv.training.loaders import normalization_of, training_loader
from fullconv.training.preparing import experiment_for, readied
from fullconv.workspace import Workspace


def test_centre_cells_have_the_classes_that_patches_were_drawn_around(dataset: Dataset, quick: dict[str, Any]) -> None:
    del quick["crop"]
    home = Workspace.find()
    settings = quick | {
        "network": "fcn32s-compact",
        "regime": {"kind": "patchwise", "size": [64, 80], "around": "class-balanced", "loss_at": "center"},
        "augmentation": {"scale": [1.0, 1.0]},
        "views": 20,
    }
    plan, net, grid, _ = readied(*experiment_for(dataset, settings, home))
    loader = training_loader(dataset.train, plan, normalization_of(dataset, pretrained=False), home, grid)
    batches = loader.batch_sampler
    found, wanted = [], []
    for requests, batch in zip(batches, loader, strict=True):  # type: ignore[arg-type]
        with torch.no_grad():
            size = tuple(CellScores(net.eval())(batch.images[:1].float()).shape[-2:])
        row, col = grid.middle(size, (64, 80))  # type: ignore[arg-type]
        found += grid.labels(batch.labels, size, ignore=255)[:, row, col].tolist()  # type: ignore[arg-type]
        wanted += [request.aim for request in requests]
    assert found == wanted
    assert len(set(found)) > 3


def test_what_loader_processes_import_is_soon_imported() -> None:
    slow = "{'torchvision', 'lightning', 'matplotlib'}"
    code = f"import sys, fullconv.training.loaders; print({slow} & set(sys.modules) or 'none of them')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "none of them"
