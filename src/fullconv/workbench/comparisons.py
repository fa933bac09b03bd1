"""Models that visitors compare: threads that can be told to stop, and what they saw so far."""

from __future__ import annotations

import logging
import secrets
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fullconv.data.classes import ClassTable
from fullconv.errors import DataError, FullconvError
from fullconv.prediction.comparing import ComparedImage, Comparer, Comparison, Subject
from fullconv.prediction.model import Model
from fullconv.prediction.tiled import Tile
from fullconv.store.package import ModelCard
from fullconv.workbench.opened import stay_behind
from fullconv.workbench.predicting.labelling import Canvas
from fullconv.workbench.predicting.large import is_large, tiles_for
from fullconv.workbench.predicting.opened import Opened
from fullconv.workbench.predicting.predictor import Predictor
from fullconv.workbench.refusals import Busy, Conflict, NotThere, TooLarge
from fullconv.workbench.waiting import LOOK_SECONDS

AT_ONCE = 2
KEPT = 8
KEPT_SECONDS = 60 * 60
KEPT_MAPS = 64 * 2**20
"""Bytes of label maps, packed, that one comparison keeps; others are computed again when they are looked at."""
LOOKED_AT = 4
"""Images of one comparison that stay in memory as they are, """
LOOKED_AT_BYTES = 64 * 2**20
"""and what they may take; the last one always may."""
State = Literal["opening", "comparing", "done", "failed", "cancelled"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComparedModel:
    """A model that takes part.

    Args:
        name: what it is called, with its head where it has several.
        package: its folder. head: of several.
    """

    name: str
    package: Path
    head: str | None = None


@dataclass(frozen=True, eq=False)
class ImageSet:
    """What models are compared on.

    Args:
        subjects: the images. truth: classes of their truth, where they have one.
        dataset, split: where they come from; none for files.
        numbers: of the images in their dataset.
        decoded_bytes: what the pixels of an image will take, by its place.
    """

    subjects: list[Subject]
    truth: ClassTable | None = None
    dataset: str | None = None
    split: str | None = None
    numbers: tuple[int, ...] = ()
    decoded_bytes: Callable[[int], int] = lambda place: 0


@dataclass(eq=False)
class LiveComparison:
    """One comparison.

    Args:
        packages: of two models or more. images_of: gives the images, which may take a while.
        predictor: in whose lanes the networks compute.
        state: "opening" models and images, "comparing" them, or how it ended.
        message, progress, seconds_left: what is being done. error: the sentence that ended it.
        cards: what the models say of themselves. found: the images. comparison: the numbers so far.
        comparer: with the networks, as long as they are needed.
        numbers: of the images that `comparison.rows` are about, in their order; sizes: (height, width) of them.
    """

    packages: tuple[ComparedModel, ...]
    images_of: Callable[[], ImageSet]
    predictor: Predictor
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "opening"
    message: str = "opening the models"
    progress: float = 0.0
    seconds_left: float | None = None
    error: FullconvError | None = None
    cards: Mapping[str, ModelCard] = field(default_factory=dict)
    found: ImageSet | None = None
    comparer: Comparer | None = None
    comparison: Comparison | None = None
    numbers: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    asked: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _maps: dict[int, _Packed] = field(default_factory=dict)
    _packed: int = 0
    _looked: OrderedDict[int, ComparedImage] = field(default_factory=OrderedDict)
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"compare {self.id}", daemon=True)

    @property
    def running(self) -> bool:
        return self.state in ("opening", "comparing")

    @property
    def working(self) -> bool:
        """Whether its thread works; one that was told to stop may take a moment."""
        return self.running and self._thread.is_alive()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def cancel(self) -> None:
        """End it soon; what it found so far stays. Nothing happens where it has ended."""
        self._stop.set()

    def look(self, number: int) -> ComparedImage:
        """What all models say of an image.

        Raises:
            Conflict: the models are still being opened, or one of them is another one by now.
            NotThere: there are fewer images.
            DataError: it cannot be used. PackageError: a model that is needed again is gone.
            Busy: other large images are looked at.
        """
        if self.comparer is None or self.found is None:
            raise Conflict("is not that far yet", where="comparison", remedy="wait a moment")
        if not 0 <= number < len(self.found.subjects):
            remedy = f"it has {len(self.found.subjects)} images"
            raise NotThere(f"there is no image {number}", where="comparison", remedy=remedy)
        with self._looking:
            seen = self._looked.get(number)
            if seen is None:
                with self.predictor.memory.taken(self.found.decoded_bytes(number)):
                    seen = self._looked[number] = self._seen(self.comparer, self.found.subjects[number], number)
            self._looked.move_to_end(number)
            while len(self._looked) > 1 and not self._few_enough():
                self._looked.popitem(last=False)
            return seen

    def _seen(self, comparer: Comparer, subject: Subject, number: int) -> ComparedImage:
        kept = self._maps.get(number)
        image, truth = subject.read()
        maps = kept.maps() if kept is not None else self._with_models(comparer).maps_of(subject.key, image)
        return comparer.seen(subject.key, image, truth, maps)

    def _with_models(self, comparer: Comparer) -> Comparer:
        """The same with its networks, opened again where they were let go of."""
        if comparer.models:
            return comparer
        again = copy(comparer)
        again.models = {one.name: self.predictor.models.get(one.package, one.head).model for one in self.packages}
        if [model.card for model in again.models.values()] != list(self.cards.values()):
            raise Conflict("a model has changed since", where="comparison", remedy="compare the models again")
        return again

    def _few_enough(self) -> bool:
        taken = sum(one.image.nbytes + sum(labels.nbytes for labels in one.maps) for one in self._looked.values())
        return len(self._looked) <= LOOKED_AT and taken <= LOOKED_AT_BYTES

    def _run(self) -> None:
        stay_behind()
        try:
            self._open()
            self._compare()
            if self.comparison is not None and not self.comparison.rows:
                raise self._first_failure()
            self.state, self.message = "done", ""
        except _Cancelled:
            self.state = "cancelled"
        except FullconvError as problem:
            self.state, self.error = "failed", problem
        except Exception as problem:  # a thread's last word must not be lost
            self.state = "cancelled" if self._stop.is_set() else "failed"
            if self.state == "failed":
                log.exception("comparing %s", [model.name for model in self.packages])
                said = f"cannot be compared ({type(problem).__name__})"
                self.error = FullconvError(said, remedy="see the server's log")
        self.seconds_left = None
        if self.comparer is not None:  # the last comparisons are kept for an hour, and their networks would be too
            bare = copy(self.comparer)
            bare.models = {}
            self.comparer = bare

    def _open(self) -> None:
        models = {}
        for model in self.packages:
            self._go_on()
            models[model.name] = self.predictor.models.get(model.package, model.head).model
        self.message = "looking at the images"
        found = self.images_of()
        comparer = Comparer(models, found.truth, label=self._label)
        self.cards = {name: model.card for name, model in models.items()}
        self.found, self.comparer = found, comparer
        self.comparison = Comparison(tuple(models), comparer.classes, found.truth is not None)

    def _compare(self) -> None:
        assert self.found is not None
        assert self.comparer is not None
        assert self.comparison is not None
        comparer, total, began = self.comparer, len(self.found.subjects), time.monotonic()
        self.state = "comparing"
        for number, subject in enumerate(self.found.subjects):
            self._go_on()
            self.message = f"image {number + 1:,} of {total:,}"
            try:
                with self._room(self.found.decoded_bytes(number)):
                    image, truth = subject.read()
                    maps = comparer.maps_of(subject.key, image)
                    seen = comparer.seen(subject.key, image, truth, maps)
            except (DataError, TooLarge) as problem:
                with self.lock:
                    self.comparison.failed.append((subject.key, problem.problem))
            else:
                self._keep(number, maps)
                with self.lock:
                    self.comparison.add(seen)
                    self.numbers.append(number)
                    self.sizes.append((image.shape[0], image.shape[1]))
            done = number + 1
            self.progress = done / total
            self.seconds_left = (time.monotonic() - began) / done * (total - done)

    def _first_failure(self) -> FullconvError:
        assert self.comparison is not None
        key, reason = self.comparison.failed[0]
        return DataError(reason, where=key, remedy="choose other images, or models for images of this kind")

    @contextmanager
    def _room(self, needed: int) -> Iterator[None]:
        """Room for an image in the memory, as soon as others leave it."""
        with ExitStack() as stack:
            while True:
                self._go_on()
                try:
                    stack.enter_context(self.predictor.memory.taken(needed))
                    break
                except Busy:
                    time.sleep(LOOK_SECONDS)
            yield

    def _label(self, model: Model, pixels: npt.NDArray[Any]) -> npt.NDArray[np.unsignedinteger]:
        """A large image tile by tile, with others in between."""
        opened, size = Opened(model, model.head, model.heads), (pixels.shape[0], pixels.shape[1])
        tiles: Sequence[Tile] = ()
        if is_large(opened, size):
            tiles = self.predictor.computed(model, lambda: tiles_for(opened, size))
        if not tiles:
            return self.predictor.computed(model, lambda: model.label(pixels))
        canvas = Canvas(model, pixels, probabilities=False, surest=False)
        for tile in tiles:
            if threading.current_thread() is self._thread:  # and nobody who looks at one image
                self._go_on()
            self.predictor.computed(model, partial(canvas.add, tile))
        return canvas.labelled().prediction.labels

    def _keep(self, number: int, maps: tuple[npt.NDArray[np.unsignedinteger], ...]) -> None:
        if self._packed >= KEPT_MAPS:
            return
        kept = _Packed.of(maps)
        if self._packed + kept.size <= KEPT_MAPS:
            self._packed += kept.size
            self._maps[number] = kept

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise _Cancelled


@dataclass(frozen=True)
class _Packed:
    """Label maps of one image, compressed."""

    contents: tuple[bytes, ...]
    dtype: str
    shape: tuple[int, int]

    @classmethod
    def of(cls, maps: tuple[npt.NDArray[np.unsignedinteger], ...]) -> _Packed:
        contents = tuple(zlib.compress(np.ascontiguousarray(labels).tobytes(), 1) for labels in maps)
        height, width = maps[0].shape
        return cls(contents, str(maps[0].dtype), (height, width))

    @property
    def size(self) -> int:
        return sum(map(len, self.contents))

    def maps(self) -> tuple[npt.NDArray[np.unsignedinteger], ...]:
        unpacked = (np.frombuffer(zlib.decompress(content), dtype=self.dtype) for content in self.contents)
        return tuple(labels.reshape(self.shape) for labels in unpacked)


@dataclass
class Comparisons:
    """The comparisons that visitors of a server began."""

    _kept: OrderedDict[Hashable, LiveComparison] = field(default_factory=OrderedDict)
    _started: list[LiveComparison] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, key: Hashable, make: Callable[[], LiveComparison]) -> LiveComparison:
        """A comparison that goes on or is done, if there is one of that key; else a new one.

        Args:
            key: everything that it depends on.

        Raises:
            Busy: others are going on.
        """
        with self._guard:
            known = self._kept.get(key)
            if known is not None and known.state not in ("failed", "cancelled"):
                known.asked = time.monotonic()
                self._kept.move_to_end(key)
                return known
            self._forget_old()
            self._started = [one for one in self._started if one.working]  # dropped ones too
            if len(self._started) >= AT_ONCE:
                remedy = "wait for it, or cancel it"
                raise Busy("others compare models at the moment", where="compare", remedy=remedy)
            made = self._kept[key] = make()
            self._kept.move_to_end(key)
            self._started.append(made)
            made.start()
        return made

    def get(self, id: str) -> LiveComparison:
        """A comparison.

        Raises:
            NotThere: there is none, or it was forgotten: only the last ones are kept, for an hour.
        """
        with self._guard:
            found = next((one for one in self._kept.values() if one.id == id), None)
        if found is None:
            raise NotThere("there is no such comparison any more", where="compare", remedy="compare the models again")
        found.asked = time.monotonic()
        return found

    def drop(self, id: str) -> None:
        """End and forget a comparison.

        Raises:
            NotThere: there is none.
        """
        found = self.get(id)
        found.cancel()
        with self._guard:
            for key in [key for key, one in self._kept.items() if one is found]:
                del self._kept[key]

    def close(self) -> None:
        """End all of them."""
        with self._guard:
            for one in self._kept.values():
                one.cancel()

    def _forget_old(self) -> None:
        now = time.monotonic()
        for key, one in list(self._kept.items()):
            if not one.running and (now - one.asked > KEPT_SECONDS or len(self._kept) >= KEPT):
                del self._kept[key]


class _Cancelled(Exception):
    """The visitor wants it no more."""
