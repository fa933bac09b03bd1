"""Packages whose network is from a Python file: what is in them runs only if allowed, and only as it was saved."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
import yaml

import fullconv as fc
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.errors import FullconvError, PackageError
from fullconv.networks.normalization import Normalization
from fullconv.networks.own_file import OwnFile, own_network
from fullconv.store.package import Geometry, ModelCard, load_package, save_package
from fullconv.store.recipe import NetworkCode, NetworkRecipe

TEXT = """
from pathlib import Path
from torch import nn

Path({marker!r}).write_text("run")

def build(classes, channels):
    net = nn.Sequential(nn.Conv2d(channels, 6, 3, padding=1), nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1))
    net[2].weight = net[1].weight
    return nn.Sequential(net, nn.BatchNorm2d(6), nn.Conv2d(6, classes, 1))
"""

TABLE = ClassTable(
    classes=tuple(
        SegmentationClass(name=name, color=(index, 0, 0), value=index, codes=(index,))
        for index, name in enumerate(("a", "b"))
    )
)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that the network's code writes when it is run."""
    return tmp_path / "marker"


@pytest.fixture
def package(tmp_path: Path, marker: Path) -> Path:
    path = tmp_path / "my_net.py"
    path.write_text(TEXT.format(marker=str(marker)))
    torch.manual_seed(0)
    net = own_network(f"{path}:build", classes=2, channels=4)
    card = ModelCard(
        name="m",
        network=NetworkRecipe(name="my_net.py:build", classes=2, channels=4, code=NetworkCode.of(net.file)),
        classes=TABLE,
        normalization=Normalization(scale=255, mean=(0,) * 4, std=(1,) * 4),
        geometry=Geometry.of(net),
    )
    saved = save_package(tmp_path / "m", net, card)
    path.unlink()
    marker.unlink()
    return saved


def test_loading_refuses_without_running_anything(package: Path, marker: Path) -> None:
    for load in (lambda: load_package(package), lambda: fc.load(package), lambda: fc.load(package, allow_code=False)):
        with pytest.raises(PackageError) as raised:
            load()
        said = str(raised.value)
        assert said.startswith(f"{package / 'network.py'}: this network (my_net.py:build) is Python code")
        assert "--allow-code" in said
        assert "allow_code=True" in said
        assert not marker.exists()


def test_allowed_it_is_the_network_that_was_saved(package: Path, marker: Path, tmp_path: Path) -> None:
    net, card = load_package(package, allow_code=True)
    assert marker.read_text() == "run"
    assert not net.training
    (tmp_path / "again.py").write_bytes((package / "network.py").read_bytes())
    torch.manual_seed(0)
    expected = OwnFile.read(f"{tmp_path / 'again.py'}:build").build(2, 4).eval()
    images = torch.randn(1, 4, 33, 47)
    with torch.no_grad():
        assert torch.equal(net(images), expected(images))
    assert card.network.code is not None
    assert card.network.code.sha256 == hashlib.sha256((package / "network.py").read_bytes()).hexdigest()
    assert fc.load(package, allow_code=True).card == card
    assert sorted(path.name for path in package.iterdir()) == ["model.safetensors", "model.yaml", "network.py"]


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_code_that_is_not_what_was_saved_is_never_run(package: Path, marker: Path, damage: str) -> None:
    code = package / "network.py"
    if damage == "changed":
        code.write_text(code.read_text() + "\n# one more line\n")
    else:
        code.unlink()
    with pytest.raises(PackageError, match=r"network\.py: .*; copy the package again"):
        load_package(package, allow_code=True)
    assert not marker.exists()


@pytest.mark.parametrize("change", ["no code", "catalogue name with code", "elsewhere", "statement"])
def test_a_card_made_up_by_somebody_runs_nothing(package: Path, marker: Path, change: str) -> None:
    card = package / "model.yaml"
    content = yaml.safe_load(card.read_text())
    network = content["network"]
    if change == "no code":
        del network["code"]
        network["name"] = f"{package / 'network.py'}:build"
    elif change == "catalogue name with code":
        network["name"] = "fcn8s-squeezenet1_1"
    elif change == "elsewhere":
        network["code"]["file"] = str(package / "network.py")
    else:
        network["code"]["function"] = "build()"
    card.write_text(yaml.safe_dump(content))
    for allow_code in (False, True):
        with pytest.raises(FullconvError):
            load_package(package, allow_code=allow_code)
        assert not marker.exists()


def test_a_package_of_the_catalogue_does_not_care(package: Path, tmp_path: Path) -> None:
    card = load_package(package, allow_code=True)[1]
    plain = card.model_copy(update={"network": NetworkRecipe(name="fcn8s-squeezenet1_1", classes=2, channels=4)})
    saved = save_package(tmp_path / "plain", plain.network.build(), plain)
    assert "code" not in yaml.safe_load((saved / "model.yaml").read_text())["network"]
    assert load_package(saved)[1] == load_package(saved, allow_code=True)[1] == plain
