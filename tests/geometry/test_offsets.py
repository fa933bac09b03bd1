"""Offsets as the literature counts them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.offsets import offset_rows
from fullconv.networks.reference import fcn_alexnet, fcn_vgg


def test_the_table_of_the_convolutionalized_alexnet() -> None:
    with torch.device("meta"):
        rows = offset_rows(geometry_of(fcn_alexnet().eval()))
    table = [(row.layer, str(row.cumulative_scaling), float(row.offset), row.cumulative_offset) for row in rows]
    assert table == [
        ("conv1", "1/4", 23.75, 18),
        ("pool1", "1/8", -0.5, -77),
        ("conv2", "1/8", 0, -73),
        ("pool2", "1/16", -0.5, -73),
        ("conv3", "1/16", 0, -65),
        ("conv4", "1/16", 0, -65),
        ("conv5", "1/16", 0, -65),
        ("pool5", "1/32", -0.5, -65),
        ("fc6", "1/32", -2.5, -49),
        ("fc7", "1/32", 0, 31),
        ("score_fr", "1/32", 0, 31),
        ("upscore", "1", 31, 31),
    ]


def test_the_first_row_is_the_crop() -> None:
    for stride, crop in ((32, 19), (16, 27), (8, 31)):
        with torch.device("meta"):
            net = fcn_vgg(stride=stride).eval()
        assert offset_rows(geometry_of(net))[0].cumulative_offset == crop


def test_a_result_of_another_scale_has_no_crop() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2)).eval()
    with pytest.raises(NetworkError, match="0 has not the scale of the image"):
        offset_rows(geometry_of(net), last="0")
