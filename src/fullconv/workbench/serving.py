"""Running the server."""

from __future__ import annotations

import socket

import uvicorn

from fullconv.errors import StorageError
from fullconv.workbench.application import create_app
from fullconv.workbench.predicting.allocator import keep_memory
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.workbench import Workbench


def serve(settings: ServerSettings) -> None:
    """Open the workbench and keep it open until Ctrl-C; jobs that run then go on.

    Raises:
        StorageError: the port is taken, or the database cannot be opened.
    """
    listening = _listen(settings)
    keep_memory()
    app = create_app(Workbench(settings))
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws_max_size=16 * 2**20,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as problem:
        listening.close()
        remedy = "stop what listens there, or choose another --port"
        raise StorageError(f"cannot listen there ({problem.strerror})", where=settings.url, remedy=remedy) from None
    listening.set_inheritable(True)
    return listening
