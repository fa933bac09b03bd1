"""What an allocator holds for the blocks that a program takes and gives back: glibc's malloc, on a CPU.

Blocks of more than 32 MiB come from the system and go back to it. Smaller ones share one heap, where what is given
back can be taken again only by blocks that fit between those still in use; small objects of the program that lie in
between keep gaps from growing together. A training step on images of everyday size so holds a quarter to a half more
than its tensors. (glibc 2.36, malloc/malloc.c: best fit from sorted free chunks, then the top of the heap.)
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

LARGEST_IN_HEAP = 32 * 2**20
FIRST_THRESHOLD = 128 * 2**10
PADDING = 128 * 2**10
PAGE = 4096
ALIGNMENT = 64
SMALL_OBJECTS = (48, 96, 200, 400)
"""Bytes of what PyTorch and Python make of their own beside a tensor, kept for the next one when it ends."""


class Heap:
    """Blocks by key, as glibc's malloc would lay them out.

    >>> heap = Heap()
    >>> for key in range(4):
    ...     heap.take(key, 100_000)
    >>> heap.give_back(1)
    >>> before = heap.held
    >>> heap.take(4, 90_000)  # fits the gap
    >>> heap.held == before
    True
    """

    def __init__(self) -> None:
        self.mapped = 0
        self.end = 0
        self.threshold = FIRST_THRESHOLD
        self._top = 0
        self._gaps: list[tuple[int, int]] = []
        self._size_at: dict[int, int] = {}
        self._start_of: dict[int, int] = {}
        self._blocks: dict[object, tuple[int | None, int]] = {}

    @property
    def held(self) -> int:
        """Bytes taken from the system."""
        return self.mapped + self.end

    def take(self, key: object, size: int, *, alignment: int = ALIGNMENT) -> None:
        """Lay a block out."""
        size = max(32, (size + 8 + 15) // 16 * 16)
        wanted = size + (alignment + 32 if alignment > 16 else 0)
        found = bisect_left(self._gaps, (wanted, -1))
        if found < len(self._gaps):
            room, start = self._gaps[found]
            self._close(start)
            self._carve(key, start, room, size, alignment)
        elif self.end - self._top >= wanted or wanted < self.threshold:
            if self.end - self._top < wanted:
                self.end = -(-(self._top + wanted + PADDING) // PAGE) * PAGE
            start = self._top
            self._top += wanted
            self._carve(key, start, wanted, size, alignment)
        else:
            size = -(-size // PAGE) * PAGE
            self.mapped += size
            self._blocks[key] = (None, size)

    def give_back(self, key: object) -> None:
        """End a block."""
        start, size = self._blocks.pop(key)
        if start is not None:
            self._open(start, size)
            return
        self.mapped -= size
        if self.threshold < size <= LARGEST_IN_HEAP:
            self.threshold = size

    def _carve(self, key: object, start: int, room: int, size: int, alignment: int) -> None:
        """Put an aligned block into a free piece, and leave free what is before and after it."""
        lead = -(start + 16) % alignment if alignment > 16 else 0
        lead += alignment if 0 < lead < 32 else 0
        rest = room - lead - size
        self._blocks[key] = (start + lead, size if rest >= 32 else size + rest)
        if lead:
            self._open(start, lead)
        if rest >= 32:
            self._open(start + lead + size, rest)

    def _open(self, start: int, size: int) -> None:
        """A free piece, grown together with free neighbours; at the top, the heap may shrink."""
        if start in self._start_of:
            before = self._start_of[start]
            size += self._close(before)
            start = before
        if start + size in self._size_at:
            size += self._close(start + size)
        if start + size == self._top:
            self._top = start
            if self.end - start > 2 * self.threshold and size > 2**16:
                self.end = start + PADDING
            return
        self._size_at[start] = size
        self._start_of[start + size] = start
        insort(self._gaps, (size, start))

    def _close(self, start: int) -> int:
        size = self._size_at.pop(start)
        del self._start_of[start + size]
        del self._gaps[bisect_left(self._gaps, (size, start))]
        return size


def held_at_most(events: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """(bytes in the heap, bytes mapped apart from it) when both together are most.

    Args:
        events: (number, bytes) for a tensor that begins, (number, -1) for one that ends.

    >>> held_at_most([(0, 64 * 2**20), (0, -1), (1, 40 * 2**20)])[1] // 2**20
    64
    """
    heap, most = Heap(), (0, 0)
    spare: list[list[object]] = [[] for _ in SMALL_OBJECTS]
    beside: dict[int, list[object]] = {}
    for number, size in events:
        if size < 0:
            heap.give_back(number)
            for kept, own in zip(spare, beside.pop(number), strict=True):
                kept.append(own)
            continue
        heap.take(number, size)
        beside[number] = []
        for place, small in enumerate(SMALL_OBJECTS):
            if not spare[place]:
                spare[place].append((number, place))
                heap.take((number, place), small, alignment=16)
            beside[number].append(spare[place].pop())
        if heap.held > sum(most):
            most = (heap.end, heap.mapped)
    return most
