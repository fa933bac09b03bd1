"""Another stride in the first convolution."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import geometry_of
from fullconv.surgery.stem import first_convolutions, with_stem_stride


@torch.no_grad()
def test_a_resnet_becomes_coarser_with_its_weights() -> None:
    net = torchvision.models.resnet18(weights=None).eval()
    coarser = with_stem_stride(net, 4)
    assert type(coarser) is type(net)
    assert coarser.conv1.stride == (4, 4)
    assert net.conv1.stride == (2, 2)
    for name, value in net.state_dict().items():
        assert torch.equal(coarser.state_dict()[name], value)
    assert geometry_of(coarser)["layer4.1.conv2"].stride == (64, 64)


def test_rows_and_columns_apart() -> None:
    net = with_stem_stride(nn.Sequential(nn.Conv2d(3, 4, 5, 4), nn.Conv2d(4, 4, 3, 2)), (2, 1))
    output = geometry_of(net.eval()).output
    assert output is not None
    assert (output.rows.stride, output.cols.stride) == (4, 2)


def test_all_convolutions_that_read_the_image_change() -> None:
    class Inputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm2d(3)
            self.a, self.b, self.c = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 1, 2), nn.Conv2d(4, 4, 3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.bn(x)
            return self.c(self.a(x) + self.b(x))

    net = Inputs().eval()
    assert first_convolutions(net) == ("a", "b")
    finer = with_stem_stride(net, 1)
    assert (finer.a.stride, finer.b.stride, finer.c.stride) == ((1, 1), (1, 1), (2, 2))


def test_mistakes_are_named() -> None:
    with pytest.raises(NetworkError, match='0: its padding "same" allows no stride'):
        with_stem_stride(nn.Sequential(nn.Conv2d(3, 4, 3, padding="same")), 2)
    with pytest.raises(NetworkError, match="a stem stride of 0 is not possible"):
        with_stem_stride(nn.Sequential(nn.Conv2d(3, 4, 3)), 0)
    with pytest.raises(NetworkError, match="no convolution that reads the image"):
        with_stem_stride(nn.MaxPool2d(2), 2)
