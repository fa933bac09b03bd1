"""What a dataset's labels say in the classes of a model: by name, or as groups of the dataset's classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.data.class_groups import group_lookup, missing_members
from fullconv.data.classes import ClassTable
from fullconv.errors import DataError
from fullconv.prediction.model import Model


@dataclass(frozen=True, eq=False)
class HeadTruth:
    """How labels and predictions are brought to the classes that are scored.

    Args:
        classes: that are scored: the dataset's, or the model's groups of them.
        order: (classes,) from the model's class index to theirs.
        lookup: (ignore + 1,) from the dataset's class index to theirs; none where they are the same.
    """

    classes: ClassTable
    order: npt.NDArray[np.unsignedinteger]
    lookup: npt.NDArray[np.unsignedinteger] | None = None

    @classmethod
    def of(cls, model: Model, classes: ClassTable, *, where: str) -> HeadTruth:
        """For a model against the classes of a dataset.

        Args:
            model: its classes are the dataset's, by name and in any order, or groups of some of them.
            classes: of the dataset.
            where: its name.

        Raises:
            DataError: they are neither.
        """
        groups, ours, theirs = model.card.members, model.classes.names, classes.names
        lacking = missing_members(groups, classes) if groups else []
        if groups and not lacking:
            in_order = {name: groups[name] for name in ours}
            own = np.arange(len(ours), dtype=model.classes.label_dtype)
            return cls(model.classes, own, group_lookup(in_order, classes))
        if set(ours) != set(theirs):
            whose = "model" if model.head is None else f"head {model.head} of the model"
            if lacking:
                problem = f"{whose} has groups of classes that the dataset has not: {', '.join(lacking[:5])}"
            else:
                problem = f"{whose} and dataset have different classes: {', '.join(sorted({*ours} ^ {*theirs})[:5])}"
            raise DataError(problem, where=where, remedy="rename or merge classes in dataset.yaml")
        return cls(classes, np.array([theirs.index(name) for name in ours], dtype=classes.label_dtype))

    def truth(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(H, W) class indices of the dataset → of the classes that are scored."""
        return labels if self.lookup is None else np.asarray(self.lookup[labels])

    def predicted(self, labels: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
        """(H, W) class indices of the model → of the classes that are scored."""
        return np.asarray(self.order[labels])
