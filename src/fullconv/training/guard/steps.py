"""What the steps of a run tell: a loss that stays where scores of zero leave it, weights that do not move, no numbers.

Pure functions of numbers, with the constants they judge by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fullconv.counted import counted
from fullconv.training.guard.finding import Finding, in_order
from fullconv.training.settings.loss_settings import Loss

RECENT = 50
"""Losses that are remembered, and that must agree before a loss counts as standing still."""
SAME_LOSS = 0.002
"""Relative distance from the loss of zero scores: the first nine steps of CamVid, under a warm-up, are beyond it."""
FEWEST_STEPS = 10
"""Before weights are said not to move."""
NO_MOVEMENT = 1e-6
"""Change of all weights over their size since the run began: float32 itself resolves 1e-7, and one healthy step of any
optimiser moves them by 1e-5 or more."""
GROWN = 2.0
"""The last losses over the lowest before: noise between batches is less."""
LAST_FEW = 3
LOWER_BY = 10.0


def zero_score_loss(loss: Loss, classes: int) -> float | None:
    """The mean loss when all scores are zero; None where it is not the same for all labels.

    Lovász is 1 − 1/classes then, for every class: all pixels of a class are wrong by that much, all others by less, and
    the class is lost with the last of its own.

    Source: shared by all softmax losses; ln 21 = 3.0445 is where the reference nets for VOC stay when they are stuck.

    >>> round(zero_score_loss(Loss(terms="cross-entropy"), 21), 4)
    3.0445
    >>> round(zero_score_loss(Loss(), 21), 4)
    3.9969
    >>> zero_score_loss(Loss(terms="cross-entropy+dice"), 21) is None
    True
    """
    flat, wrong = math.log(classes), 1 - 1 / classes
    known: dict[str, float] = {"cross-entropy": flat, "focal": wrong**loss.focal_gamma * flat, "lovasz": wrong}
    if loss.reduction == "sum" or loss.denominator != "weights" or set(loss.terms) - set(known):
        return None
    return math.fsum(share * known[name] for name, share in loss.terms.items())


def zero_scores(
    losses: Sequence[float], expected: float | None, *, classes: int | Sequence[int], rate: float
) -> Finding | None:
    """The loss stays at ln(classes), where it is when all scores are zero.

    Args:
        losses: of the last steps, oldest first.
        expected: from `zero_score_loss`, summed over the heads.
        classes: how many, or how many in each head.
        rate: the learning rate now.
    """
    if expected is None or len(losses) < RECENT or expected <= 0:
        return None
    recent = losses[-RECENT:]
    if abs(math.fsum(recent) / RECENT - expected) > SAME_LOSS * expected:
        return None
    counts = [classes] if isinstance(classes, int) else list(classes)
    flat = math.fsum(map(math.log, counts))
    logs = f"{' + '.join(f'ln {count}' for count in counts)} = {flat:.4f}"
    logs = logs if math.isclose(flat, expected) else f"of it cross-entropy {logs}"
    which = "all scores of a pixel" if len(counts) > 1 else f"all {counts[0]} scores of a pixel"
    sentence = f"the loss stays at {expected:.4f}, as when {which} are zero ({logs})"
    cause = f"the learning rate ({rate:.1e}) is far too small, or no gradient passes a layer that is all zero"
    remedies = ["a learning rate ten to a hundred times larger", "weights trained elsewhere (weights)"]
    return Finding("zero-scores", sentence, cause, in_order(remedies))


def still_weights(moved: float, *, steps: int, losses: Sequence[float], rate: float) -> Finding | None:
    """The weights are where they were when the run began.

    Args:
        moved: norm of their change over their norm.
        steps: of the optimiser since then.
        losses: of the last steps.
        rate: the largest learning rate so far.
    """
    if steps < FEWEST_STEPS or moved >= NO_MOVEMENT:
        return None
    sentence = f"the weights do not move: after {counted(steps, 'step')} they have changed by {moved:.0e} of their size"
    if losses and not any(losses):
        cause = "the loss is 0: no labelled pixel counts"
        return Finding("still-weights", sentence, cause, "look at the labels with fullconv data check")
    cause = f"the learning rate ({rate:.1e}) is too small" if moved or rate < 1e-6 else "no gradient reaches them"
    remedies = [
        "a larger learning rate, or none, for which the optimiser's usual one is taken",
        "optimization.backbone: free or slow instead of frozen",
    ]
    return Finding("still-weights", sentence, cause, in_order(remedies))


def grown(losses: Sequence[float]) -> tuple[float, float] | None:
    """(lowest loss, mean of the last ones) where the loss has grown before it was lost; None where it has not.

    >>> grown([2.0, 1.0, 1.1, 9.0, 9.0, 9.0])
    (1.0, 9.0)
    >>> grown([2.0, 1.0, 1.1, 1.0]) is None
    True
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    if len(finite) <= LAST_FEW:
        return None
    lowest, last = min(finite[:-LAST_FEW]), math.fsum(finite[-LAST_FEW:]) / LAST_FEW
    return (lowest, last) if last > GROWN * lowest else None


def has_diverged(epoch_losses: Sequence[float]) -> bool:
    """Whether the last whole epoch is already far worse than one before it.

    >>> has_diverged([2.0, 0.5, 7.0]), has_diverged([2.0, 0.5, 0.6]), has_diverged([2.0])
    (True, False, False)
    """
    return len(epoch_losses) > 1 and epoch_losses[-1] > GROWN * min(epoch_losses[:-1])


def learning_rate_too_large(what: str, losses: Sequence[float], *, rate: float, again: str) -> Finding:
    """Why a number became none, where no sample is to blame.

    Args:
        what: which number, and when.
        losses: of the steps before.
        rate: peak learning rate of the plan.
        again: the command that goes on with another rate, up to the rate.
    """
    growth = grown(losses)
    how = "from one step to the next"
    if growth is not None:
        how = f"after the loss had grown from {growth[0]:.3g} to {growth[1]:.3g}"
    cause = f"a learning rate of {rate:.1e} is too large"
    remedy = f"lower the learning rate: `{again} {rate / LOWER_BY:.1g}` goes on from the last good checkpoint"
    return Finding("not-finite", f"{what}, {how}", cause, remedy)
