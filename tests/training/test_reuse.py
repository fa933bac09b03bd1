"""A trained model as the start of another network: parameters found by name, scores by class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import fullconv as fc
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.dataset import Dataset
from fullconv.errors import NetworkError, PackageError, PlanError
from fullconv.networks.catalogue import build_network
from fullconv.networks.normalization import Normalization
from fullconv.networks.reference import AnyFCN
from fullconv.store.package import Geometry, ModelCard, save_package
from fullconv.store.recipe import NetworkRecipe
from fullconv.training.reuse import reuse

OLD = ("sky", "road", "car", "tree")


def packed(folder: Path, network: str, names: tuple[str, ...] = OLD, channels: int = 3) -> tuple[AnyFCN, Path]:
    """A network whose every parameter is random, as a package."""
    torch.manual_seed(0)
    net = build_network(network, classes=len(names), channels=channels).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    table = ClassTable(
        classes=tuple(
            SegmentationClass(name=name, color=(index, 0, 0), value=index, codes=(index,))
            for index, name in enumerate(names)
        )
    )
    normalization = Normalization(scale=255, mean=(0.3,) * channels, std=(0.2,) * channels)
    recipe = NetworkRecipe(name=network, classes=len(names), channels=channels)
    card = ModelCard(
        name="old", network=recipe, classes=table, normalization=normalization, geometry=Geometry(stride=8)
    )
    return net, save_package(folder / "old", net, card)


def scores(net: AnyFCN, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return net.eval()(images)


NETWORKS = [
    "fcn8s-squeezenet1_1",
    "fcn8s-squeezenet1_1-features",
    "fcn16s-squeezenet1_1-learned",
    "fcn16s-squeezenet1_1-learned-dense",
]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_network_starts_where_the_model_ended(network: str, tmp_path: Path) -> None:
    old, package = packed(tmp_path, network)
    net = build_network(network, classes=4)
    report = reuse(net, network, package, OLD)
    images = torch.randn(1, 3, 70, 50)
    assert torch.equal(scores(net, images), scores(old, images))
    assert report.initialised == report.adapted == ()
    assert report.pretrained


@pytest.mark.parametrize("network", NETWORKS)
def test_scores_of_shared_classes_are_taken_over_by_name(network: str, tmp_path: Path) -> None:
    old, package = packed(tmp_path, network)
    names = ("Road", "lamp", "sky", "water", "tree")
    net = build_network(network, classes=5)
    report = reuse(net, network, package, names)
    images = torch.randn(1, 3, 70, 50)
    found, before = scores(net, images), scores(old, images)
    for new, name in ((0, "road"), (2, "sky"), (4, "tree")):
        if "dense" in network:  # every class reads every other, and those that are gone are missing
            continue
        torch.testing.assert_close(found[:, new], before[:, OLD.index(name)])
    assert not torch.equal(found[:, 1], found[:, 0])
    assert {note for _, note in report.adapted} == {"3 of 5 classes, by name"}


def test_dense_upsampling_keeps_what_shared_classes_say_to_each_other(tmp_path: Path) -> None:
    old, package = packed(tmp_path, "fcn16s-squeezenet1_1-learned-dense")
    net = build_network("fcn16s-squeezenet1_1-learned-dense", classes=3)
    start = {name: value.clone() for name, value in net.state_dict().items()}
    reuse(net, "fcn16s-squeezenet1_1-learned-dense", package, ("car", "new", "sky"))
    kernels = {name: value for name, value in net.state_dict().items() if value.ndim == 4 and value.shape[:2] == (3, 3)}
    assert kernels
    for name, value in kernels.items():
        before = old.state_dict()[name]
        assert torch.equal(value[0, 2], before[2, 0])
        assert torch.equal(value[2, 2], before[0, 0])
        assert torch.equal(value[1], start[name][1])
        assert torch.equal(value[:, 1], start[name][:, 1])


@pytest.mark.parametrize(("coarse", "fine"), [("fcn32s-vgg11", "fcn16s-vgg11"), ("fcn16s-vgg11", "fcn8s-vgg11")])
def test_a_finer_network_begins_with_the_answers_of_the_coarser(coarse: str, fine: str, tmp_path: Path) -> None:
    old, package = packed(tmp_path, coarse)
    net = build_network(fine, classes=4)
    report = reuse(net, fine, package, OLD)
    shared = {name: value for name, value in net.state_dict().items() if name in old.state_dict()}
    assert {"head.scores.0.weight", "head.scores.0.bias"} <= set(shared)
    assert all(torch.equal(value, old.state_dict()[name]) for name, value in shared.items())
    assert all(net.get_parameter(name).abs().max() == 0 for name in report.initialised)
    assert len(report.initialised) == 2  # weight and bias of the new score layer


def test_another_backbone_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    _, package = packed(tmp_path, "fcn8s-squeezenet1_1")
    for network, channels in (("fcn8s-squeezenet1_0", 3), ("fcn8s-squeezenet1_1", 4)):
        net = build_network(network, classes=4, channels=channels)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        with pytest.raises(NetworkError, match="the model's backbone is another one"):
            reuse(net, network, package, OLD)
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_damaged_weights_are_one_sentence(tmp_path: Path) -> None:
    _, package = packed(tmp_path, "fcn8s-squeezenet1_1")
    (package / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(PackageError, match="weights cannot be read"):
        reuse(build_network("fcn8s-squeezenet1_1", classes=4), "fcn8s-squeezenet1_1", package, OLD)


def test_stages_from_run_to_run(dataset: Dataset, quick: dict[str, Any]) -> None:
    first = fc.train(dataset, settings=quick | {"network": "fcn16s-squeezenet1_1", "epochs": 1}, quiet=True)
    settings = quick | {"network": "fcn8s-squeezenet1_1", "weights": first.directory.name, "epochs": 1}
    second = fc.train(dataset, settings=settings, quiet=True)
    assert second.experiment.weights == str(first.directory / "model")
    transfer = json.loads((second.directory / "transfer.json").read_text())
    assert transfer["source"] == f"model {first.directory.name}"
    assert "head.scores.0.weight" in transfer["copied"]
    assert second.model.card.normalization == first.model.card.normalization
    assert second.model.card.history[-1].details["weights"] == f"model {first.directory.name}"


def test_a_model_that_is_not_there_is_one_sentence(dataset: Dataset, quick: dict[str, Any]) -> None:
    with pytest.raises(NetworkError, match="no-such-model"):
        fc.train(dataset, settings=quick | {"weights": "no-such-model"}, quiet=True)


def test_a_frozen_backbone_needs_weights(dataset: Dataset, quick: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="frozen random weights"):
        fc.train(dataset, settings=quick | {"optimization": {"backbone": "frozen"}}, quiet=True)
