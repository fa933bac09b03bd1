"""A workbench on a workspace with a generated dataset and a small trained run."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from starlette.testclient import TestClient

import databases
from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.training.fit import train_as
from fullconv.workbench.application import create_app
from fullconv.workbench.settings import ServerSettings, Slots
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from programs import chromium
from served import Served, start_server
from tiny_run import TINY
from workbench.observed_jobs import Observer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BASE = "http://127.0.0.1:8460"
BROWSER_WAIT = 120_000
"""Milliseconds that a browser waits for what it expects."""
QUICK = TINY | {"epochs": 2}
"""Settings of a run that takes a second or two."""


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 16 street scenes and their labels."""
    return write_scenes(tmp_path_factory.mktemp("data") / "streets", count=16, size=(96, 72), processes=1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, scenes: Path) -> Path:
    """A workspace with the dataset `streets` and the finished run `first`; copy it before changing it."""
    torch.set_num_threads(1)
    home = Workspace(tmp_path_factory.mktemp("trained"))
    Dataset.from_folders(scenes, name="streets").save(home)
    train_as("first", "streets", QUICK, workspace=home, quiet=True)
    return home.root


@pytest.fixture
def home(tmp_path: Path, trained: Path) -> Workspace:
    """A workspace of one's own with what `trained` has."""
    shutil.copytree(trained, tmp_path / "home")
    return Workspace(tmp_path / "home")


@pytest.fixture
def bench(home: Workspace, scenes: Path) -> Iterator[Workbench]:
    """A workbench that knows its workspace; no jobs are started unless a test looks after them."""
    made = Workbench(ServerSettings(home, slots=Slots(cpu=1), roots=(scenes.parent,)))
    made.catalogue.refresh()
    yield made
    made.engine.dispose()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL server; the test is skipped where there is none."""
    reason = databases.missing()
    if reason is not None:
        pytest.skip(reason)
    with databases.postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'jobs.sqlite'}"
        return
    server = request.getfixturevalue("postgresql")
    with databases.schema_of(server, f"test_{secrets.token_hex(6)}") as url:
        yield url


@pytest.fixture
def client(bench: Workbench) -> TestClient:
    """REST of that workbench, in process; its threads are not started."""
    return TestClient(create_app(bench, pages=False), base_url=BASE)


@pytest.fixture
def work(bench: Workbench) -> Callable[[int], None]:
    """Lets jobs run in processes of their own until one of them has ended."""

    def until_ended(job: int, *, seconds: float = 300.0) -> None:
        end = time.monotonic() + seconds
        while bench.queue.get(job).state in ("queued", "claimed", "running"):
            assert time.monotonic() < end, bench.queue.get(job)
            bench.starter.look()
            time.sleep(0.1)
        bench.catalogue.refresh()

    return until_ended


@pytest.fixture
def observer(bench: Workbench) -> Observer:
    """A starter that looks after this workbench's jobs by a clock of the test."""
    return Observer(bench)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts real servers: `serve(home, "--read-only", …)` gives the address of one that answers."""
    started: list[Served] = []

    def start(home: Workspace, *options: str, address: str = "127.0.0.1") -> str:
        server, url = start_server(home, tmp_path / f"server-{len(started)}.log", *options, address=address)
        started.append(server)
        return url

    yield start
    for server in started:
        server.terminate()
    for server in started:
        server.wait(timeout=60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests of a file: a loop of its own runs as long as it does."""
    from playwright import sync_api as playwright

    playwright.expect.set_options(timeout=BROWSER_WAIT)
    with playwright.sync_playwright() as engine:
        made = chromium(engine)
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a browser that remembers nothing; what it complains about fails the test."""
    complaints: list[str] = []
    made = browser.new_page(viewport={"width": 1280, "height": 900})
    made.set_default_timeout(BROWSER_WAIT)
    made.on("pageerror", lambda error: complaints.append(str(error)))
    yield made
    made.close()
    assert complaints == []
