"""Fixtures that every room's tests share."""

from __future__ import annotations

import gc
import io
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared"
LONG = ("browser", "cluster", "long")
"""Markers of tests that take long, few as they are."""


def pytest_configure() -> None:
    """Ctrl-C is heard, also where a shell started the tests in the background: what they start would be deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: much of the time servers, browsers and other processes are waited for."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """What was imported stays: the collector need not look at hundreds of thousands of objects again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """At the end modules clear away what is theirs."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that none is left alone at the end; then those with many tests."""
    tests = Counter(item.path for item in items)
    long = {item.path for item in items if any(item.get_closest_marker(name) for name in LONG)}
    items.sort(key=lambda item: (item.path not in long, -tests[item.path]))


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


@pytest.fixture(autouse=True)
def blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have blank figures where no test looks at them: to draw them takes longer than a tiny training."""
    if request.path.parent.name == "evaluation":
        return
    blank = io.BytesIO()
    Image.new("L", (6, 4), 255).save(blank, "PNG")
    monkeypatch.setattr("fullconv.evaluation.report.to_png", lambda figure: blank.getvalue())
    monkeypatch.setattr("fullconv.evaluation.report.to_svg", lambda figure: "<svg></svg>")
