"""When Python looks for objects that nobody uses any more: not while libraries are imported.

They make hundreds of thousands of objects, all of which stay. To look through them again and again takes a quarter of
the time until a command begins.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """While it lasts, objects end with their last reference and in a fixed order, and cycles are not looked for."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def rest_while_importing() -> None:
    """No looking until `begin_collecting`."""
    gc.disable()


def begin_collecting() -> None:
    """All is imported, and stays until the end; from now on what is made is looked through as ever."""
    if not gc.isenabled():
        gc.freeze()
        atexit.register(gc.unfreeze)  # libraries complain of what is never cleared away
        gc.enable()
