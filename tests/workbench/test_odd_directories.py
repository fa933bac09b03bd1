"""Whatever lies in a workspace: one odd directory hides no other, and does not end the watching."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from fullconv.workbench.workbench import Workbench


def entry(bench: Workbench, name: str) -> str | None:
    """What is wrong with a run."""
    return next(found.problem for found in bench.catalogue.entries("run") if found.name == name)


@pytest.fixture
def second(bench: Workbench) -> Path:
    shutil.copytree(bench.home.run("first"), bench.home.run("second"))
    return bench.home.run("second")


def test_a_status_that_is_a_folder_hides_no_other_run(bench: Workbench, second: Path) -> None:
    (second / "status.json").unlink()
    (second / "status.json").mkdir()
    bench.catalogue.refresh()
    assert entry(bench, "first") is None
    assert entry(bench, "second")


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"scores": []}', '{"scores": {"mean_iou": "high"}}', "\xff"])
def test_strange_scores_hide_nothing(bench: Workbench, second: Path, text: str) -> None:
    (second / "report" / "scores.json").write_text(text, encoding="latin-1")
    bench.catalogue.refresh()
    assert {found.name for found in bench.catalogue.entries("run")} == {"first", "second"}


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may read everything")
def test_a_directory_that_may_not_be_entered_is_listed_with_its_problem(bench: Workbench, second: Path) -> None:
    second.chmod(0o600)
    try:
        bench.catalogue.refresh()
        assert entry(bench, "first") is None
        assert "cannot be read" in str(entry(bench, "second"))
    finally:
        second.chmod(0o700)


def test_a_name_that_is_no_text_is_passed_over(bench: Workbench, second: Path) -> None:
    os.rename(os.fsencode(second), os.fsencode(second.parent) + b"/caf\xe9")  # noqa: PTH104 - bytes
    bench.catalogue.refresh()
    assert [found.name for found in bench.catalogue.entries("run")] == ["first"]


def test_the_watcher_goes_on_whatever_happens(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    again = threading.Event()
    times = []

    def refresh() -> int:
        times.append(1)
        if len(times) < 3:
            raise RuntimeError("odd")
        again.set()
        return 0

    object.__setattr__(bench.catalogue, "refresh", refresh)
    monkeypatch.setattr("fullconv.workbench.workbench.REFRESH_SECONDS", 0.001)
    watcher = threading.Thread(target=bench._watch)
    watcher.start()
    assert again.wait(30)
    bench._over.set()
    watcher.join(30)
    assert [record.message for record in caplog.records] == ["looking at the workspace"]
