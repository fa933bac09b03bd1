"""In which order training views are drawn from the images: passes, replacement, by class, or a grid of windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class Request(NamedTuple):
    """One view to be drawn; the same request yields the same view.

    Args:
        turn: distinguishes views of one image.
        image: its index.
        aim: a class that the view is drawn around; None for any place.
        corner: first (row, column) of a window that is taken as it is; None to draw one.
    """

    turn: int
    image: int
    aim: int | None = None
    corner: tuple[int, int] | None = None


class Order(Protocol):
    """The views of one epoch, in the order in which they are used."""

    def __len__(self) -> int: ...
    def draw(self, epoch: int, count: int, rng: np.random.Generator) -> list[Request]:
        """`count` requests, at least as many as the order is long; the surplus begins anew."""


class Passes:
    """Every image so many times, each time in a new order.

    >>> order = Passes(3, views=2)
    >>> sorted(request.image for request in order.draw(0, 6, np.random.default_rng(0)))
    [0, 0, 1, 1, 2, 2]
    """

    def __init__(self, images: int, *, views: int = 1) -> None:
        self.images = images
        self.views = views

    def __len__(self) -> int:
        return self.images * self.views

    def draw(self, epoch: int, count: int, rng: np.random.Generator) -> list[Request]:
        """Requests of one epoch."""
        order = np.resize(np.concatenate([rng.permutation(self.images) for _ in range(self.views)]), count)
        first = epoch * max(self.views + 1, -(-count // self.images))  # turns that no other epoch has
        return [Request(first + place // self.images, int(index)) for place, index in enumerate(order)]


class Replacement:
    """Each view from any image, as often as chance will have it."""

    def __init__(self, images: int, *, views: int = 1) -> None:
        self.images = images
        self.views = views

    def __len__(self) -> int:
        return self.images * self.views

    def draw(self, epoch: int, count: int, rng: np.random.Generator) -> list[Request]:
        """Requests of one epoch."""
        chosen = rng.integers(self.images, size=count)
        return [Request(epoch * (len(self) + count) + place, int(index)) for place, index in enumerate(chosen)]


class ByClass:
    """Each view around a class drawn evenly, in an image drawn evenly from those that hold it.

    Args:
        presence: (images, classes), whether an image holds a class.
        views: as many requests in an epoch as so many passes have.
        without: classes that nothing is drawn around.

    >>> order = ByClass(np.array([[True, False], [True, True]]))
    >>> sorted({(request.image, request.aim) for request in order.draw(0, 100, np.random.default_rng(0))})
    [(0, 0), (1, 0), (1, 1)]
    """

    def __init__(self, presence: npt.NDArray[np.bool_], *, views: int = 1, without: Sequence[int] = ()) -> None:
        self.holders = [
            np.flatnonzero(column)
            for index, column in enumerate(presence.T)
            if index not in without and bool(column.any())
        ]
        self.aims = [index for index, column in enumerate(presence.T) if index not in without and bool(column.any())]
        self.length = len(presence) * views

    def __len__(self) -> int:
        return self.length

    def draw(self, epoch: int, count: int, rng: np.random.Generator) -> list[Request]:
        """Requests of one epoch."""
        first = epoch * (len(self) + count)
        chosen = rng.integers(len(self.aims), size=count)
        return [
            Request(first + place, int(rng.choice(self.holders[which])), self.aims[which])
            for place, which in enumerate(chosen)
        ]


class Windows:
    """Every window of a grid over every image, in a new order each epoch.

    Args:
        sizes: (height, width) of every image.
        window: (height, width).
        step: (rows, columns) from window to window; the last ones may hang over the image's end.

    >>> order = Windows([(8, 10)], (8, 8), (4, 4))
    >>> [request.corner for request in order.draw(0, 2, np.random.default_rng(0))]
    [(0, 0), (0, 4)]
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], window: tuple[int, int], step: tuple[int, int]) -> None:
        self.windows = [
            (index, (top, left))
            for index, size in enumerate(sizes)
            for top in _starts(size[0], window[0], step[0])
            for left in _starts(size[1], window[1], step[1])
        ]

    def __len__(self) -> int:
        return len(self.windows)

    def draw(self, epoch: int, count: int, rng: np.random.Generator) -> list[Request]:
        """Requests of one epoch."""
        order = np.resize(rng.permutation(len(self.windows)), count)
        requests = []
        for place, which in enumerate(order):
            image, corner = self.windows[int(which)]
            requests.append(Request(epoch * (len(self) + count) + place, image, corner=corner))
        return requests


def _starts(side: int, window: int, step: int) -> range:
    """First pixels of windows that cover a side, or as much of it as steps longer than a window do; all lie on it.

    >>> list(_starts(100, 10, 50))
    [0, 50]
    """
    return range(0, min(side, max(1, side - window + step)), step)


class EpochBatches(Sampler[list[Request]]):
    """Batches in an order drawn from (seed, epoch); the last one is filled up from the start.

    Args:
        order: of the views.
        batch_size: views in a batch, of all processes together.
        seed: of the whole run.
        rank, processes: which share of every batch this process takes.

    >>> batches = EpochBatches(Passes(5), 2, seed=0)
    >>> len(batches), len({request.image for batch in batches for request in batch})
    (3, 5)
    """

    def __init__(self, order: Order, batch_size: int, *, seed: int, rank: int = 0, processes: int = 1) -> None:
        self.order = order
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.processes = processes
        self.epoch = 0

    @property
    def sampler(self) -> EpochBatches:
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of every epoch, and before it goes on from a checkpoint."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __iter__(self) -> Iterator[list[Request]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        requests = self.order.draw(self.epoch, len(self) * self.batch_size, rng)
        for start in range(0, len(requests), self.batch_size):
            yield requests[start : start + self.batch_size][self.rank :: self.processes]
