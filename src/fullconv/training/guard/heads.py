"""The guard's look at the heads of a network: whose classes a warning is about, and what further heads do wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from fullconv.evaluation.scores import Scores
from fullconv.training.guard.finding import Finding
from fullconv.training.guard.scores import (
    Course,
    Facts,
    Measured,
    Validation,
    can_be_judged,
    commonest_plateau,
    never_predicted,
    one_class,
    validation_of,
)
from fullconv.training.heads import HeadTable


def named(finding: Finding, head: str | None) -> Finding:
    """The finding with the head that it is about.

    >>> print(named(Finding("never-predicted", "never predicted: car (0.1%)", "too few pixels", "more images"), "what"))
    head what: never predicted: car (0.1%); likely cause: too few pixels; remedy: more images
    """
    return finding if head is None else replace(finding, sentence=f"head {head}: {finding.sentence}")


def head_findings(course: Course) -> list[Finding]:
    """What is wrong with the classes of a further head; what is wrong with the network is said of the first."""
    if not can_be_judged(course):
        return []
    stuck = one_class(course) or commonest_plateau(course)
    if stuck is not None:
        return [stuck]
    lost = never_predicted(course)
    return [] if lost is None else [lost]


class FurtherHeads:
    """The courses of all heads but the first.

    Args:
        heads: of the plan; none for a network with one.
        facts: of the run, for the dataset's classes.
    """

    def __init__(self, heads: HeadTable | None, facts: Facts) -> None:
        groups = {name: members for name, members in (heads or {}).items() if members != "all"}
        self.facts = {name: _facts(facts, members) for name, members in groups.items()}
        self.validations: dict[str, list[Validation]] = {name: [] for name in groups}

    def look(self, step: int, measured: Mapping[str, Mapping[str, Scores]]) -> list[tuple[str, Finding]]:
        """What is wrong after another validation, and with which head.

        Args:
            step: of the optimiser.
            measured: head → split → scores.
        """
        found = []
        for name, facts in self.facts.items():
            train, val = (Measured(None, measured[name][split]) for split in ("train", "val"))
            self.validations[name].append(validation_of(step, train, val))
            found += [(name, finding) for finding in head_findings(Course(facts, tuple(self.validations[name])))]
        return found

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {name: [asdict(validation) for validation in seen] for name, seen in self.validations.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.validations |= {name: [Validation.of(entry) for entry in seen] for name, seen in state.items()}


def _facts(facts: Facts, groups: Mapping[str, list[str]]) -> Facts:
    """The facts of a head of groups."""
    place = {name: index for index, name in enumerate(facts.classes)}
    shares = []
    for split in (facts.train_shares, facts.val_shares):
        sums = [sum(split[place[member]] for member in members) for members in groups.values()]
        shares.append(tuple(one / (sum(sums) or 1.0) for one in sums))
    return replace(facts, classes=tuple(groups), train_shares=shares[0], val_shares=shares[1], ceiling=1.0)
