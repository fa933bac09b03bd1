"""The turns of a device: one thing at a time, but for those that do not mind others beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Made = TypeVar("Made")


class Lane:
    """Work for one device, in the order in which it comes.

    Args:
        device: its name. abreast: how many of those that need not be alone run at once.

    >>> lane = Lane("cpu", abreast=2)
    >>> [lane.submit(lambda number=number: number**2, alone=False).result() for number in (2, 3)]
    [4, 9]
    >>> lane.stop()
    """

    def __init__(self, device: str, *, abreast: int = 1) -> None:
        self._abreast = abreast
        self._threads = ThreadPoolExecutor(abreast, thread_name_prefix=f"network-{device}")
        self._turn = threading.Lock()
        self._places = threading.Semaphore(abreast)

    def submit(self, work: Callable[[], Made], *, alone: bool = True) -> Future[Made]:
        """Do something when its turn comes.

        Args:
            alone: nothing else runs meanwhile: it takes much memory, or looks into a network while it computes.
        """
        return self._threads.submit(self._done, work, self._abreast if alone else 1)

    def stop(self) -> None:
        """End the threads; what waits is not done any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _done(self, work: Callable[[], Made], places: int) -> Made:
        with self._taken(places):
            return work()

    @contextmanager
    def _taken(self, places: int) -> Iterator[None]:
        with self._turn:  # who waits for all places lets nobody pass
            for _ in range(places):
                self._places.acquire()
        try:
            yield
        finally:
            self._places.release(places)
