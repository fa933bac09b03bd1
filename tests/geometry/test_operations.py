"""Operations that are easily taken for something else."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.tracing import bands_of


class Net(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.conv, self.shortcut, self.function = nn.Conv2d(3, 4, 3), nn.Sequential(), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.shortcut(self.conv(x)))  # type: ignore[operator,no-any-return]


@pytest.mark.parametrize(
    "function",
    [
        F.normalize,
        lambda x: x * x.mean(1, keepdim=True).expand_as(x),
        lambda x: x.flatten(2).relu().view_as(x),
        lambda x: x.flatten(2).relu().reshape_as(x),
    ],
)
def test_operations_cell_by_cell_are_local(function: object) -> None:
    geometry = geometry_of(Net(function))
    assert geometry.is_local, geometry.obstacles
    assert geometry.output is not None
    assert geometry.output.rows.extent(0) == (0, 2)


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale, self.places = (
            nn.Conv2d(3, 4, 3),
            nn.Parameter(torch.ones(4)),
            nn.Parameter(torch.ones(64)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) * self.scale.reshape(1, -1, 1, 1) + self.places.reshape(1, 1, 8, 8)


def test_weights_are_weights_however_they_are_shaped() -> None:
    obstacles = geometry_of(Embedded(), input_size=(10, 10)).obstacles
    assert [(found.name, found.kind) for found in obstacles] == [("add", "fixed-size")]


def test_a_norm_over_places_is_named() -> None:
    geometry = geometry_of(Net(lambda x: F.normalize(x, dim=-1)))
    assert [(found.name, found.kind) for found in geometry.obstacles] == [("normalize", "attention")]


def test_a_network_may_say_what_images_it_takes() -> None:
    net = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 1))
    assert bands_of(net) == 12
    net.image_channels = 3
    assert bands_of(net) == 3
    assert geometry_of(net).channels == 3
