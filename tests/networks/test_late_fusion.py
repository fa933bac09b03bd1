"""Two networks for two groups of bands, their scores summed; and early fusion, one network for all bands."""

from __future__ import annotations

import copy
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from folders import class_file, label, save_label
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.dataset import Dataset
from fullconv.errors import NetworkError
from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.measuring import measure_reach
from fullconv.networks.backbones import build_classifier, first_convolution
from fullconv.networks.building import fcn
from fullconv.networks.catalogue import any_network, build_network, parse_name
from fullconv.networks.late_fusion import LateFusion
from fullconv.networks.normalization import Normalization
from fullconv.networks.weights import load_weights
from fullconv.prediction.model import load
from fullconv.store.package import Geometry, ModelCard, load_package, save_package
from fullconv.store.recipe import NetworkRecipe
from fullconv.training.fit import train
from fullconv.workspace import Workspace

NAME = "fcn8s-squeezenet1_1-late3"
NAMES = (NAME, "fcn8s-resnet18-late3", "fcn4s-mobilenet_v2-features-late3")


def with_random_scores(net: nn.Module) -> nn.Module:
    """Score layers start at zero, where all networks are equal; these are not."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in net.head.parameters():
            parameter.normal_()
    return net.eval()


@pytest.fixture(scope="module")
def squeezenet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file(build_classifier("squeezenet1_1").state_dict(), path)
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [4, 6])
def test_scores_are_the_sum_of_two_networks_on_their_own_bands(name: str, channels: int) -> None:
    net = with_random_scores(build_network(name, classes=5, channels=channels))
    assert isinstance(net, LateFusion)
    assert (net.bands, net.image_channels, net.stride) == ((3, channels - 3), channels, parse_name(name).stride)
    images = torch.randn(2, channels, 97, 61)
    with torch.no_grad():
        scores = net(images)
        assert scores.shape == (2, 5, 97, 61)
        torch.testing.assert_close(scores, net.first(images[:, :3]) + net.second(images[:, 3:]), rtol=0, atol=0)
        other_rest = torch.cat([images[:, :3], torch.randn(2, channels - 3, 97, 61)], dim=1)
        torch.testing.assert_close(net(other_rest), net.first(images[:, :3]) + net.second(other_rest[:, 3:]))
        assert not torch.equal(net(other_rest), scores)
        for parameter in net.first.head.parameters():
            parameter.zero_()
        torch.testing.assert_close(net(images), net.second(images[:, 3:]))


@pytest.mark.parametrize("name", NAMES)
def test_zero_scores_guess_and_a_step_lowers_the_loss(name: str) -> None:
    torch.manual_seed(0)
    net = build_network(name, classes=4, channels=6).eval()
    images = torch.randn(2, 6, 97, 61)
    labels = (images.mean(1) > 0).long()
    before = F.cross_entropy(net(images), labels, ignore_index=255)
    assert before.item() == pytest.approx(math.log(4), abs=1e-6)
    optimizer = torch.optim.SGD(net.parameters(), 1e-3)
    before.backward()
    for head in net.head.values():
        assert any(parameter.grad.any() for parameter in head.parameters())
    optimizer.step()
    with torch.no_grad():
        assert F.cross_entropy(net(images), labels, ignore_index=255) < before


@pytest.mark.parametrize("name", ["fcn8s-compact-late3", "fcn8s-resnet18-late3"])
def test_it_reads_what_its_geometry_says(name: str) -> None:
    net = with_random_scores(build_network(name, classes=2, channels=6))
    geometry = geometry_of(net)
    assert geometry.channels == 6
    assert geometry.output is not None
    assert (geometry.output.rows.stride, geometry.output.rows.center, max(geometry.output.skew)) == (1, 0, 0)
    assert geometry.reach == geometry_of(net.first).reach == measure_reach(net)
    assert geometry.parameters == 2 * geometry_of(net.first).parameters


def test_networks_of_different_reach_are_followed_both() -> None:
    near, far = fcn("compact", classes=3, stride=8, channels=2), fcn("squeezenet1_1", classes=3, stride=8, channels=1)
    for first, second in ((near, far), (far, near)):
        net = with_random_scores(LateFusion(first, second))
        geometry = geometry_of(net)
        assert geometry.reach == measure_reach(net)
        assert geometry.total_stride == (32, 32)
        assert geometry.output.rows.center == Fraction(0)


def test_a_catalogue_name_without_a_band_count_has_one_for_each() -> None:
    assert geometry_of(any_network("fcn32s-alexnet-late3")).channels == 6
    assert next(any_network("fcn32s-vgg16-reference-late3").parameters()).is_meta
    assert parse_name("fcn32s-vgg16-reference-late3") == parse_name("fcn32s-vgg16-reference")


def test_the_authors_nets_can_be_fused() -> None:
    with torch.device("meta"):
        net = build_network("fcn32s-vgg16-reference-late3", classes=40, channels=6).eval()
    geometry = geometry_of(net)
    one = geometry_of(net.first)
    assert (geometry.reach, geometry.parameters) == (one.reach, 2 * one.parameters)
    assert set(net.features) == set(net.head) == {"first", "second"}


@pytest.mark.parametrize(
    ("name", "channels"), [(NAME, 3), (NAME, 1), ("fcn8s-squeezenet1_1-late0", 4), ("fcn8s-squeezenet1_1-late4", 4)]
)
def test_bands_for_one_network_only_are_refused(name: str, channels: int) -> None:
    with pytest.raises(NetworkError, match=f"no band of {channels}; give images with more bands"):
        build_network(name, classes=2, channels=channels)


@pytest.mark.parametrize("name", ["fcn8s-squeezenet1_1-late", "fcn8s-squeezenet1_1-late3-late2", "unet-late3"])
def test_other_late_names_are_unknown(name: str) -> None:
    with pytest.raises(NetworkError, match=r"no network is named|no backbone is named"):
        build_network(name, classes=2, channels=8)


@pytest.mark.parametrize("channels", [4, 5, 6])
def test_one_file_fills_both_networks(squeezenet_file: Path, channels: int) -> None:
    net = build_network(NAME, classes=2, channels=channels)
    report = load_weights(net, "squeezenet1_1", str(squeezenet_file))
    torch.manual_seed(3)
    expected = build_classifier("squeezenet1_1").state_dict()
    for name, value in net.first.features.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    for name, value in net.second.features.state_dict().items():
        if name != "features.0.weight" or channels == 6:
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    mean = expected["features.0.weight"].mean(1, keepdim=True)
    if channels < 6:
        further = channels - 3
        stem = net.second.features.get_parameter("features.0.weight")
        torch.testing.assert_close(stem, mean.expand(-1, further, -1, -1) * 3 / further)
    notes = () if channels == 6 else (("second.features.features.0.weight", "mean of the colour filters"),)
    assert report.adapted == notes
    parameters = {name for name, _ in net.named_parameters()}
    backbone = {name for name in parameters if ".features." in name}
    assert {name for name in backbone if name.startswith("first.")} < set(report.copied)
    assert set(report.copied) | {name for name, _ in notes} == backbone
    assert set(report.initialised) == parameters - backbone
    assert not any(parameter.any() for parameter in net.head.parameters())


def test_a_file_for_one_of_two_networks_changes_neither(squeezenet_file: Path) -> None:
    net = LateFusion(fcn("squeezenet1_1", classes=2), fcn("resnet18", classes=2))
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(NetworkError, match=r"nothing in it fits|lacks"):
        load_weights(net, "squeezenet1_1", str(squeezenet_file))
    after = net.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("backbone", ["squeezenet1_1", "resnet18", "mobilenet_v2"])
def test_early_fusion_starts_the_fourth_band_from_the_mean_of_the_colours(backbone: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    classifier = build_classifier(backbone)
    save_file(classifier.state_dict(), tmp_path / "colors.safetensors")
    stem, layer = first_convolution(classifier)
    net = fcn(backbone, classes=2, channels=4)
    report = load_weights(net, backbone, str(tmp_path / "colors.safetensors"))
    weight = net.features.get_parameter(f"{stem}.weight")
    torch.testing.assert_close(weight[:, :3], layer.weight, rtol=0, atol=0)
    torch.testing.assert_close(weight[:, 3], layer.weight.mean(dim=1))
    assert report.adapted == ((f"features.{stem}.weight", "mean of the colour filters"),)
    assert set(report.initialised) == {name for name, _ in net.named_parameters() if name.startswith("head")}


def test_state_and_copies_compute_the_same() -> None:
    torch.manual_seed(1)
    net = with_random_scores(build_network(NAME, classes=3, channels=5))
    images = torch.randn(1, 5, 97, 61)
    other = build_network(NAME, classes=3, channels=5).eval()
    with torch.no_grad():
        expected = net(images)
        assert not torch.equal(other(images), expected)
        other.load_state_dict(net.state_dict())
        twin = copy.deepcopy(net)
        assert torch.equal(other(images), expected)
        assert torch.equal(twin(images), expected)
        next(twin.second.head.parameters()).zero_()
        assert not torch.equal(twin(images), expected)
        assert torch.equal(net(images), expected)
    assert twin.image_channels == 5


def test_a_package_of_it_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    recipe = NetworkRecipe(name="fcn8s-resnet18-late3", classes=2, channels=6)
    net = with_random_scores(recipe.build())
    classes = tuple(
        SegmentationClass(name=name, color=(value, 0, 0), value=value, codes=(value,))
        for value, name in enumerate("ab")
    )
    card = ModelCard(
        name="rgb-hha",
        network=recipe,
        classes=ClassTable(classes=classes),
        normalization=Normalization(scale=255, mean=(0.5,) * 6, std=(1.0,) * 6),
        geometry=Geometry.of(net),
    )
    reach = geometry_of(net.first).reach
    assert card.geometry.reach == (reach.up, reach.down, reach.left, reach.right)
    loaded, found = load_package(save_package(tmp_path / "model", net, card))
    assert found == card
    images = torch.randn(1, 6, 97, 61)
    with torch.no_grad():
        assert torch.equal(loaded(images), net(images))


def test_it_trains_on_a_set_of_four_bands(tmp_path: Path, squeezenet_file: Path) -> None:
    """Only the fourth band tells the classes apart, so what is learnt went through the second network."""
    torch.set_num_threads(1)
    root = tmp_path / "depth"
    (root / "images").mkdir(parents=True)
    for number in range(12):
        ids = label(number, (64, 64))
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3))
        bands = np.dstack([noise, ids * 80]).astype(np.uint8)
        tifffile.imwrite(root / "images" / f"{number:03}.tif", bands, photometric="minisblack", planarconfig="contig")
        save_label(root / "labels" / f"{number:03}.png", ids)
    class_file(root)
    data = Dataset.from_folders(root, name="depth")
    run = train(
        data,
        "fcn4s-squeezenet1_1-late3",
        workspace=Workspace(tmp_path / "home"),
        quiet=True,
        weights=str(squeezenet_file),
        epochs=12,
        views=1,
        batch_size=4,
        crop=[64, 64],
        workers=0,
        precision="fp32",
        device="cpu",
    )
    pixels = data.statistics.pixels("test")
    assert run.scores.pixel_accuracy > max(pixels) / sum(pixels) + 0.05
    model = load(run.directory / "model")
    assert model.card.network == NetworkRecipe(name="fcn4s-squeezenet1_1-late3", classes=4, channels=4)
    image = data.test[0][0]
    assert np.array_equal(model.predict(image).labels, run.model.predict(image).labels)
