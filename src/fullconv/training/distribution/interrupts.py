"""Ctrl-C reaches all processes of a terminal; one of them answers it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started while it lasts never hear Ctrl-C, not even while they import.

    What a process ignores, those that it starts ignore too. Their parent answers Ctrl-C and ends them. Nothing changes
    outside the main thread, the only one that may set this.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)
