"""Running the server."""

from __future__ import annotations

import logging
import socket
import warnings
from types import FrameType

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
    # NiceGUI finds its server among all objects there are, and torch's old names warn whoever looks at them.
    warnings.filterwarnings("ignore", "`torch.distributed.reduce_op` is deprecated", FutureWarning)
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
    _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Who presses Ctrl-C twice need not read what was cut short by it."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            logging.getLogger("uvicorn.error").disabled = True
        super().handle_exit(sig, frame)


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
