"""What a dataset knows of an image, in the classes of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.data.classes import ClassTable
from fullconv.evaluation.counting import count_confusion
from fullconv.evaluation.scores import Scores


@dataclass(frozen=True)
class Truth:
    """A label map of a dataset in the classes of a model.

    Args:
        labels: (H, W) the model's class indices; its ignore index where nothing is known.
        missing: classes of the dataset that the model does not have; they count as unknown.
    """

    labels: npt.NDArray[np.unsignedinteger]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, labels: npt.NDArray[Any], theirs: ClassTable, ours: ClassTable) -> Truth | None:
        """The truth by the names of the classes; none where no name is common.

        Args:
            labels: (H, W) the dataset's class indices, its ignore index where nothing is known.
            theirs: the dataset's classes.
            ours: the model's.

        >>> from fullconv.data.classes import SegmentationClass
        >>> sky, car = (SegmentationClass(name=name, color=(0, 0, 0), value=0, codes=()) for name in ("sky", "car"))
        >>> theirs, ours = ClassTable(classes=(sky, car)), ClassTable(classes=(car,))
        >>> found = Truth.of(np.array([[0, 1, 255]], dtype=np.uint8), theirs, ours)
        >>> found.labels, found.missing
        (array([[255,   0, 255]], dtype=uint8), ('sky',))
        """
        places = {name: index for index, name in enumerate(ours.names)}
        if not any(name in places for name in theirs.names):
            return None
        table = np.full(theirs.ignore_index + 1, ours.ignore_index, dtype=ours.label_dtype)
        for index, name in enumerate(theirs.names):
            table[index] = places.get(name, ours.ignore_index)
        return cls(table[labels], tuple(name for name in theirs.names if name not in places))

    def scores(self, predicted: npt.NDArray[Any], classes: ClassTable) -> Scores:
        """How good a prediction is where the truth is known."""
        counts = count_confusion(self.labels, predicted, len(classes), classes.ignore_index)
        return Scores.from_confusion(counts, classes.names)
