"""What the guard of a run has to say: what is wrong, why that is likely, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "one-class",
    "zero-scores",
    "not-finite",
    "commonest-plateau",
    "underfitting",
    "overfitting",
    "other-distribution",
    "never-predicted",
    "still-weights",
]
"""The kinds that docs/how-to/guard.md explains."""


@dataclass(frozen=True)
class Finding:
    """One warning; a run says each kind once.

    Args:
        kind: what was found.
        sentence: what is wrong, with its numbers.
        cause: the likeliest.
        remedy: what to do, the best first.

    >>> print(Finding("still-weights", "the weights do not move", "the learning rate is 1e-12", "raise it"))
    the weights do not move; likely cause: the learning rate is 1e-12; remedy: raise it
    """

    kind: Kind
    sentence: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.sentence}; likely cause: {self.cause}; remedy: {self.remedy}"


def in_order(remedies: list[str]) -> str:
    """Remedies as people number them.

    >>> in_order(["a larger learning rate", "a larger network"])
    '1. a larger learning rate, 2. a larger network'
    """
    if len(remedies) == 1:
        return remedies[0]
    return ", ".join(f"{number}. {remedy}" for number, remedy in enumerate(remedies, start=1))
