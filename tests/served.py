"""Servers of the workbench for tests: `fullconv serve` in processes that are forked off where all is imported already.

A server of its own process imports torch, NiceGUI and the rest for seconds before it begins; a hundred tests have one.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from fullconv.workspace import Workspace

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["fullconv.cli.main", "fullconv.workbench.serving", "fullconv.workbench.api.routes"])
"""All but NiceGUI, which learns as it is imported where the workspace is."""
BEGIN_SECONDS = 300.0


class Served:
    """A server that runs.

    Args:
        arguments: of `fullconv`. log: takes what it says. environment: of the process.
    """

    def __init__(self, arguments: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self._process = _FORKS.Process(target=_run, args=(arguments, str(log), dict(environment)))
        self._process.start()

    @property
    def number(self) -> int:
        """Of its process."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.exitcode

    def terminate(self) -> None:
        """Ask it to stop."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def wait(self, timeout: float) -> None:
        """Until it has ended."""
        self._process.join(timeout)
        assert self._process.exitcode is not None


def start_server(home: Workspace, log: Path, *options: str, address: str = "127.0.0.1") -> tuple[Served, str]:
    """Start a real server; its process, and its address once it answers."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = probe.getsockname()[1]
    arguments = ["serve", "--workspace", str(home.root), "--port", str(port), *options]
    server = Served(arguments, log, os.environ | {"OMP_NUM_THREADS": "1"})
    url = f"http://{address}:{port}"
    end = time.monotonic() + BEGIN_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{url}/sign-in", timeout=5).close()
            return server, url
        except OSError as problem:
            if getattr(problem, "code", None) is not None:  # it answers
                return server, url
            try:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
            except AssertionError:
                server.kill()
                raise
            time.sleep(0.1)


def _run(arguments: list[str], log: str, environment: dict[str, str]) -> None:
    gc.freeze()  # what all of them share is left as it is
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["fullconv", *arguments]
    from fullconv.cli.main import main

    main()
