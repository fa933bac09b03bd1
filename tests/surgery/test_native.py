"""The size that a classifier was made for, from what its library says or from what fits."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from fullconv.errors import NetworkError
from fullconv.surgery.native import native_input

timm = pytest.importorskip("timm")


def lenet(side: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 6, 5), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6 * side**2, 10))


@pytest.mark.parametrize(
    ("name", "size"), [("efficientnet_v2_s", 384), ("efficientnet_b3", 300), ("vgg11", 224), ("efficientnet_b1", 240)]
)
def test_torchvision_states_the_crop_with_its_weights(name: str, size: int) -> None:
    with torch.device("meta"):
        net = torchvision.models.get_model(name, weights=None)
    assert native_input(net) == (3, size, size)


def test_the_crop_is_known_for_other_numbers_of_classes() -> None:
    with torch.device("meta"):
        net = torchvision.models.inception_v3(weights=None, num_classes=12, init_weights=False)
    assert native_input(net) == (3, 299, 299)


def test_timm_states_the_size_in_its_configuration() -> None:
    with torch.device("meta"):
        net = timm.create_model("test_resnet", pretrained=False)
    assert native_input(net) == (3, 160, 160)


@pytest.mark.parametrize(("side", "size"), [(14, 32), (12, 28), (23, 50)])
def test_the_size_is_that_at_which_the_linear_layer_fits(side: int, size: int) -> None:
    assert native_input(lenet(side)) == (1, size, size)


def test_channels_are_the_images_where_the_first_convolution_reads_something_else() -> None:
    net = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert native_input(net) == (3, 224, 224)


def test_a_size_that_does_not_fit_is_refused_with_the_reason() -> None:
    with pytest.raises(NetworkError, match=r"takes no images of 30×30 \(.*\); give the input_size"):
        native_input(lenet(14), input_size=(30, 30))


def test_networks_that_take_nothing_are_refused() -> None:
    with pytest.raises(NetworkError, match="takes no images of any usual size"):
        native_input(nn.Linear(7, 2))
