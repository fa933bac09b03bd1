"""Networks that decide by sizes on their way, as those of segmentation_models_pytorch do."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.measuring import measure_reach
from fullconv.networks.building import fcn


class Guarded(nn.Module):
    """Refuses sides that are no multiple of 8, and adds a skip if it has channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(inplace=True))
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[-2:]
        if height % 8 != 0 or width % 8 != 0:
            raise RuntimeError(f"{height}×{width} is no multiple of 8")
        skip = self.first(images)
        found = self.up(self.down(skip))
        if skip is not None and skip.shape[1] != 0:
            found = found + skip
        return found


def test_decisions_that_all_sizes_share_are_followed() -> None:
    net = Guarded().eval()
    geometry = geometry_of(net)
    assert geometry.is_local
    assert geometry.reach == measure_reach(net)


def test_they_are_followed_on_the_meta_device() -> None:
    assert geometry_of(Guarded().to("meta").eval()).is_local


class BySize(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[..., ::2, ::2] if images.shape[-1] > 500 else images


class ByContent(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if images.mean() > 0 else -images


@pytest.mark.parametrize("kind", [BySize, ByContent])
def test_decisions_that_differ_are_refused(kind: type[nn.Module]) -> None:
    with pytest.raises(NetworkError, match="cannot be traced"):
        geometry_of(kind().eval())


def test_inside_a_module_they_make_it_opaque_by_name() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 3), BySize()).eval()
    obstacle = geometry_of(net).obstacles[0]
    assert obstacle.name == "1"
    assert "cannot be traced" in str(obstacle)


@pytest.mark.parametrize("name", ["Linknet", "UnetPlusPlus"])
def test_networks_of_segmentation_models_pytorch(name: str) -> None:
    net = getattr(smp, name)("resnet18", encoder_weights=None, classes=2).eval()
    geometry = geometry_of(net)
    assert geometry.total_stride == (32, 32)
    if name == "Linknet":
        assert geometry.reach == measure_reach(net)


def test_their_encoders_carry_an_fcn() -> None:
    net = fcn(smp.encoders.get_encoder("resnet18", weights=None), classes=3, stride=8).eval()
    assert net(torch.zeros(1, 3, 97, 61)).shape == (1, 3, 97, 61)
    assert geometry_of(net).is_local
