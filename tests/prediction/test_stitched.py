"""Predicting by shift-and-stitch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fullconv.errors import PlanError
from fullconv.networks.building import fcn
from fullconv.networks.catalogue import build_network
from fullconv.prediction.model import Model
from fullconv.prediction.stitched import CoarseScores, stitched_scores


def test_pixels_on_the_networks_own_cells_get_its_own_scores() -> None:
    torch.manual_seed(0)
    net = fcn("squeezenet1_1", classes=3, stride=8).eval()
    with torch.no_grad():
        for score in net.head.scores:
            score.weight.normal_()
        images = torch.randn(1, 3, 300, 270)
        coarse, found = CoarseScores(net)(images), stitched_scores(net, images)
        plain = net(images)
    assert found.shape == (1, 3, 300, 270)
    # The centre of cell 0 lies on pixel 7. Fields that end inside the image do not meet what lies around it.
    rows, cols = slice(16, 21), slice(16, 18)
    torch.testing.assert_close(found[..., 7::8, 7::8][..., rows, cols], coarse[..., rows, cols], atol=1e-3, rtol=0)
    spread = found.std()
    assert (found - plain).abs().mean() > 0.01 * spread  # between them nothing is interpolated


def test_a_model_finds_a_bright_half_either_way(model: Model) -> None:
    image = np.zeros((96, 128, 3), dtype=np.uint8)
    image[:, 64:] = 255
    plain, stitched = model.predict(image), model.predict(image, shift_and_stitch=True)
    assert plain.labels.shape == stitched.labels.shape == (96, 128)
    for labels in (plain.labels, stitched.labels):
        assert (labels[20:76, 20:44] == 0).all()
        assert (labels[20:76, 84:108] == 1).all()


def test_networks_without_coarse_scores_are_refused() -> None:
    with torch.device("meta"):
        net = build_network("fcn-alexnet-reference", classes=2).eval()
    with pytest.raises(PlanError, match="ReferenceFCN has no coarse scores to stitch"):
        stitched_scores(net, torch.zeros(1, 3, 32, 32))
