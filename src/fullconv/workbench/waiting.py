"""Waiting for what goes on in a thread, without a thread: dozens may wait while others are answered."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

LOOK_SECONDS = 0.05


async def until(over: Callable[[], bool], seconds: float) -> None:
    """Wait until something is over, or some seconds have passed.

    >>> anyio.run(until, lambda: True, 60.0)
    """
    end = time.monotonic() + seconds
    while not over() and time.monotonic() < end:
        await anyio.sleep(LOOK_SECONDS)
