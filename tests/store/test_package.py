"""Packages: all that prediction needs, bit for bit, and nothing that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.errors import PackageError, StorageError
from fullconv.networks.catalogue import build_network
from fullconv.networks.normalization import Normalization
from fullconv.store.package import Geometry, ModelCard, find_package, load_package, save_package
from fullconv.store.recipe import NetworkRecipe

TABLE = ClassTable(
    classes=(
        SegmentationClass(name="a", color=(1, 2, 3), value=4, codes=(4, 5)),
        SegmentationClass(name="ö", color=(5, 6, 7), value=9, codes=(9,)),
    )
)


@pytest.fixture
def card() -> ModelCard:
    recipe = NetworkRecipe(name="fcn8s-squeezenet1_1", classes=2, channels=4)
    normalization = Normalization(scale=65535, mean=(0.1, 0.2, 0.3, 0.4), std=(1, 1, 1, 2))
    return ModelCard(
        name="m",
        network=recipe,
        classes=TABLE,
        image_dtype="uint16",
        normalization=normalization,
        geometry=Geometry(stride=8),
    )


@pytest.fixture
def package(tmp_path: Path, card: ModelCard) -> Path:
    torch.manual_seed(0)
    return save_package(tmp_path / "m", card.network.build(), card)


def test_what_was_saved_is_loaded(package: Path, card: ModelCard) -> None:
    torch.manual_seed(0)
    expected = build_network("fcn8s-squeezenet1_1", classes=2, channels=4).eval()
    net, found = load_package(package)
    assert found == card
    images = torch.randn(1, 4, 33, 47)
    with torch.no_grad():
        assert torch.equal(net(images), expected(images))


def test_saving_over_a_package_needs_to_be_asked_for(package: Path, card: ModelCard) -> None:
    with pytest.raises(StorageError, match="exists already"):
        save_package(package, card.network.build(), card)
    save_package(package, card.network.build(), card, replace=True)
    assert sorted(path.name for path in package.iterdir()) == ["model.safetensors", "model.yaml"]


def test_packages_are_found_by_folder_file_run_and_name(package: Path, card: ModelCard, tmp_path: Path) -> None:
    models, runs = tmp_path, tmp_path / "runs"
    save_package(runs / "run-1" / "model", card.network.build(), card)
    assert find_package(package, models, runs) == package
    assert find_package(package / "model.yaml", models, runs) == package
    assert find_package("m", models, runs) == package
    assert find_package("run-1", models, runs) == runs / "run-1" / "model"
    assert find_package(runs / "run-1", models, runs) == runs / "run-1" / "model"
    with pytest.raises(PackageError, match="no model package"):
        find_package("nothing", models, runs)


@pytest.mark.parametrize("damage", ["cut", "gone", "foreign", "card", "field", "future"])
def test_damage_is_one_sentence(package: Path, card: ModelCard, tmp_path: Path, damage: str) -> None:
    weights, text = package / "model.safetensors", package / "model.yaml"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "gone":
        weights.unlink()
    elif damage == "foreign":
        other = card.model_copy(update={"network": NetworkRecipe(name="fcn8s-resnet18", classes=2, channels=3)})
        save_package(tmp_path / "other", other.network.build(), other)
        weights.write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    elif damage == "card":
        text.write_text("name: [")
    elif damage == "field":
        text.write_text(text.read_text().replace("channels: 4", "channels: none"))
    else:
        text.write_text(text.read_text().replace("format: 1", "format: 2"))
    with pytest.raises(PackageError) as raised:
        load_package(package)
    assert "model." in str(raised.value)
