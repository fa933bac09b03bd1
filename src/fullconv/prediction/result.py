"""The prediction for one image, and the files that are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.data.classes import ClassTable
from fullconv.data.pictures import legend, overlay, save_label_png


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one image.

    Args:
        image: (H, W, C) pixels as they were read.
        labels: (H, W) class index, in the order of `classes`.
        probabilities: (classes, H, W) float32 that sum to one, if asked for.
        classes: names, colours and the dataset's own ids.
        source: the image file.
    """

    image: npt.NDArray[Any]
    labels: npt.NDArray[np.unsignedinteger]
    probabilities: npt.NDArray[np.float32] | None
    classes: ClassTable
    source: Path | None = None

    @property
    def ids(self) -> npt.NDArray[np.unsignedinteger]:
        """(H, W) the dataset's own ids, as `save` writes them."""
        return self.classes.own_ids(self.labels)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the pixels per class."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes))
        return {name: float(count) / self.labels.size for name, count in zip(self.classes.names, counts, strict=False)}

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """The image with the classes' colours over it."""
        return Image.fromarray(overlay(self.image, self.labels, self.classes, opacity=opacity))

    def overlay_with_legend(self, opacity: float = 0.5) -> Image.Image:
        """The overlay with the classes that occur and their shares beside it."""
        picture = self.overlay(opacity)
        key = legend(self.classes, list(self.shares.values()))
        both = Image.new("RGB", (picture.width + key.width, max(picture.height, key.height)), (255, 255, 255))
        both.paste(picture, (0, 0))
        both.paste(key, (picture.width, 0))
        return both

    def save(self, path: str | Path) -> Path:
        """Write the class-id PNG: the dataset's own ids, with a palette so that any viewer shows colours."""
        target = Path(path)
        save_label_png(target, self.labels, self.classes)
        return target
