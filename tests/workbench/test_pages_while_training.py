"""No page waits on training: all of them answer while a training that has the machine says and does nothing."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fullconv.process_identity import process_lives
from fullconv.training.status import Status, read_status
from fullconv.workspace import Workspace
from workbench.conftest import QUICK

FOR_EVER = 120
"""Seconds. The training is stopped, so that whoever waits for it waits until this is over."""
STOPS = 3


class Site:
    """A server and what it answers."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(
        self, path: str, body: bytes | None = None, kind: str = "application/json", method: str | None = None
    ) -> Any:
        headers = {"Content-Type": kind, "Accept": "application/json" if "/api/" in path else "*/*"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=FOR_EVER) as answer:
            content = answer.read()
        assert answer.status in (200, 201, 202), path
        return json.loads(content) if path.startswith("/api/") else content


def until_it_learns(run: Path) -> Status:
    end = time.monotonic() + 300
    while not ((status := read_status(run)).state == "running" and status.progress > 0):
        assert status.state in ("queued", "running"), status
        assert time.monotonic() < end
        time.sleep(0.05)
    return status


@contextmanager
def standing_still(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_everything_answers_while_a_training_keeps_the_machine(
    home: Workspace, scenes: Path, serve: Callable[..., str]
) -> None:
    site = Site(serve(home, "--cpu-jobs", "1", "--root", str(scenes.parent)))
    plan = {"dataset": "streets", **QUICK, "epochs": 5000}
    first = site.ask("/api/v1/runs", json.dumps({"experiment": plan}).encode())
    (name,) = first["runs"]
    second = site.ask("/api/v1/runs", json.dumps({"experiment": plan | {"seed": 7}}).encode())
    status = until_it_learns(home.run(name))
    assert read_status(home.run(second["runs"][0])).state == "queued"  # the slot is taken
    pages = ["/", "/datasets", "/datasets/new", "/datasets/streets", "/runs/new", f"/runs/{name}", "/runs/first"]
    pages += ["/models", "/models/first", "/test?model=first", "/layers?model=first", "/compare"]
    twins = ["home", "system", "datasets", "datasets/streets", "runs", f"runs/{name}", f"runs/{name}/metrics"]
    twins += [f"runs/{name}/charts", f"runs/{name}/log", f"runs/{name}/checkpoints", "jobs", "models", "groups"]
    twins += [f"jobs/{first['jobs'][0]['id']}/log", f"runs/{name}/experiment", "networks"]
    image = next(scenes.rglob("*.jpg"), None) or next(scenes.rglob("images/**/*.png"))
    try:
        for _ in range(STOPS):
            with standing_still(status.process):
                for page in pages:
                    assert b"FullConv" in site.ask(page), page
                for twin in twins:
                    assert site.ask(f"/api/v1/{twin}") is not None, twin
                kind = "image/jpeg" if image.suffix == ".jpg" else "image/png"
                assert "classes" in site.ask("/api/v1/models/first/predict", image.read_bytes(), kind)
                assert site.ask("/api/v1/plans", json.dumps({"experiment": plan}).encode())["runs"] == 1
            time.sleep(0.3)  # it may be anywhere in its work the next time
        assert site.ask(f"/api/v1/runs/{name}")["state"] == "running"
    finally:
        for job in (second["jobs"][0], first["jobs"][0]):
            site.ask(f"/api/v1/jobs/{job['id']}/abort", method="POST")
        end = time.monotonic() + FOR_EVER
        while process_lives(status.process, status.started, status.identity):
            if time.monotonic() > end:
                os.kill(status.process, signal.SIGKILL)
            time.sleep(0.1)
    assert read_status(home.run(name)).state == "aborted"
