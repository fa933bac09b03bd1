"""Models kept open: the last used ones stay in memory, up to a bound, and a package that changed is read again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fullconv.errors import PackageError
from fullconv.prediction.model import Model
from fullconv.store.package import CARD, WEIGHTS, Geometry, read_card

MEMORY = 2 * 2**30
"""Bytes of parameters that stay in memory; one model always may."""


@dataclass(frozen=True)
class Opened:
    """A model that is ready to predict.

    Args:
        model: by the classes of one head.
        head: its name; none where the model has one head.
        heads: names of all, where it has several.
    """

    model: Model
    head: str | None
    heads: tuple[str, ...]

    @cached_property
    def geometry(self) -> Geometry:
        """Of its network; packages of older versions do not tell it."""
        told = self.model.card.geometry
        return told if told.total_stride is not None or told.obstacles else Geometry.of(self.model.net)


@dataclass(frozen=True)
class Key:
    """What an open model was made of.

    Args:
        directory: of its package.
        stamp: changes with the package's files.
        head: the one that was asked for.
    """

    directory: Path
    stamp: tuple[int, ...]
    head: str | None


@dataclass
class OpenModels:
    """Models by package and head, the last used ones last; may be asked from any thread.

    Args:
        allow_code: networks from Python files may be used.
        memory: bytes of parameters to keep.
    """

    allow_code: bool = False
    memory: int = MEMORY
    _known: OrderedDict[Key, Future[Opened]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, directory: Path, head: str | None = None) -> Opened:
        """The model of a package, opened if it is not; who asks while it is being opened waits for the same one.

        Args:
            directory: of the package.
            head: of a model with several; the first if not given.

        Raises:
            PackageError: it cannot be opened, or has no such head.
        """
        key = Key(directory, _stamp(directory), head)
        with self._lock:
            known = self._known.get(key)
            if known is None:
                known, mine = Future(), True
                self._known[key] = known
            else:
                mine = False
                self._known.move_to_end(key)
        if mine:
            self._open(key, known)
        return known.result()

    def forget(self, directory: Path) -> None:
        """Let go of a package, whose files may then be moved or deleted."""
        with self._lock:
            for key in [key for key in self._known if key.directory == directory]:
                del self._known[key]

    def __len__(self) -> int:
        return len(self._known)

    def _open(self, key: Key, opening: Future[Opened]) -> None:
        try:
            heads = read_card(key.directory).network.heads
            head = chosen_head(heads, key.head)
            opening.set_result(Opened(Model.load(key.directory, head=head, allow_code=self.allow_code), head, heads))
        except BaseException as problem:
            opening.set_exception(problem)
            with self._lock:
                self._known.pop(key, None)
            return
        with self._lock:
            for other in [other for other in self._known if other.directory == key.directory]:
                if other.stamp != key.stamp:
                    del self._known[other]
            self._make_room()

    def _make_room(self) -> None:
        opened = {key: made for key, made in self._known.items() if made.done() and made.exception() is None}
        sizes = {key: _bytes(made.result().model) for key, made in opened.items()}
        total = sum(sizes.values())
        for key in list(sizes)[:-1]:
            if total <= self.memory:
                return
            total -= sizes[key]
            del self._known[key]


def chosen_head(heads: tuple[str, ...], head: str | None) -> str | None:
    """The head that is asked for, else the first one; none where a model has only one.

    Raises:
        PackageError: no head has that name.

    >>> chosen_head(("semantic", "geometric"), None), chosen_head((), None)
    ('semantic', None)
    """
    if head and head not in heads:
        remedy = f"choose one of {', '.join(heads)}" if heads else "name no head"
        raise PackageError(f"has no head {head!r}", where="head", remedy=remedy)
    return head or (heads[0] if heads else None)


def _stamp(directory: Path) -> tuple[int, ...]:
    marks: list[int] = []
    for name in (CARD, WEIGHTS):
        try:
            found = (directory / name).stat()
            marks += [found.st_mtime_ns, found.st_size]
        except OSError:
            marks += [0, -1]
    return tuple(marks)


def _bytes(model: Model) -> int:
    tensors = (*model.net.parameters(), *model.net.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
