"""Predictions for many visitors at once: files are read and answers written beside the network, which is never idle.

A processor takes two small images abreast: where one waits for the slowest of its threads, the other goes on. They are
not put together into batches: two or four in a batch take as long as one after the other, eight take longer, and who
comes first would wait for the others.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
import torch

from fullconv.hardware import memory_ran_out
from fullconv.prediction.model import Model
from fullconv.prediction.result import Prediction
from fullconv.prediction.tiled import Tile
from fullconv.workbench.predicting.labelling import Canvas, Labelled, label_whole
from fullconv.workbench.predicting.lane import Lane
from fullconv.workbench.predicting.large import goes_alone, is_large, room, score_bytes, tiles_for
from fullconv.workbench.predicting.memory import ImageMemory
from fullconv.workbench.predicting.opened import Opened, OpenModels
from fullconv.workbench.refusals import Busy, TooLarge

Made = TypeVar("Made")
Pixels = npt.NDArray[Any]
ABREAST = 2
"""Small images that a processor labels at once: with both, two cores do a fifth more."""


@dataclass(frozen=True)
class Seconds:
    """Where the time of a prediction went.

    Args:
        decoding: reading the image. waiting: for the network's turn. network: computing. encoding: writing the answer.
    """

    decoding: float = 0.0
    waiting: float = 0.0
    network: float = 0.0
    encoding: float = 0.0


@dataclass(frozen=True)
class Predicted:
    """What an answer is made of.

    Args:
        prediction: of the image.
        head: that was asked, of a model with several.
        seconds: taken so far.
    """

    prediction: Prediction
    head: str | None
    seconds: Seconds


@dataclass
class Predictor:
    """What a workbench predicts with.

    Args:
        waiting: predictions that may wait at the same time.
        allow_code: networks from Python files may be used.
        decoded: bytes that the images of all of them may take.
    """

    waiting: int = 64
    allow_code: bool = False
    decoded: int = 2 * 2**30
    models: OpenModels = field(init=False)
    memory: ImageMemory = field(init=False)
    scores: ImageMemory = field(init=False)

    def __post_init__(self) -> None:
        self.models = OpenModels(self.allow_code)
        self.memory = ImageMemory(self.decoded)
        self.scores = ImageMemory(room("cpu"))
        self._places = threading.BoundedSemaphore(self.waiting + 1)  # one is being computed
        self._beside = ThreadPoolExecutor(min(4, (os.cpu_count() or 1) + 1), thread_name_prefix="images")
        self._lanes: dict[str, Lane] = {}
        self._lock = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, for one request.

        Raises:
            Busy: all are taken.
        """
        if not self._places.acquire(blocking=False):
            raise Busy(f"{self.waiting} predictions wait already", remedy="ask again in a moment")
        try:
            yield
        finally:
            self._places.release()

    async def open(self, package: Path, head: str | None = None) -> Opened:
        """The model of a package.

        Raises:
            PackageError: it cannot be opened, or has no such head.
        """
        return await self.beside(lambda: self.models.get(package, head))

    async def beside(self, work: Callable[[], Made]) -> Made:
        """Do something beside the network: reading, writing."""
        return await asyncio.get_running_loop().run_in_executor(self._beside, work)

    async def in_lane(self, model: Model, work: Callable[[], Made], *, alone: bool = True) -> Made:
        """Do something with a network, when it is its turn on its device; `alone` as for a `Lane`."""
        return await asyncio.wrap_future(self.lane(model.device).submit(partial(_fitting, work), alone=alone))

    def computed(self, model: Model, work: Callable[[], Made]) -> Made:
        """The same for a thread, which waits for it."""
        return self.lane(model.device).submit(partial(_fitting, work)).result()

    def lane(self, device: torch.device) -> Lane:
        """Of a device: what a network does is done there."""
        with self._lock:
            if str(device) not in self._lanes:
                self._lanes[str(device)] = Lane(str(device), abreast=ABREAST if device.type == "cpu" else 1)
            return self._lanes[str(device)]

    async def predict(
        self,
        package: Path,
        head: str | None,
        read: Callable[[Model], Pixels],
        write: Callable[[Predicted], Made],
        *,
        probabilities: bool = False,
    ) -> tuple[Made, Seconds]:
        """Read an image, label it, and make an answer of it; who calls has a `place`, and `memory` for the image.

        Args:
            package: the model's.
            head: of a model with several; the first if not given.
            read: gives (H, W, C) pixels as the model takes them.
            write: makes the answer; it is told the time that was taken until then.
            probabilities: of every class are wanted.

        Raises:
            PackageError: the model cannot be opened.
            DataError: the image cannot be read or used.
            TooLarge: it does not fit into the memory.
            Busy: the probabilities of others take it.
        """
        began = time.perf_counter()

        def begin() -> tuple[Opened, Pixels]:
            opened = self.models.get(package, head)
            return opened, read(opened.model)

        opened, image = await self.beside(begin)
        decoded = time.perf_counter()
        kept = score_bytes(opened, (image.shape[0], image.shape[1])) if probabilities else 0
        with self.scores.taken(kept):
            labelled = await self.label(opened, image, probabilities=probabilities)
            done = time.perf_counter()
            so_far = Seconds(decoded - began, done - decoded - labelled.network, labelled.network)
            made = await self.beside(lambda: write(Predicted(labelled.prediction, opened.head, so_far)))
        return made, replace(so_far, encoding=time.perf_counter() - done)

    async def label(
        self,
        opened: Opened,
        image: Pixels,
        *,
        probabilities: bool = False,
        surest: bool = False,
        on_progress: Callable[[float], None] | None = None,
    ) -> Labelled:
        """Label an image, a large one tile by tile with others in between; who calls has a `place`.

        Args:
            opened: the model.
            image: (H, W, C), as `Model.checked` gives it.
            probabilities: of every class are wanted. surest: that of the class that each pixel is given.
            on_progress: told the part that is done, 0 to 1, after every tile.

        Raises:
            TooLarge: the image does not fit into the memory.
        """
        size = (image.shape[0], image.shape[1])
        tiles: Sequence[Tile] = ()
        if probabilities or is_large(opened, size):
            # In the lane, since a network whose geometry is not known yet is gone through.
            tiles = await self.in_lane(opened.model, lambda: tiles_for(opened, size, probabilities=probabilities))
        if not tiles:
            work = partial(label_whole, opened.model, image, probabilities, surest)
            return await self.in_lane(opened.model, work, alone=goes_alone(opened.model.card, size))
        canvas = Canvas(opened.model, image, probabilities=probabilities, surest=surest)
        for count, tile in enumerate(tiles, 1):
            await self.in_lane(opened.model, partial(canvas.add, tile))
            if on_progress is not None:
                on_progress(count / len(tiles))
        return canvas.labelled()

    def stop(self) -> None:
        """End the threads; what waits is not computed any more."""
        self._beside.shutdown(wait=False, cancel_futures=True)
        for lane in self._lanes.values():
            lane.stop()


def _fitting(work: Callable[[], Made]) -> Made:
    """What a network does; where memory does not suffice for it, that is refused as if it had been foreseen."""
    try:
        return work()
    except Exception as problem:
        if not memory_ran_out(problem):
            raise
        remedy = "ask again in a moment, or make it smaller"
        raise TooLarge("takes more memory than is free just now", where="image", remedy=remedy) from problem
