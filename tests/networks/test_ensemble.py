"""Networks that vote: the mean of probabilities, a package, a geometry."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.meta_values import bands_of
from fullconv.networks.catalogue import build_network
from fullconv.networks.ensemble import Ensemble
from fullconv.networks.late_fusion import late_fusion
from fullconv.networks.normalization import Normalization
from fullconv.store.package import Geometry, ModelCard, load_package, save_package
from fullconv.store.recipe import NetworkRecipe

NAME = "fcn8s-squeezenet1_1"


@pytest.fixture
def net() -> Ensemble:
    torch.manual_seed(0)
    members = [build_network(NAME, classes=3) for _ in range(3)]
    for member in members:
        for parameter in member.head.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return Ensemble(members).eval()


def test_it_yields_the_mean_of_the_probabilities(net: Ensemble) -> None:
    images = torch.randn(2, 3, 61, 45)
    with torch.no_grad():
        expected = torch.stack([member(images).softmax(1) for member in net.members]).mean(0)
        found = net(images)
    torch.testing.assert_close(found.exp(), expected)
    torch.testing.assert_close(found.softmax(1), expected)


def test_certain_members_leave_finite_scores(net: Ensemble) -> None:
    for member in net.members:
        for parameter in member.head.parameters():
            parameter.data.mul_(1e4)
    with torch.no_grad():
        assert net(torch.randn(1, 3, 61, 45)).isfinite().all()


def test_its_reach_is_that_of_its_members(net: Ensemble) -> None:
    assert geometry_of(net).reach == geometry_of(net.members[0]).reach


def test_its_package_is_loaded_bit_for_bit(net: Ensemble, tmp_path: Path) -> None:
    table = ClassTable(
        classes=tuple(
            SegmentationClass(name=name, color=(index, 0, 0), value=index, codes=(index,))
            for index, name in enumerate("abc")
        )
    )
    recipe = NetworkRecipe(name=NAME, classes=3, channels=3, members=3)
    card = ModelCard(
        name="m", network=recipe, classes=table, normalization=Normalization.imagenet(), geometry=Geometry.of(net)
    )
    loaded, _ = load_package(save_package(tmp_path / "m", net, card))
    images = torch.randn(1, 3, 61, 45)
    with torch.no_grad():
        assert torch.equal(loaded(images), net(images))


def test_late_fusion_votes_on_all_its_bands() -> None:
    towers = [late_fusion(lambda bands: build_network(NAME, classes=2, channels=bands), 4) for _ in range(2)]
    net = Ensemble(towers).eval()
    assert bands_of(net) == 4
    assert geometry_of(net).is_local
    assert net(torch.zeros(1, 4, 64, 48)).shape == (1, 2, 64, 48)
