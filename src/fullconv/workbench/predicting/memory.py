"""How much of the memory images and their scores may take: files of kilobytes can stand for gigabytes of pixels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fullconv.workbench.refusals import Busy


@dataclass
class ImageMemory:
    """Bytes that the images of all visitors, or their scores, may take together; may be asked from any thread.

    Args:
        limit: of them; one image alone is always taken.

    >>> memory = ImageMemory(100)
    >>> with memory.taken(500):
    ...     memory.used
    500
    """

    limit: int
    used: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def taken(self, needed: int) -> Iterator[None]:
        """Room for an image, as long as it is worked on.

        Args:
            needed: bytes of its pixels, as its header tells them, or of its scores.

        Raises:
            Busy: others take it.
        """
        with self._lock:
            if needed and self.used and self.used + needed > self.limit:
                raise Busy("other large images are worked on", where="image", remedy="ask again in a moment")
            self.used += needed
        try:
            yield
        finally:
            with self._lock:
                self.used -= needed
