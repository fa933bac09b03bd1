"""Weight files in the workspace: kept as safetensors, found by name, and taken as start values."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fullconv.errors import NetworkError, PackageError, StorageError
from fullconv.networks.catalogue import build_network
from fullconv.store.stored_weights import find_weights, keep_weights, read_weights_card
from fullconv.surgery.weight_files import read_weights


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    net = build_network("fcn8s-squeezenet1_1", classes=2, channels=3)
    return {name: value.clone() for name, value in net.state_dict().items()}


def test_safetensors_stay_as_they_are(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "given.safetensors")
    card = keep_weights(tmp_path / "models" / "start", tmp_path / "given.safetensors", source="given.safetensors")
    path = find_weights("start", tmp_path / "models")
    assert path is not None
    assert path.read_bytes() == (tmp_path / "given.safetensors").read_bytes()
    assert (card.tensors, card.values) == (len(state), sum(value.numel() for value in state.values()))
    assert read_weights_card(tmp_path / "models" / "start") == card


def test_a_pickle_is_not_taken_and_can_be_made_one(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "a.pth"
    )
    with pytest.raises(PackageError):
        keep_weights(tmp_path / "models" / "start", tmp_path / "a.pth", source="a.pth")
    save_file(read_weights(tmp_path / "a.pth"), tmp_path / "a.safetensors")
    keep_weights(tmp_path / "models" / "start", tmp_path / "a.safetensors", source="a.safetensors")
    found = load_file(tmp_path / "models" / "start" / "weights.safetensors")
    assert set(found) == set(state)
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_a_name_that_is_taken_or_none_is_told(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "given.safetensors")
    keep_weights(tmp_path / "models" / "start", tmp_path / "given.safetensors", source="x")
    with pytest.raises(StorageError, match="exists already"):
        keep_weights(tmp_path / "models" / "start", tmp_path / "given.safetensors", source="x")
    assert find_weights("../start", tmp_path / "models") is None
    assert find_weights("nothing", tmp_path / "models") is None


def test_what_holds_no_weights_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "b.pth")
    with pytest.raises(PackageError, match="cannot be read"):
        keep_weights(tmp_path / "models" / "start", tmp_path / "a.safetensors", source="a")
    with pytest.raises(PackageError, match="cannot be read"):
        keep_weights(tmp_path / "models" / "start", tmp_path / "b.pth", source="b")
    assert not list((tmp_path / "models").iterdir())


def test_few_bytes_that_stand_for_many_are_refused(tmp_path: Path) -> None:
    sparse = torch.sparse_coo_tensor(
        torch.tensor([[0], [0]]), torch.tensor([1.0]), (10**6, 10**6), check_invariants=True
    )
    torch.save({"conv.weight": sparse, "conv.bias": torch.zeros(1)}, tmp_path / "sparse.pth")
    torch.save({"conv.weight": torch.zeros(1).expand(2**20, 2**20)}, tmp_path / "repeated.pth")
    for name in ("sparse.pth", "repeated.pth"):
        with pytest.raises(NetworkError, match="GiB of tensors"):
            read_weights(tmp_path / name)
