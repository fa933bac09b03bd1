"""À trous rewriting of torchvision's and timm's encoders: weights random, batch norm statistics too."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from dense_oracles import naive_stitch, randomized, spread
from fullconv.geometry.geometry import geometry_of
from fullconv.surgery.rarefy import rarefy

HEADS = ("avgpool", "fc", "dropout", "aux1", "aux2", "AuxLogits", "classifier")


def encoder(name: str, parts: int | None = None) -> nn.Sequential:
    """The first parts of a classifier, without its head."""
    more: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    net = torchvision.models.get_model(name, weights=None, **more)
    features = list(net.features) if hasattr(net, "features") else None
    layers = features or [layer for child, layer in net.named_children() if child not in HEADS]
    return nn.Sequential(*layers[:parts])


def noise(height: int, width: int) -> torch.Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


SLOW_WHEN_DENSE = ("convnext_tiny", "densenet121")


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "densenet121", "googlenet", "mobilenet_v2", "resnet18", "shufflenet_v2_x0_5"),
        *("squeezenet1_0", "squeezenet1_1", "vgg11", "convnext_tiny"),
    ],
)
@torch.no_grad()
def test_every_cell_of_the_original_is_there_borders_included(name: str) -> None:
    net = randomized(encoder(name)).double()
    image = noise(131, 97) if name == "alexnet" else noise(65, 67)
    original = net(image)
    output = geometry_of(net).output
    assert output is not None
    total = int(output.rows.stride)
    assert spread(original) > 0.01
    tolerance = 1e-5 * float(original.abs().max())
    for stride in (1, 2, 4, 8, 16):
        if total % stride or (stride < 4 and name in SLOW_WHEN_DENSE):
            continue
        rarefied = rarefy(net, stride)
        cells = rarefied(image)[..., :: total // stride, :: total // stride]
        torch.testing.assert_close(cells, original, atol=tolerance, rtol=0)
        assert rarefied.state_dict().keys() == net.state_dict().keys()
        if stride != 8:
            continue
        after = geometry_of(rarefied).output
        assert after is not None
        assert (after.rows.stride, after.rows.center, after.rows.size) == (stride, output.rows.center, output.rows.size)


@pytest.mark.parametrize(
    ("name", "parts", "stride"),
    [
        ("alexnet", None, 8),
        ("vgg11", None, 16),
        ("mobilenet_v2", 10, 4),
        ("squeezenet1_1", None, 4),
        ("resnet18", 7, 4),
        ("googlenet", 11, 4),
        ("densenet121", 6, 2),
        ("convnext_tiny", 3, 2),
        ("shufflenet_v2_x0_5", 3, 1),
    ],
)
@torch.no_grad()
def test_cells_between_are_those_of_shifted_images(name: str, parts: int | None, stride: int) -> None:
    net = randomized(encoder(name, parts)).double()
    output = geometry_of(net).output
    assert output is not None
    total = int(output.rows.stride)
    image = noise(output.rows.size + 21, output.cols.size + 26)
    expected = naive_stitch(net, image, total, stride)
    dense = rarefy(net, stride)(image)
    inside = []
    for axis, field in ((2, output.rows), (3, output.cols)):
        low, high = field.extent(0) or (0, 0)
        cells = [cell for cell in range(99) if low + stride * cell >= 0 and high + stride * cell < image.shape[axis]]
        inside.append(slice(cells[0], cells[-1] + 1))
        assert len(cells) >= 21 // stride - 1
    found, wanted = dense[..., inside[0], inside[1]], expected[..., inside[0], inside[1]]
    torch.testing.assert_close(found, wanted, atol=1e-5 * spread(wanted), rtol=0)


@torch.no_grad()
def test_torchvision_dilates_a_resnet_the_same_way() -> None:
    """`replace_stride_with_dilation` keeps the function too: the same network, made by others."""
    net = randomized(encoder("resnet50")).double()
    dilated = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=[False, True, True])
    other = nn.Sequential(*[layer for child, layer in dilated.named_children() if child not in HEADS]).eval().double()
    other.load_state_dict(net.state_dict())
    image, rarefied = noise(97, 75), rarefy(net, 8)
    wanted = other(image)
    torch.testing.assert_close(rarefied(image), wanted, atol=1e-5 * spread(wanted), rtol=0)
    for path in ("6.0.conv2", "7.0.conv2", "7.1.conv2"):
        layer = rarefied.get_submodule(path)
        assert layer.dilation == other.get_submodule(path).dilation, path


@pytest.mark.parametrize("name", ["resnet18d", "mobilenetv2_050", "resnetv2_50", "vovnet39a"])
@torch.no_grad()
def test_timm_encoders(name: str) -> None:
    net = randomized(timm.create_model(name, pretrained=False, num_classes=0, global_pool="")).double()
    image = noise(97, 87)
    original = net(image)
    output = geometry_of(net).output
    assert output is not None
    total = int(output.rows.stride)
    assert total > 8
    cells = rarefy(net, 8)(image)[..., :: total // 8, :: total // 8]
    torch.testing.assert_close(cells, original, atol=1e-5 * spread(original), rtol=0)
