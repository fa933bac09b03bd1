"""Packages from elsewhere: what fits is taken, what does not is refused before anything is made in its size."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.errors import PackageError
from fullconv.networks.catalogue import build_network
from fullconv.networks.ensemble import Ensemble
from fullconv.networks.normalization import Normalization
from fullconv.networks.own_file import own_network
from fullconv.store.checking import checked_package
from fullconv.store.package import Geometry, ModelCard, load_package, save_package
from fullconv.store.recipe import NetworkCode, NetworkRecipe
from fullconv.store.tensor_files import parameters_in, tensor_shapes

NAMES = ("road", "sky")
TABLE = ClassTable(
    classes=tuple(
        SegmentationClass(name=name, color=(90 * place, 90, 90), value=place, codes=(place,))
        for place, name in enumerate(NAMES)
    )
)


def card(**network: Any) -> ModelCard:
    recipe = {"name": "fcn8s-squeezenet1_1", "classes": 2, "channels": 3} | network
    heads = recipe["classes"]
    return ModelCard(
        name="small",
        network=NetworkRecipe(**recipe),
        classes=dict.fromkeys(heads, TABLE) if isinstance(heads, dict) else TABLE,
        normalization=Normalization.imagenet(),
        geometry=Geometry(stride=8),
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = build_network("fcn8s-squeezenet1_1", classes=2, channels=3)
    return save_package(tmp_path_factory.mktemp("store") / "small", net, card())


@pytest.fixture
def package(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "small"))


def test_a_package_that_fits_is_what_loading_it_gives(package: Path) -> None:
    found = checked_package(package)
    net, loaded = load_package(package)
    assert found == loaded
    shapes = tensor_shapes(package / "model.safetensors")
    assert shapes == {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert parameters_in(shapes) == sum(parameter.numel() for parameter in net.parameters())


def test_several_heads_and_several_members_fit_too(tmp_path: Path) -> None:
    heads = {"semantic": 2, "geometric": 2}
    net = build_network("fcn8s-squeezenet1_1", classes=(2, 2), channels=3)
    checked_package(save_package(tmp_path / "heads", net, card(classes=heads)))
    members = [build_network("fcn8s-squeezenet1_1", classes=2, channels=3) for _ in range(2)]
    checked_package(save_package(tmp_path / "votes", Ensemble(members), card(members=2)))


def test_code_is_compared_and_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "net.py").write_text(
        "import pathlib, torch\n"
        f"pathlib.Path({str(ran)!r}).touch()\n"
        "def build(classes, channels):\n"
        "    return torch.nn.Conv2d(channels, classes, 3, padding=1)\n"
    )
    net = own_network(f"{tmp_path}/net.py:build", classes=2)
    directory = save_package(tmp_path / "own", net, card(name="net.py:build", code=NetworkCode.of(net.file)))
    ran.unlink()
    checked_package(directory)
    assert not ran.exists()
    (directory / "network.py").write_text("raise SystemExit")
    with pytest.raises(PackageError, match="not the code"):
        checked_package(directory)
    (directory / "network.py").unlink()
    with pytest.raises(PackageError, match="missing"):
        checked_package(directory)


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def do(package: Path) -> None:
        content = yaml.safe_load((package / "model.yaml").read_text())
        change(content)
        (package / "model.yaml").write_text(yaml.safe_dump(content))

    return do


def tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def do(package: Path) -> None:
        content = load_file(package / "model.safetensors")
        change(content)
        save_file(content, package / "model.safetensors")

    return do


def written(name: str, content: str | bytes) -> Callable[[Path], None]:
    data = content.encode() if isinstance(content, str) else content
    return lambda package: (package / name).write_bytes(data) and None


def _header_of_nothing() -> bytes:
    """A safetensors header that promises a tensor of 4 TiB."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    return struct.pack("<Q", len(header)) + header


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no card": (lambda package: (package / "model.yaml").unlink(), "no model package"),
    "no weights": (lambda package: (package / "model.safetensors").unlink(), "cannot be read"),
    "no YAML": (written("model.yaml", "a: [b"), "not valid YAML"),
    "an unknown field": (edited(lambda content: content.update(surprise=1)), "surprise"),
    "references": (written("model.yaml", "a: &x [1]\nb: [*x, *x]\n"), "references"),
    "a deep nest": (written("model.yaml", "a: " + "[" * 400 + "]" * 400), "too deeply"),
    "a large card": (written("model.yaml", "# " + "x" * 2**23), "too large"),
    "a pickle": (written("model.safetensors", b"\x80\x04N."), "cannot be read"),
    "a promise": (written("model.safetensors", _header_of_nothing()), "cannot be read"),
    "another network": (edited(lambda content: content["network"].update(name="fcn8s-alexnet")), "do not fit"),
    "no such network": (edited(lambda content: content["network"].update(name="fcn8s-nothing")), "cannot be built"),
    "many classes": (edited(lambda content: content["network"].update(classes=10**9)), "2 are named"),
    "many bands": (edited(lambda content: content["network"].update(channels=10**9)), "no weights are there"),
    "many members": (edited(lambda content: content["network"].update(members=10**9)), "no weights are there"),
    "other bands": (edited(lambda content: content["network"].update(channels=4)), "4 bands"),
    "a missing tensor": (tensors(lambda state: state.pop(min(state)) is None), "1 tensors do not fit"),
    "one tensor more": (tensors(lambda state: state.update(extra=torch.zeros(1))), "such as extra"),
    "another shape": (tensors(lambda state: state.update({min(state): torch.zeros(3)})), "1 tensors do not fit"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_does_not_fit_is_refused(package: Path, damage: str) -> None:
    do, sentence = DAMAGE[damage]
    do(package)
    with pytest.raises(PackageError, match=sentence):
        checked_package(package)


def test_more_classes_than_weights_are_refused(package: Path) -> None:
    entries = [
        {"name": f"class {number}", "color": [0, 0, 0], "value": number, "codes": [number]} for number in range(3000)
    ]
    edited(lambda content: content.update(classes={"classes": entries}))(package)
    edited(lambda content: content["network"].update(classes=3000))(package)
    with pytest.raises(PackageError, match="no weights are there for 3000 classes"):
        checked_package(package)
