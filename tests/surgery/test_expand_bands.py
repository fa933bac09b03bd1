"""Filters for other bands than those that weights were trained on."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from fullconv.errors import NetworkError
from fullconv.surgery.fitting import expand_bands
from fullconv.surgery.transplant import transplant


@pytest.mark.parametrize("bands", [1, 2])
def test_fewer_bands_respond_as_equal_colours_did(bands: int) -> None:
    weight = torch.randn(4, 3, 3, 3)
    grey = torch.randn(1, 1, 8, 8)
    before = F.conv2d(grey.expand(-1, 3, -1, -1), weight)
    torch.testing.assert_close(F.conv2d(grey.expand(-1, bands, -1, -1), expand_bands(weight, bands)), before)


@pytest.mark.parametrize("bands", [4, 5, 8, 13])
def test_further_bands_keep_the_colours_and_weigh_together_as_one(bands: int) -> None:
    weight = torch.randn(4, 3, 3, 3)
    found = expand_bands(weight, bands)
    assert torch.equal(found[:, :3], weight)
    torch.testing.assert_close(found[:, 3:].sum(1), weight.mean(1))
    torch.testing.assert_close(found[:, 3], found[:, -1])


def test_bands_back_from_depth_and_grey() -> None:
    rgb = torch.randn(4, 3, 3, 3)
    assert torch.equal(expand_bands(expand_bands(rgb, 4), 3), rgb)
    assert torch.equal(expand_bands(expand_bands(rgb, 4), 1), expand_bands(rgb, 1))
    grey = torch.randn(4, 1, 3, 3)
    torch.testing.assert_close(expand_bands(grey, 3).sum(1, keepdim=True), grey)


def test_only_the_layer_that_reads_the_image_takes_other_bands() -> None:
    source = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    target = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(4, 8, 3))
    report = transplant(source, target)
    assert report["1.weight"].status == "initialised"


def test_a_head_that_is_defined_first_is_not_taken_for_the_image_layer() -> None:
    source, target = (
        nn.Sequential(OrderedDict(aux=nn.Conv2d(n, 4, 3), conv1=nn.Conv2d(3, n, 3), fc=nn.Conv2d(n, 4, 1)))
        for n in (8, 16)
    )
    with pytest.raises(NetworkError, match="nothing in it fits"):
        transplant(source, target)


def test_bands_are_found_in_a_file_that_keeps_no_order(tmp_path: Path) -> None:
    net = nn.Sequential(OrderedDict(stem=nn.Conv2d(3, 4, 3), body=nn.Conv2d(4, 4, 1), a_last=nn.Conv2d(4, 2, 1)))
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    target = nn.Sequential(OrderedDict(stem=nn.Conv2d(1, 4, 3), body=nn.Conv2d(4, 4, 1), a_last=nn.Conv2d(4, 2, 1)))
    assert transplant(tmp_path / "net.safetensors", target).expanded == ("stem.weight",)
    torch.testing.assert_close(target.stem.weight[:, 0], net.stem.weight.sum(1))
