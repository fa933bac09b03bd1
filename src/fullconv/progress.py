"""Progress with time left for everything that takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")

DELAY_SECONDS = 2.0
PLAIN_INTERVAL_SECONDS = 15.0

console = Console(stderr=True)
Listener = Callable[[str, int, int | None, float], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Tell somebody else how far things are, besides showing it.

    Args:
        listener: called after every item with what is done, how many of how many, and the seconds it took so far.

    >>> with told_to(lambda what, done, total, seconds: print(what, done, total)):
    ...     for item in track("ab", "reading"):
    ...         pass
    reading 1 2
    reading 2 2
    """
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def track(items: Iterable[Item], description: str, *, total: int | None = None) -> Iterator[Item]:
    """Pass items through; once two seconds are over, show how far it is and how long it will take.

    On a terminal this is a bar, elsewhere (a log file) a line every 15 seconds.

    >>> list(track([1, 2, 3], "counting"))
    [1, 2, 3]
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    started = time.monotonic()
    listener = _listener.get()
    if listener is not None:
        items = _told(items, description, total, started, listener)
    return (
        _bar(items, description, total, started) if sys.stderr.isatty() else _lines(items, description, total, started)
    )


def _bar(items: Iterable[Item], description: str, total: int | None, started: float) -> Iterator[Item]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(description, total=total)
    shown = False
    try:
        for item in items:
            yield item
            bar.advance(task)
            if not shown and time.monotonic() - started > DELAY_SECONDS:
                bar.start()
                shown = True
    finally:
        if shown:
            bar.stop()


def _lines(items: Iterable[Item], description: str, total: int | None, started: float) -> Iterator[Item]:
    said = started
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said > PLAIN_INTERVAL_SECONDS:
            said = now
            left = "" if total is None else f" of {total}, about {(now - started) / count * (total - count):.0f} s left"
            print(f"{description}: {count}{left}", file=sys.stderr, flush=True)


def _told(
    items: Iterable[Item], description: str, total: int | None, started: float, listener: Listener
) -> Iterator[Item]:
    for count, item in enumerate(items, 1):
        yield item
        listener(description, count, total, time.monotonic() - started)
