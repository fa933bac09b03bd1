"""What a network says of an image, whole or put together from tiles."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.prediction.model import Model
from fullconv.prediction.result import Prediction
from fullconv.prediction.tiled import Tile, score_tile


@dataclass(frozen=True)
class Labelled:
    """A labelled image.

    Args:
        prediction: of it.
        surest: (H, W) uint8, the probability of each pixel's class from 0 to 255; if asked for.
        network: seconds that computing took.
    """

    prediction: Prediction
    surest: npt.NDArray[np.uint8] | None
    network: float


def label_whole(model: Model, image: npt.NDArray[Any], probabilities: bool, surest: bool) -> Labelled:
    """Label an image in one piece, as `Model.predict` does."""
    begun = time.perf_counter()
    found = model.predict(image, probabilities=probabilities or surest)
    highest = None
    if surest:
        assert found.probabilities is not None
        highest = _as_bytes(found.probabilities.max(axis=0))
    if not probabilities and found.probabilities is not None:
        found = Prediction(found.image, found.labels, None, found.classes)
    return Labelled(found, highest, time.perf_counter() - begun)


class Canvas:
    """An image that is labelled tile by tile.

    Args:
        model: what labels it.
        image: (H, W, C), as `Model.checked` gives it.
        probabilities: of every class are kept. surest: that of the class that each pixel is given.
    """

    def __init__(self, model: Model, image: npt.NDArray[Any], *, probabilities: bool, surest: bool) -> None:
        self.model, self.image = model, image
        size = image.shape[:2]
        self._labels = np.zeros(size, dtype=model.classes.label_dtype)
        self._all = np.zeros((len(model.classes), *size), dtype=np.float32) if probabilities else None
        self._surest = np.zeros(size, dtype=np.uint8) if surest else None
        self._seconds = 0.0

    def add(self, tile: Tile) -> None:
        """Compute one tile."""
        begun = time.perf_counter()
        scores = score_tile(self.model, self.image, tile)
        self._labels[tile.place] = scores.max(0).indices.cpu().numpy()
        if self._all is not None or self._surest is not None:
            probabilities = scores.softmax(0)
            if self._all is not None:
                self._all[(slice(None), *tile.place)] = probabilities.cpu().numpy()
            if self._surest is not None:
                self._surest[tile.place] = _as_bytes(probabilities.max(0).values.cpu().numpy())
        self._seconds += time.perf_counter() - begun

    def labelled(self) -> Labelled:
        """What was put together."""
        made = Prediction(self.image, self._labels, self._all, self.model.classes)
        return Labelled(made, self._surest, self._seconds)


def _as_bytes(shares: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.rint(shares * 255).astype(np.uint8))
