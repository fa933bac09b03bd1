"""Fixtures that every room's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout; tests that need it are marked `realdata`."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real data folder ../shared is not here")
    return SHARED


@pytest.fixture(autouse=True)
def workspace_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a workspace of its own."""
    home = tmp_path / "workspace"
    monkeypatch.setenv("FULLCONV_HOME", str(home))
    return home
