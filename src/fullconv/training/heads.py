"""Several sets of classes learnt at once, by one network with a head for each; all from one label map.

The first head has the dataset's own classes, every other one groups of them: semantic and geometric classes, say
(Long, Shelhamer, Darrell, CVPR 2015, section 5, SIFT Flow).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import AfterValidator
from torch import nn

from fullconv.data.class_groups import group_lookup, group_table, missing_members
from fullconv.data.classes import ClassTable
from fullconv.errors import PlanError
from fullconv.training.objective import Objective, Part, Reading, scored

Groups = dict[str, list[str]]
HeadTable = dict[str, Literal["all"] | Groups]
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


def _sensible(heads: HeadTable) -> HeadTable:
    if len(heads) < 2 or next(iter(heads.values())) != "all":
        raise ValueError("the first head has all classes and others have groups of them")
    for name, groups in list(heads.items())[1:]:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a head; use letters, digits, - and _")
        if groups == "all" or len(groups) < 2 or not all(groups.values()):
            raise ValueError(f"head {name} needs two groups of classes at least, as sky: [sky], rest: [road, car]")
        members = [member for group in groups.values() for member in group]
        twice = sorted({member for member in members if members.count(member) > 1})
        if twice:
            raise ValueError(f"head {name} has {twice[0]} in two groups")
    return heads


Heads = Annotated[HeadTable, AfterValidator(_sensible)]
"""Name of a head → "all", or its classes with the dataset's classes in each; classes in none are ignored by it."""


def tables_of(heads: HeadTable, classes: ClassTable) -> dict[str, ClassTable]:
    """The class table of every head; a group has the colour of its first class.

    Raises:
        PlanError: a group names a class that there is not.

    >>> from fullconv.data.classes import SegmentationClass
    >>> sky, road, car = (SegmentationClass(name=name, color=(0, 0, 0), value=index, codes=(index,))
    ...                   for index, name in enumerate(("sky", "road", "car")))
    >>> heads = {"what": "all", "where": {"above": ["sky"], "below": ["road", "car"]}}
    >>> tables_of(heads, ClassTable(classes=(sky, road, car)))["where"].names
    ('above', 'below')
    """
    found = {}
    for name, groups in heads.items():
        unknown = [] if groups == "all" else missing_members(groups, classes)
        if unknown:
            remedy = f"name some of {', '.join(classes.names)}"
            raise PlanError(f"there is no class {unknown[0]!r}", where=f"heads.{name}", remedy=remedy)
        found[name] = classes if groups == "all" else group_table(groups, classes)
    return found


def lookups_of(heads: HeadTable, classes: ClassTable) -> list[torch.Tensor]:
    """Per head, what becomes of every class index and of the ignored one: (ignore + 1,) int64.

    Raises:
        PlanError: a group names a class that there is not.
    """
    own = torch.full((classes.ignore_index + 1,), classes.ignore_index)
    own[: len(classes)] = torch.arange(len(classes))
    tables_of(heads, classes)  # which refuses groups of unknown classes
    return [
        own if groups == "all" else torch.from_numpy(group_lookup(groups, classes).astype(np.int64))
        for groups in heads.values()
    ]


def groups_of(heads: HeadTable) -> dict[str, dict[str, tuple[str, ...]]]:
    """What is in the classes of every head but the first.

    >>> groups_of({"what": "all", "where": {"above": ["sky"], "below": ["road", "car"]}})
    {'where': {'above': ('sky',), 'below': ('road', 'car')}}
    """
    return {
        name: {group: tuple(members) for group, members in groups.items()}
        for name, groups in heads.items()
        if groups != "all"
    }


class HeadsObjective(nn.Module):
    """The losses of several heads, each a mean over what counts for it, summed.

    Args:
        names: of the heads.
        heads: the loss of each.
        lookups: per head, (ignore + 1,): class index of the labels → its own.
    """

    def __init__(self, names: Sequence[str], heads: Sequence[Objective], lookups: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.heads = nn.ModuleList(heads)
        self.lookups = nn.ParameterList(nn.Parameter(table, requires_grad=False) for table in lookups)
        self.loss, self.ignore, self.parts = heads[0].loss, heads[0].ignore, len(heads)

    def forward(
        self, net: nn.Module, images: torch.Tensor, labels: torch.Tensor, seeds: torch.Tensor | None = None
    ) -> Reading:
        """Score a training batch and read the losses of all heads; see `Objective`."""
        size = (images.shape[-2], images.shape[-1])
        several = scored(net, images, self.each[0].regime)
        readings = [
            head.reading(scores, truth, size, seeds)
            for head, scores, truth in zip(self.each, several, self.labels(labels), strict=True)
        ]
        first, *further = readings
        return Reading(first.scores, first.labels, _together([one.part for one in readings]), tuple(further))

    def part(
        self, scores: Sequence[torch.Tensor], labels: torch.Tensor, *, keep: float | None = None, single: bool = False
    ) -> Part:
        """The losses of the scores of all heads against labels of the dataset's classes; see `Objective.part`."""
        pairs = zip(self.each, scores, self.labels(labels), strict=True)
        return _together([head.part(found, truth, keep=keep, single=single) for head, found, truth in pairs])

    def labels(self, labels: torch.Tensor) -> list[torch.Tensor]:
        """(N, H, W) class indices of the dataset → of every head."""
        return [table[labels.long()] for table in self.lookups]

    @property
    def each(self) -> list[Objective]:
        """The loss of every head."""
        return list(self.heads)  # type: ignore[arg-type]


def _together(parts: Sequence[Part]) -> Part:
    return Part(torch.stack([part.total for part in parts]), torch.stack([part.count for part in parts]))


AnyObjective = Objective | HeadsObjective


def class_counts(heads: Mapping[str, object] | None, classes: ClassTable) -> int | tuple[int, ...]:
    """How many scores a network needs: one number, or one per head."""
    if heads is None:
        return len(classes)
    return tuple(len(table) for table in tables_of(heads, classes).values())  # type: ignore[arg-type]
