"""Ctrl-C reaches all processes of a terminal, and SIGTERM those of a container; one process answers them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM: `docker stop`, a service manager, Slurm at the end of its time. It ends things as Ctrl-C does."""


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started while it lasts never hear Ctrl-C, not even while they import.

    What a process ignores, those that it starts ignore too. Their parent answers Ctrl-C and ends them. Nothing changes
    outside the main thread, the only one that may set this.
    """
    with _answered_by(signal.SIGINT, signal.SIG_IGN, signal.default_int_handler):
        yield


@contextmanager
def deaf_to_sigterm() -> Iterator[None]:
    """While it lasts, SIGTERM is not heard: last words are not cut short."""
    with _answered_by(signal.SIGTERM, signal.SIG_IGN, signal.SIG_DFL):
        yield


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """While it lasts, SIGTERM raises `Terminated` in the main thread, where it would end the process without a word."""

    def end(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_IGN)  # what it ends is not to be ended again
        raise Terminated

    with _answered_by(signal.SIGTERM, end, signal.SIG_DFL):
        yield


@contextmanager
def _answered_by(number: signal.Signals, handler: Any, usual: Any) -> Iterator[None]:
    """A handler for as long as it lasts; only the main thread may set one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, usual if before is None else before)
