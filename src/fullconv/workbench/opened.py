"""Datasets that were looked at lately, ready for the next question; what nobody counted yet is counted aside."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fullconv.data.classes import ClassTable
from fullconv.data.description import FILE_NAME, DatasetHead
from fullconv.data.image_index import ImageIndex, count_images
from fullconv.data.inspection import SampleDecoder
from fullconv.data.scan import Sample
from fullconv.data.stored_index import StoredIndex, keep_index, open_index, stamp_of_file
from fullconv.errors import FullconvError, StorageError
from fullconv.progress import told_to
from fullconv.workbench.drawing import table_version
from fullconv.workbench.refusals import NotThere
from fullconv.workspace import Workspace

KEPT = 8
"""Datasets that stay open."""
_NICE = 15


@dataclass(frozen=True, eq=False)
class OpenedDataset:
    """A dataset as pages and REST see it.

    Args:
        name: of its directory in the workspace.
        directory: which that is.
        stored: what is known of it.
    """

    name: str
    directory: Path
    stored: StoredIndex

    @property
    def head(self) -> DatasetHead:
        return self.stored.head

    @property
    def index(self) -> ImageIndex:
        return self.stored.index

    @property
    def classes(self) -> ClassTable:
        """After all edits."""
        return self.index.classes

    @cached_property
    def root(self) -> Path:
        """The folder that its files' paths start from."""
        return Path(os.path.normpath(self.directory / self.head.root))

    @cached_property
    def decoder(self) -> SampleDecoder:
        """Reads its images and labels; codes that are no class are ignored."""
        head = self.head
        return SampleDecoder.of(
            head.label_format,
            self.classes,
            unedited=head.table(),
            unlabelled=head.unlabelled,
            unknown="ignore",
            channels=head.channels,
            dtype=head.dtype,
        )

    @cached_property
    def version(self) -> str:
        """Changes with the classes and their colours: part of the addresses of pictures."""
        return table_version(self.classes)

    @cached_property
    def keys(self) -> list[str]:
        """Names of the images, with upper and lower case alike."""
        return [key.casefold() for key in self.index.keys]

    @cached_property
    def copies(self) -> list[list[int]]:
        """Numbers of images that show the same picture, group by group."""
        return self.index.copies()

    @cached_property
    def problems(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Kind of problem → which images it concerns; of kinds that concern single images."""
        index = self.index
        places: dict[str, list[int]] = defaultdict(list)
        for place, (image, labels) in enumerate(zip(index.images, index.labels, strict=True)):
            for file in (image, *labels):
                places[file].append(place)
        found: dict[str, npt.NDArray[np.bool_]] = {}

        def mark(kind: str, numbers: list[int]) -> None:
            if numbers:
                found.setdefault(kind, np.zeros(len(index), dtype=bool))[numbers] = True

        for problem in self.head.problems:  # these name a hundred files at most
            mark(problem.kind, [place for file in problem.files for place in places.get(file, ())])
        for group in self.copies:
            apart = len(set(index.splits[group].tolist())) > 1
            mark("same-picture-in-two-splits" if apart else "same-picture-twice", group)
        empty = index.known & ~index.pixels.any(axis=1)
        mark("all-ignored-label", np.flatnonzero(empty).tolist())
        return found

    def sample(self, number: int) -> Sample:
        """One image with its labels.

        Raises:
            NotThere: there are fewer.
        """
        if not 0 <= number < len(self.index):
            raise NotThere(f"there is no image {number}", where=self.name, remedy=f"it has {len(self.index)} images")
        return self.index.sample(number, self.root)


@dataclass
class OpenedDatasets:
    """The datasets of a workspace, opened when they are asked for.

    Args:
        home: the workspace.
    """

    home: Workspace
    _opened: OrderedDict[str, OpenedDataset] = field(default_factory=OrderedDict)
    _locks: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    _counting: dict[str, tuple[int, int]] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def open(self, name: str) -> OpenedDataset:
        """A dataset as it is now. The first time this may take seconds: keep it off the event loop.

        Raises:
            NotThere: there is none of that name.
            DataError: its `dataset.yaml` has a wrong field.
        """
        found = self.at_hand(name)
        if found is not None:
            return found
        with self._guard:
            lock = self._locks[name]
        with lock:
            return self.at_hand(name) or self._keep(name, open_index(self.home, name))

    def at_hand(self, name: str) -> OpenedDataset | None:
        """A dataset if it is open and has not changed since.

        Raises:
            NotThere: there is none of that name.
        """
        stamp = stamp_of_file(self.directory(name) / FILE_NAME)
        with self._guard:
            found = self._opened.get(name)
            if found is None or found.stored.stamp != stamp:
                return None
            self._opened.move_to_end(name)
            return found

    def directory(self, name: str) -> Path:
        """Where a dataset lies in the workspace.

        Raises:
            NotThere: there is none of that name.
        """
        try:
            directory = self.home.dataset(name)
        except StorageError:
            directory = None
        if directory is None or not (directory / FILE_NAME).is_file():
            raise NotThere(f"there is no dataset {name!r}", where="datasets", remedy="look at the list of datasets")
        return directory

    def counted(self, name: str) -> tuple[int, int]:
        """How many images of a dataset are counted, of how many; what is missing is counted from now on."""
        opened = self.open(name)
        if opened.index.complete:
            return len(opened.index), len(opened.index)
        with self._guard:
            if name not in self._counting and not self._over.is_set():
                self._counting[name] = (int(opened.index.known.sum()), len(opened.index))
                threading.Thread(target=self._count, args=(opened,), name=f"count {name}", daemon=True).start()
            return self._counting.get(name, (0, len(opened.index)))

    def forget(self, name: str) -> None:
        """Close a dataset that is gone."""
        with self._guard:
            self._opened.pop(name, None)

    def close(self) -> None:
        """Count no more."""
        self._over.set()

    def _keep(self, name: str, stored: StoredIndex) -> OpenedDataset:
        opened = OpenedDataset(name, self.directory(name), stored)
        with self._guard:
            self._opened[name] = opened
            self._opened.move_to_end(name)
            while len(self._opened) > KEPT:
                self._opened.popitem(last=False)
        return opened

    def _count(self, opened: OpenedDataset) -> None:
        """In a thread of its own, which yields to everything else."""
        stay_behind()
        name, done = opened.name, int(opened.index.known.sum())

        def heard(what: str, now: int, total: int | None, seconds: float) -> None:
            every = len(opened.index)  # which are said to be counted when their classes can be read
            self._counting[name] = (min(done + now, every - 1), every)

        try:
            with told_to(heard):
                index = count_images(opened.index, opened.decoder, opened.root, on=self._stop_if_over)
            stored = StoredIndex(opened.head, index, opened.stored.stamp)
            with suppress(StorageError, FileNotFoundError):  # the cache can go with the dataset
                keep_index(self.home, name, stored)
            if self.at_hand(name) is opened:
                self._keep(name, stored)
        except (_Over, FullconvError):
            pass
        finally:
            self._counting.pop(name, None)

    def _stop_if_over(self) -> None:
        if self._over.is_set():
            raise _Over


class _Over(Exception):
    """The server stops."""


def stay_behind() -> None:
    """Let everything else go before this thread and those that it starts, where the system can do that."""
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
