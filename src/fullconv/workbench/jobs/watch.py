"""How long things have stayed as they are, by the clock of whoever looks: clocks of two machines are not compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

LONGEST_PAUSE = 10.0
"""Seconds between two looks after which nothing is known any more: the machine slept, or nobody could look."""


@dataclass
class Watch:
    """What one looker has seen.

    Args:
        clock: seconds; it stands still while the machine sleeps.

    >>> now = iter([0.0, 0.0, 4.0, 4.0, 8.0, 8.0, 60.0, 60.0])
    >>> watch, found = Watch(lambda: next(now)), []
    >>> for beat in (1.5, 1.5, 2.5, 2.5):
    ...     watch.look()
    ...     found.append(watch.unchanged("heartbeat", beat))
    >>> found
    [0.0, 4.0, 0.0, 0.0]
    """

    clock: Callable[[], float] = time.monotonic
    _seen: dict[Hashable, tuple[object, float]] = field(default_factory=dict)
    _asked: set[Hashable] = field(default_factory=set)
    _looked: float | None = None

    def look(self) -> None:
        """Begin to look at everything once more; what nobody asked for the last time is forgotten."""
        now = self.clock()
        paused = self._looked is None or now - self._looked > LONGEST_PAUSE
        self._seen = {} if paused else {what: self._seen[what] for what in self._asked}
        self._asked, self._looked = set(), now

    def unchanged(self, what: Hashable, value: object) -> float:
        """Seconds since which this has had this value, as far as it was looked at; 0 the first time."""
        now = self.clock()
        before = self._seen.get(what)
        since = before[1] if before is not None and before[0] == value else now
        self._seen[what] = (value, since)
        self._asked.add(what)
        return now - since
