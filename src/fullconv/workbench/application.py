"""The server's application: REST and pages, behind the gate."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from fullconv._version import VERSION
from fullconv.files import disk_errors
from fullconv.workbench.api import problems, routes
from fullconv.workbench.api.elsewhere import add_elsewhere
from fullconv.workbench.security.bodies import BodyLimit
from fullconv.workbench.security.gate import Gate
from fullconv.workbench.security.sign_in import SIGN_IN, signed_in
from fullconv.workbench.workbench import Workbench


def create_app(bench: Workbench, *, pages: bool = True) -> ASGIApp:
    """The whole server as one ASGI application.

    Args:
        bench: what it shows.
        pages: with the pages; REST alone otherwise. A process can show the pages of one workbench.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        bench.start()
        try:
            yield
        finally:
            bench.stop()

    app = FastAPI(
        title="FullConv",
        version=VERSION,
        description="Semantic segmentation: datasets, training runs, models and predictions of one workspace.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.bench = bench
    problems.install(app)
    app.include_router(routes.router)

    @app.post(SIGN_IN, include_in_schema=False)
    async def _sign_in(request: Request) -> Response:
        return await signed_in(request, bench.settings)

    add_elsewhere(app)
    if pages:
        _add_pages(app, bench)
    return Gate(BodyLimit(app, app, bench.settings.limits.upload), bench.settings)


def _add_pages(app: FastAPI, bench: Workbench) -> None:
    """Mount NiceGUI; what it remembers of visitors lies in the workspace."""
    storage = bench.home.root / "workbench"
    os.environ["NICEGUI_STORAGE_PATH"] = str(storage)
    from nicegui import app as gui
    from nicegui import ui

    from fullconv.workbench.pages import missing, theme
    from fullconv.workbench.pages.register import register_pages

    gui.state.bench = bench
    register_pages()
    gui.on_page_exception(missing.failed_page)
    ui.run_with(
        app,
        root=missing.missing_page,
        title="FullConv",
        favicon=theme.FAVICON,
        dark=None,
        language="en-US",
        storage_secret=_secret(storage / "secret"),
        session_middleware_kwargs={"same_site": "lax", "session_cookie": f"fullconv_session_{bench.settings.port}"},
        show_welcome_message=False,
        reconnect_timeout=30.0,
    )


def _secret(path: Path) -> str:
    """What signs visitors' cookies; kept, so that they stay signed when the server starts again."""
    if not path.is_file():
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_new(path, secrets.token_hex(32))
    return path.read_text(encoding="utf-8")


def _write_new(path: Path, content: str) -> None:
    """Write a file that nobody else can read at any time; the one of who came first stays."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not fresh.is_file():
            raise
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
