"""Servers and jobs that are killed with SIGKILL; `benchmarks/workbench_kills.py` does it 50 times."""

from __future__ import annotations

import importlib
import socket
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.long
def test_three_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks")
    benchmark = importlib.import_module("workbench_kills")
    plan = benchmark.PLAN | {"epochs": 2}
    found = benchmark.rehearse(tmp_path, kills=3, seed=2, ports=(free_port(),), requests=3, plan=plan)
    assert found.problems == []
    assert len(found.kills) == 3
    assert found.begun > 0
    assert any(answer.jobs for answer in found.answers)
