"""The authors' nets: sizes, crops and parameters are those published."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fullconv.geometry.crops import crop_offset
from fullconv.geometry.geometry import geometry_of
from fullconv.networks.reference import ReferenceFCN, fcn_alexnet, fcn_vgg
from fullconv.networks.upsampling import bilinear_kernel


def on_meta(build: Callable[..., ReferenceFCN], **settings: int) -> ReferenceFCN:
    with torch.device("meta"):
        return build(**settings).eval()


@pytest.mark.parametrize("padding", [100, 82, 81, 120])
def test_crops_follow_from_the_layers(padding: int) -> None:
    assert on_meta(fcn_alexnet, padding=padding).crop.offset == padding - 82
    for stride, less, skips in ((32, 81, ()), (16, 73, (5,)), (8, 69, (5, 9))):
        net = on_meta(fcn_vgg, stride=stride, padding=padding)
        assert net.crop.offset == padding - less
        assert tuple(net.get_submodule(f"crop_pool{4 - index}").offset for index in range(len(skips))) == skips


def test_the_crop_is_asked_for_by_layer_names() -> None:
    net = on_meta(fcn_vgg, stride=8)
    geometry = geometry_of(net)
    assert crop_offset(geometry, "upscore", "data") == crop_offset(net, "upscore") == 31
    assert crop_offset(geometry, "score_pool4", "up_to_pool4") == 5
    assert crop_offset(geometry, "score_pool3", "up_to_pool3") == 9


def rounded_up(side: int, kernel: int, stride: int) -> int:
    """Cells of a pool that rounds up, none of which may begin beyond the end."""
    cells = math.ceil((side - kernel) / stride) + 1
    return cells - 1 if (cells - 1) * stride >= side else cells


@pytest.mark.parametrize("side", [1, 63, 97, 224, 333, 500, 513])
def test_sizes_are_those_of_the_published_nets(side: int) -> None:
    """Oracle: the arithmetic of the layers with pad 100, written out."""
    sizes = {layer.name: layer.shape[-1] for layer in geometry_of(on_meta(fcn_alexnet), input_size=(side, side))}
    conv1 = (side + 200 - 11) // 4 + 1
    pool1 = rounded_up(conv1, 3, 2)
    pool2 = rounded_up(pool1, 3, 2)
    pool5 = rounded_up(pool2, 3, 2)
    assert [sizes[name] for name in ("conv1", "pool1", "pool2", "pool5", "fc6")] == [
        *(conv1, pool1, pool2, pool5, pool5 - 5)
    ]
    assert sizes["upscore"] == (pool5 - 6) * 32 + 63
    for stride in (32, 16, 8):
        found = geometry_of(on_meta(fcn_vgg, stride=stride), input_size=(side, side))
        sizes = {layer.name: layer.shape[-1] for layer in found}
        cells = side + 198
        for pool in range(1, 6):
            cells = rounded_up(cells, 2, 2)
            assert sizes[f"pool{pool}"] == cells
        cells -= 6
        for _ in range(round(math.log2(32 / stride))):
            cells = 2 * cells + 2
        assert sizes["upscore"] == (cells + 1) * stride
        assert list(found)[-1].shape == (21, side, side)


def test_sizes_at_500_pixels_are_the_known_ones() -> None:
    sizes = {layer.name: layer.shape[-1] for layer in geometry_of(on_meta(fcn_alexnet), input_size=(500, 500))}
    assert [sizes[name] for name in ("conv1", "pool1", "pool2", "pool5", "fc6", "upscore")] == [
        173,
        86,
        43,
        21,
        16,
        543,
    ]
    for stride, total in ((32, 544), (16, 560), (8, 568)):
        found = geometry_of(on_meta(fcn_vgg, stride=stride), input_size=(500, 500))
        assert found["upscore"].shape[-1] == total
        assert [found[f"pool{n}"].shape[-1] for n in range(1, 6)] == [349, 175, 88, 44, 22]


def test_fields_and_parameters_are_the_known_ones() -> None:
    alexnet, vgg = geometry_of(on_meta(fcn_alexnet)), geometry_of(on_meta(fcn_vgg, stride=8))
    assert alexnet["fc6"].receptive_field == alexnet["fc7"].receptive_field == (355, 355)
    assert vgg["fc6"].receptive_field == (404, 404)
    assert alexnet["fc6"].parameters == 37_752_832
    assert [alexnet[name].offset for name in ("conv1", "pool2", "fc7", "upscore")] == [
        *((-95, -95), (-83, -83), (13, 13), (-18, -18))
    ]


def test_worked_figures_of_one_convolution_and_its_inverse() -> None:
    """conv1 of 224 pixels → 104 cells; upscaled 419; offset 98 on both sides leaves 223."""
    net = nn.Sequential(nn.Conv2d(3, 4, 11, 4, 100), nn.ConvTranspose2d(4, 4, 7, 4)).eval()
    geometry = geometry_of(net, input_size=(224, 224))
    assert geometry["0"].shape[-1] == 104
    assert geometry["1"].shape[-1] == 419
    assert crop_offset(geometry, "1") == 98
    assert 419 - 2 * 98 == 223


@pytest.mark.parametrize(
    ("size", "line"),
    [(4, [0.25, 0.75, 0.75, 0.25]), (3, [0.5, 1.0, 0.5]), (7, [0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25])],
)
def test_the_kernel_falls_off_linearly_from_its_middle(size: int, line: list[float]) -> None:
    torch.testing.assert_close(bilinear_kernel(size), torch.outer(torch.tensor(line), torch.tensor(line)))


def test_deconvolution_interpolates_and_is_frozen() -> None:
    net = fcn_vgg(classes=3, stride=8)
    assert not any(parameter.requires_grad for name, parameter in net.named_parameters() if name.startswith("up"))
    ramp = torch.arange(12.0).expand(1, 3, 12, 12)
    finer = net.get_submodule("up_to_pool4")(ramp)[0, 0, 12]
    torch.testing.assert_close(finer[4:20], (torch.arange(4.0, 20.0) - 1.5) / 2)


def test_zero_scores_guess_and_a_step_learns() -> None:
    torch.manual_seed(0)
    net = fcn_vgg(classes=21, stride=8, at_once=True, padding=100)
    images, labels = torch.randn(1, 3, 40, 33), torch.randint(0, 21, (1, 40, 33))
    net.eval()
    with torch.no_grad():
        scores = net(images)
    assert scores.shape == (1, 21, 40, 33)
    assert F.cross_entropy(scores, labels, ignore_index=255).item() == pytest.approx(math.log(21), abs=1e-5)
    head = [parameter for parameter in net.head.parameters() if parameter.requires_grad]
    loss = F.cross_entropy(net(images), labels, ignore_index=255)
    gradients = torch.autograd.grad(loss, head)
    with torch.no_grad():
        for parameter, gradient in zip(head, gradients, strict=True):
            parameter -= 0.1 * gradient
        assert F.cross_entropy(net(images), labels, ignore_index=255) < loss
