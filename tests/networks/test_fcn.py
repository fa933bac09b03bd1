"""Every backbone of the catalogue: geometry, sizes, zero scores, one step, gradients."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import pytest
import torch
import torch.nn.functional as F

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.measuring import measure_reach
from fullconv.networks.backbones import LISTED
from fullconv.networks.building import fcn, found_taps, sides
from fullconv.networks.catalogue import build_network, names_on, parse_name
from fullconv.networks.listing import CLASSES, describe, list_networks
from fullconv.networks.upsampling import AlignedUpsampling

NAMES = [
    *("alexnet", "vgg11", "squeezenet1_0", "squeezenet1_1", "mobilenet_v2", "resnet18"),
    *("compact", "googlenet", "densenet121", "convnext_tiny", "mnasnet0_5", "shufflenet_v2_x0_5", "efficientnet_b0"),
    *("mobilenet_v3_small", "regnet_y_400mf", "regnet_x_400mf"),
]
WITH_GLOBAL_PARTS = ("efficientnet_b0", "mobilenet_v3_small", "regnet_y_400mf")
SLOW_TO_MEASURE = ("densenet121", "convnext_tiny")
"""Measured in benchmarks/measured_reach.py."""


def finest(name: str) -> int:
    return min(tap.stride for tap in found_taps(name) if tap.stride >= 4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fusion", ["scores", "features"])
def test_a_network_reads_what_its_geometry_says(name: str, fusion: Literal["scores", "features"]) -> None:
    net = fcn(name, classes=2, stride=8, fusion=fusion).eval()
    geometry = geometry_of(net)
    assert geometry.output is not None
    assert (geometry.output.rows.stride, geometry.output.rows.center) == (1, 0)
    assert max(geometry.output.skew) == 0
    if name in WITH_GLOBAL_PARTS:
        assert {obstacle.kind for obstacle in geometry.obstacles} == {"global-pooling"}
    elif name not in SLOW_TO_MEASURE:
        assert geometry.reach == measure_reach(net)


@pytest.mark.parametrize("name", NAMES)
def test_upsampling_puts_scores_where_their_cells_are(name: str) -> None:
    """Oracle: scores that equal their own pixel coordinate stay equal to it on every finer grid."""
    grids = [(1, Fraction(0)), *((tap.stride, tap.center) for tap in found_taps(name))]
    for fine, coarse in pairwise(grids):
        cells, wanted = 9, 9 * coarse[0] // fine[0]
        coordinate = torch.arange(cells) * float(coarse[0]) + float(coarse[1])
        scores = coordinate.expand(1, 1, cells, cells)
        found = AlignedUpsampling(coarse, fine)(scores, (wanted, wanted))[0, 0, wanted // 2]
        expected = torch.arange(wanted) * float(fine[0]) + float(fine[1])
        torch.testing.assert_close(found, expected.clamp(coordinate[0].item(), coordinate[-1].item()))


def test_grids_that_do_not_line_up_are_refused() -> None:
    with pytest.raises(NetworkError, match="does not line up"):
        AlignedUpsampling((4, Fraction(1, 3)), (1, Fraction(0)))


VARIANTS = [
    *("fcn8s-alexnet-fc", "fcn8s-alexnet-fc-learned", "fcn8s-resnet18-d8", "fcn4s-resnet18-d16-features"),
    *("fcn8s-squeezenet1_1-frozen", "fcn8s-mobilenet_v2-at-once-learned", "fcn4s-mobilenet_v2-d8-features-learned"),
    *("fcn8s-squeezenet1_1-learned-dense", "fcn4s-squeezenet1_1-features-learned-dense-random"),
    "fcn8s-squeezenet1_1-learned-random",
]


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_head_dilation_and_upsampling(name: str) -> None:
    """One contract: in line with the image, as far-reaching as measured, any size, zero scores at first, learning."""
    torch.manual_seed(0)
    net = build_network(name, classes=4).eval()
    geometry = geometry_of(net)
    assert geometry.output is not None
    assert (geometry.output.rows.stride, geometry.output.rows.center) == (1, 0)
    if "-fc" not in name:
        assert geometry.reach == measure_reach(net)
    images = torch.randn(2, 3, 97, 61)
    labels = (images.mean(1) > 0).long()
    with torch.no_grad():
        assert F.cross_entropy(net(images), labels, ignore_index=255).item() == pytest.approx(math.log(4), abs=1e-5)
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels, ignore_index=255).backward()
        optimizer.step()
    with torch.no_grad():
        assert F.cross_entropy(net(images), labels, ignore_index=255).item() < math.log(4)


def test_dilation_keeps_what_the_layers_compute() -> None:
    torch.manual_seed(0)
    plain, dilated = (build_network(f"fcn32s-resnet18{kind}", classes=2).eval() for kind in ("", "-d32"))
    dilated.features.load_state_dict(plain.features.state_dict())
    finer = build_network("fcn8s-resnet18-d8", classes=2).eval()
    finer.features.load_state_dict(plain.features.state_dict())
    images = torch.randn(1, 3, 128, 160)
    with torch.no_grad():
        (coarse,), (fine,) = plain.features(images).values(), finer.features(images).values()
    torch.testing.assert_close(
        fine[..., ::4, ::4][..., : coarse.shape[2], : coarse.shape[3]], coarse, atol=1e-4, rtol=0
    )


def test_a_classifier_of_ones_own_keeps_its_weights() -> None:
    classifier = torch.nn.Sequential(
        torch.nn.Conv2d(5, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 12, 2, 2), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(12, 7),
    )  # fmt: skip
    net = fcn(classifier, classes=3, stride=2, channels=5).eval()
    assert net(torch.randn(1, 5, 33, 20)).shape == (1, 3, 33, 20)
    torch.testing.assert_close(net.features.get_parameter("0.weight"), classifier[0].weight)
    assert geometry_of(net).reach == measure_reach(net)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fusion", ["scores", "features"])
def test_output_has_the_size_of_the_image(name: str, fusion: Literal["scores", "features"]) -> None:
    net = fcn(name, classes=5, stride=finest(name), fusion=fusion).eval()
    for size in ((97, 61), (40, 133)):
        with torch.no_grad():
            assert net(torch.randn(1, 3, *size)).shape == (1, 5, *size)


def test_an_image_smaller_than_the_field_is_padded_not_refused() -> None:
    net = fcn("alexnet", classes=3, stride=4).eval()
    with torch.no_grad():
        assert net(torch.randn(1, 3, 9, 14)).shape == (1, 3, 9, 14)


class TwoHalves(torch.nn.Module):
    """Two branches, one halved rounding up and one rounding down, three times; the layers stand in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = torch.nn.Linear(8, 3)
        self.down = torch.nn.ModuleList(torch.nn.Conv2d(8, 8, 3, 2, 1) for _ in range(3))
        self.stem = torch.nn.Conv2d(5, 8, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.stem(images)
        for down in self.down:
            maps = torch.relu(down(maps)) + torch.nn.functional.max_pool2d(maps, 2)
        scores: torch.Tensor = self.classifier(maps.mean((2, 3)))
        return scores


@pytest.mark.parametrize("classes", [2, (2, 4)])
def test_images_are_padded_to_whole_strides_where_branches_meet_only_there(classes: int | tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = fcn(TwoHalves(), classes=classes, stride=2, channels=5).eval()
    assert net.fitting.multiple == 8
    geometry = geometry_of(net)
    assert (geometry.channels, geometry.reach) == (5, measure_reach(net))
    for parameter in net.head.parameters():
        torch.nn.init.normal_(parameter)
    images = torch.randn(2, 5, 41, 30)
    whole = torch.nn.functional.pad(images, (0, 2, 0, 7))
    with torch.no_grad():
        found, expected = net(images), net(whole)
    for ours, theirs in [(found, expected)] if isinstance(classes, int) else zip(found, expected, strict=True):
        assert ours.shape[-2:] == (41, 30)
        torch.testing.assert_close(ours, theirs[..., :41, :30])


@pytest.mark.parametrize("name", NAMES)
def test_the_listed_backbones_take_images_as_they_are(name: str) -> None:
    minimum, multiple = sides(name, "score", found_taps(name)[-1].node)
    assert minimum < 97
    assert multiple == 1


def test_zero_scores_give_the_loss_of_a_guess() -> None:
    net = fcn("resnet18", classes=21, stride=8).eval()
    scores = net(torch.randn(1, 3, 64, 64))
    loss = F.cross_entropy(scores, torch.randint(0, 21, (1, 64, 64)), ignore_index=255)
    assert loss.item() == pytest.approx(math.log(21), abs=1e-6)


@pytest.mark.parametrize("fusion", ["scores", "features"])
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2", "resnet18", "compact"])
def test_a_few_steps_lower_the_loss(name: str, fusion: Literal["scores", "features"]) -> None:
    torch.manual_seed(0)
    net = fcn(name, classes=3, stride=8, fusion=fusion)
    images = torch.randn(2, 3, 64, 64)
    labels = (images.mean(1) > 0).long()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    losses = []
    for _ in range(4):
        loss = F.cross_entropy(net(images), labels, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_names_give_backbone_and_stride() -> None:
    assert parse_name("fcn8s-vgg16_bn")[:3] == ("vgg16_bn", 8, "scores")
    assert parse_name("fcn4s-resnet18-features")[:3] == ("resnet18", 4, "features")
    assert parse_name("fcn4s-resnet18-d8-at-once-frozen")[3:] == ("score", 8, True, "frozen", "same")
    net = build_network("fcn8s-squeezenet1_1", classes=4, channels=5).eval()
    with torch.no_grad():
        assert net(torch.randn(1, 5, 64, 64)).shape == (1, 4, 64, 64)


@pytest.mark.parametrize("name", ["fcn8s", "fcn8s-nothing", "unet", "fcn8s-"])
def test_unknown_names_are_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(NetworkError, match=r"fcn4s-mobilenet_v2|choose one of"):
        build_network(name, classes=2)


def test_a_stride_that_the_backbone_lacks_is_refused() -> None:
    with pytest.raises(NetworkError, match="squeezenet1_1 has no layer of stride 32; choose one of 2, 4, 8, 16"):
        fcn("squeezenet1_1", classes=2, stride=32)


@pytest.mark.parametrize("name", ["fcn4s-mobilenet_v2-features", "fcn8s-squeezenet1_1", "fcn8s-vgg16-reference"])
def test_the_listing_says_what_the_networks_are(name: str) -> None:
    entry = next(entry for entry in list_networks() if entry.name == name)
    assert entry == describe(name)
    net = build_network(name, classes=CLASSES)
    assert entry.parameters == sum(parameter.numel() for parameter in net.parameters())


def test_the_listing_has_every_network_of_its_backbones() -> None:
    listed = [entry.name for entry in list_networks()]
    assert {entry.backbone for entry in list_networks()} == set(LISTED)
    assert len(listed) == len(set(listed))
    some = ("alexnet", "mobilenet_v2", "convnext_tiny", "compact")
    assert names_on(some) == [name for name in listed if name.removesuffix("-features").endswith(some)]
