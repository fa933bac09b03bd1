"""Weight files of every kind that is read, and the sentence about those that are not."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from fullconv.errors import NetworkError
from fullconv.surgery.key_conventions import definition_order
from fullconv.surgery.weight_files import flat_state, read_weights


def small_net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def same(found: dict[str, torch.Tensor], net: nn.Module) -> bool:
    expected = net.state_dict()
    return list(found) == list(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pth.tar"])
def test_every_kind_of_file_gives_the_state_dict_in_its_order(tmp_path: Path, suffix: str) -> None:
    net, path = small_net(), tmp_path / f"net{suffix}"
    if suffix == ".safetensors":
        save_file(net.state_dict(), path)
    else:
        torch.save(net.state_dict(), path)
    assert same(read_weights(path), net)


def test_the_old_file_format_of_torch_is_read(tmp_path: Path) -> None:
    net, path = small_net(), tmp_path / "old.pth"
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False)
    assert same(read_weights(path), net)


def test_half_precision_becomes_float32_and_whole_numbers_stay(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file({name: v.half() if v.is_floating_point() else v for name, v in small_net().state_dict().items()}, path)
    found = read_weights(path)
    assert found["0.weight"].dtype == torch.float32
    assert found["1.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize(
    "nested",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
        lambda state: {"model": state, "args": None},
        lambda state: {"model_state": state, "epoch": torch.tensor(4)},
        lambda state: {"checkpoint": 1, "module": {"model_state_dict": state}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"module._orig_mod.{name}": value for name, value in state.items()}},
        lambda state: {"model": {name: value * 0 for name, value in state.items()}, "model_ema": state},
        lambda state: {"model_ema": {"n_averaged": torch.tensor(7), **{f"module.{n}": v for n, v in state.items()}}},
    ],
)
def test_nests_and_wrappers_are_taken_off(tmp_path: Path, nested: Any) -> None:
    net, path = small_net(), tmp_path / "checkpoint.pth"
    torch.save(nested(net.state_dict()), path)
    assert same(read_weights(path), net)


def test_a_layer_that_is_called_module_keeps_its_name() -> None:
    state = {"module.weight": torch.zeros(1), "head.weight": torch.zeros(1)}
    assert list(flat_state(state)) == list(state)


class Opened:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_with_code_is_refused_unopened(tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "opened"
    torch.save({"state_dict": {"a.weight": torch.zeros(1)}, "x": Opened(trace)}, path)
    with pytest.raises(NetworkError, match=r"evil.pth: holds more than tensors.*; save net.state_dict\(\) alone"):
        read_weights(path)
    assert not trace.exists()


def test_whole_networks_and_torchscript_are_refused(tmp_path: Path) -> None:
    torch.save(small_net(), tmp_path / "net.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Conv2d(1, 1, 1)), tmp_path / "script.pt")
    for name in ("net.pth", "script.pt"):
        with pytest.raises(NetworkError, match="holds more than tensors"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.bin"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 cut off"])
def test_damaged_files_are_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NetworkError, match="holds no readable weights"):
        read_weights(tmp_path / name)


def test_missing_foreign_and_empty_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="no such weight file"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(NetworkError, match="no such weight file"):
        read_weights(tmp_path)
    (tmp_path / "vgg.caffemodel").write_bytes(b"x")
    with pytest.raises(NetworkError, match=r"none of the kinds of weight files that are read \(.safetensors"):
        read_weights(tmp_path / "vgg.caffemodel")
    for content in ({"epoch": 3}, [torch.zeros(1)], torch.zeros(1)):
        torch.save(content, tmp_path / "empty.pth")
        with pytest.raises(NetworkError, match="is no state dict"):
            read_weights(tmp_path / "empty.pth")


TIMM = (
    "mobilenetv2_100",
    "mobilenetv3_large_100",
    "efficientnet_b0",
    "tf_efficientnetv2_s",
    "convnext_tiny",
    "resnet50",
)
TORCHVISION = ("vgg16_bn", "alexnet", "squeezenet1_0", "mobilenet_v2", "efficientnet_b0", "convnext_tiny", "resnet18")


@pytest.mark.parametrize("name", [f"timm/{name}" for name in TIMM] + [f"torchvision/{name}" for name in TORCHVISION])
def test_order_of_definition_is_restored_from_names(name: str) -> None:
    """Oracle: the order in which the network itself lists them."""
    library, _, model = name.partition("/")
    with torch.device("meta"):
        net = timm.create_model(model) if library == "timm" else torchvision.models.get_model(model, weights=None)
    names = list(net.state_dict())
    shuffled = random.Random(0).sample(names, len(names))
    assert definition_order(shuffled) == names


def test_tensors_under_unusual_keys_are_named(tmp_path: Path) -> None:
    state = small_net().state_dict()
    torch.save({"student": state, "teacher": state, "epoch": 3}, tmp_path / "both.pth")
    with pytest.raises(NetworkError, match="has its tensors under 'student', 'teacher'; save the one"):
        read_weights(tmp_path / "both.pth")


def test_a_checkpoint_that_contains_itself_is_one_sentence(tmp_path: Path) -> None:
    endless: dict[str, Any] = {"epoch": 1}
    endless["state_dict"] = endless
    torch.save(endless, tmp_path / "endless.pth")
    with pytest.raises(NetworkError, match="no state dict"):
        read_weights(tmp_path / "endless.pth")
    endless["scale"] = torch.ones(1)
    assert flat_state(endless) == {}


def test_sparse_weights_become_ordinary_ones() -> None:
    found = flat_state({"fc.weight": torch.eye(3).to_sparse()})["fc.weight"]
    assert torch.equal(found, torch.eye(3))
