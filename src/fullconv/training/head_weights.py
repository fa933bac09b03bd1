"""Class weights of every head, from the training images."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from fullconv.data.dataset import Dataset
from fullconv.errors import PlanError
from fullconv.training.settings.class_weights import HeadWeights, class_weights
from fullconv.training.settings.experiment import Experiment


def weights_of(plan: Experiment, data: Dataset) -> list[torch.Tensor | None]:
    """(classes,) factors for every head, or for the only one; None for none at all.

    A rule goes for every head by its own classes, factors by class name are for the first. A group's pixels are those
    of its members; it is taken to be in as many images as that member which is in most.

    Raises:
        PlanError: a factor is given for a class or a head that there is not, or all are 0.
    """
    split = data.statistics.splits["train"]
    size = (sum(split.pixels.values()) + split.ignored_pixels) / split.images
    heads = plan.heads or {"": "all"}
    found = []
    for name, weighting in _by_head(plan, list(heads)).items():
        groups = heads[name]
        members = {each: [each] for each in data.classes.names} if groups == "all" else groups
        pixels = [sum(split.pixels[one] for one in group) for group in members.values()]
        images_with = [max(split.images_with[one] for one in group) for group in members.values()]
        where = f"class_weights.{name}" if _names_heads(plan.class_weights) else "class_weights"
        found.append(class_weights(weighting, list(members), pixels, images_with, size, where=where))
    return found


def _by_head(plan: Experiment, heads: list[str]) -> HeadWeights:
    """Rule or factors of every head."""
    given = plan.class_weights
    if isinstance(given, str):
        return dict.fromkeys(heads, given)
    rules = {name: value for name, value in given.items() if not isinstance(value, float | int)}
    unknown = [name for name in rules if name not in heads]
    if unknown:
        problem = f"there is no head {unknown[0]!r}"
        remedy = f"name one of {', '.join(heads)}" if plan.heads else "give a rule, or factors by class name"
        raise PlanError(problem, where="class_weights", remedy=remedy)
    factors = {name: value for name, value in given.items() if isinstance(value, float | int)}
    return {name: rules.get(name, factors if name == heads[0] and not rules else "none") for name in heads}


def _names_heads(given: object) -> bool:
    """Whether weights are given head by head."""
    return isinstance(given, Mapping) and any(isinstance(value, str | Mapping) for value in given.values())
