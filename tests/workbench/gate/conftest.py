"""A workbench behind its gate, in process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asgi_requests import TOKEN
from fullconv.workbench.application import create_app
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def bench(home: Workspace, tmp_path: Path) -> Iterator[Workbench]:
    made = Workbench(ServerSettings(home, roots=(tmp_path,)))
    yield made
    made.engine.dispose()


@pytest.fixture
def app(bench: Workbench) -> Any:
    return create_app(bench, pages=False)


@pytest.fixture
def make(bench: Workbench) -> Callable[..., Any]:
    """The same workbench, started otherwise."""

    def made(**changes: Any) -> Any:
        bench.settings = replace(bench.settings, **changes)
        return create_app(bench, pages=False)

    return made


@pytest.fixture
def locked(make: Callable[..., Any]) -> Any:
    return make(token=TOKEN)
