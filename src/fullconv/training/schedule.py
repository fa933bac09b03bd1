"""How the learning rate moves over the steps of a run."""

from __future__ import annotations

import math

FIRST = 1 / 25
LAST = 1e-4


def one_cycle(step: int, steps: int, warmup: float) -> float:
    """Share of the peak rate at a step: along a cosine up from 1/25, then along a cosine down to 1/10,000.

    Args:
        step: done so far, 0 … steps.
        steps: of the whole run.
        warmup: share of the steps until the peak.

    Source: Smith and Topin 2018, Super-Convergence, section 3 (in the cosine form).

    >>> [round(one_cycle(step, 100, 0.1), 2) for step in (0, 10, 55, 100)]
    [0.04, 1.0, 0.5, 0.0]
    """
    peak = max(1.0, warmup * steps)
    if step < peak:
        return _cosine(FIRST, 1.0, step / peak)
    return _cosine(1.0, LAST, min(1.0, (step - peak) / max(1.0, steps - peak)))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
