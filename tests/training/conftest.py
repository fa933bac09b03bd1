"""A tiny dataset that a tiny run learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from tiny_run import TINY


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("data") / "streets", count=16, size=(96, 72), processes=1)


@pytest.fixture
def dataset(scenes: Path) -> Dataset:
    return Dataset.from_folders(scenes, name="streets")


@pytest.fixture
def quick() -> dict[str, Any]:
    """Settings of a run that takes a second or two."""
    torch.set_num_threads(1)
    return TINY | {"epochs": 3}
