"""What the scores of a run's validations tell: output of one class, plateaus, under- and overfitting, lost classes.

Every function takes the course of a run in numbers and says what is wrong with it, or None. The numbers it judges by
are the constants here; CamVid, coffee leaves and generated scenes trained with default settings raise none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fullconv.evaluation.scores import Scores
from fullconv.training.guard.finding import Finding, in_order

STEPS_BEFORE_JUDGING = 50
"""Scores that start at zero, under a rate that warms up, say little earlier."""
ALL_PIXELS = 0.999
"""Share of the pixels from which on the output counts as one class."""
LASTING = 2
"""Validations that must agree: statistics of batch norm can spoil a single early one."""
PLATEAU = 3
"""Validations that make a plateau."""
FALLING = 4
"""Validations that must all be worse: from random weights, early ones go up and down by more (coffee leaves)."""
NEAR_COMMONEST = 0.1
"""Of the way from always saying the commonest class to no error at all: what lies nearer has learnt next to nothing."""
LOW = 0.4
"""Of the same way, in mean IoU: CamVid and scenes come past 0.7, an FCN-32s from transferred weights past 0.5."""
ALIKE = 0.1
"""Mean IoU between training and validation up to which they are alike."""
LATE = 0.8
"""Share of the run after which little more will be learnt: a one-cycle rate is at a ninth of its peak."""
HALF = 0.5
"""Share of the run by which every class should have been predicted once: CamVid's rarest is after a fifteenth."""
FAR_ABOVE = 0.15
"""Mean IoU of training over validation: CamVid ends at 0.02, coffee leaves at 0.05."""
FALLEN = 0.03
"""Mean IoU below the best."""
RISEN = 1.25
"""Validation loss over its lowest."""
NEVER_GOOD = 0.6
"""Of what training has learnt: a validation of the same kind of images was above it at least now and then."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one split, in full."""

    loss: float | None
    scores: Scores


@dataclass(frozen=True)
class SplitScores:
    """Scores of the training or the validation images at one validation."""

    loss: float
    pixel_accuracy: float
    mean_iou: float


@dataclass(frozen=True)
class Validation:
    """One validation, and the training of the epoch before it.

    Args:
        step: of the optimiser.
        train, val: scores.
        predicted: (classes,) share of the validation pixels that were given each class.
        predicted_in_training: the same of the training pixels.
    """

    step: int
    train: SplitScores
    val: SplitScores
    predicted: tuple[float, ...]
    predicted_in_training: tuple[float, ...]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Validation:
        """The inverse of `dataclasses.asdict`."""
        return cls(**entry | {split: SplitScores(**entry[split]) for split in ("train", "val")})  # type: ignore[operator]


@dataclass(frozen=True)
class Facts:
    """What does not change while a run goes on.

    Args:
        classes: names.
        train_shares, val_shares: (classes,) of the labelled pixels.
        steps: of the whole run.
        transferred: whether the backbone started from weights trained elsewhere.
        ceiling: mean IoU that the network's output stride allows on this data; 1 if unknown.
    """

    classes: tuple[str, ...]
    train_shares: tuple[float, ...]
    val_shares: tuple[float, ...]
    steps: int
    transferred: bool
    ceiling: float = 1.0

    @property
    def commonest(self) -> int:
        """Index of the class with the most validation pixels."""
        return int(np.argmax(self.val_shares))

    @property
    def commonest_accuracy(self) -> float:
        """Pixel accuracy of always saying that class."""
        return self.val_shares[self.commonest]

    @property
    def commonest_iou(self) -> float:
        """Mean IoU of always saying that class."""
        return self.commonest_accuracy / max(1, sum(share > 0 for share in self.val_shares))

    def learnt(self, mean_iou: float) -> float:
        """Share of the way from always saying the commonest class to the ceiling of the stride.

        >>> round(Facts(("road", "sky"), (0.5, 0.5), (0.6, 0.4), steps=100, transferred=False).learnt(0.65), 6)
        0.5
        """
        return (mean_iou - self.commonest_iou) / max(1e-6, self.ceiling - self.commonest_iou)


@dataclass(frozen=True)
class Course:
    """A run so far: its facts and its validations, oldest first."""

    facts: Facts
    validations: tuple[Validation, ...]

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.validations[-1].step / max(1, self.facts.steps)


def validation_of(step: int, train: Measured, val: Measured) -> Validation:
    """A validation from what was measured of both splits."""
    scores = [
        SplitScores(
            float("nan") if found.loss is None else found.loss, found.scores.pixel_accuracy, found.scores.mean_iou
        )
        for found in (train, val)
    ]
    predicted, in_training = (
        tuple(float(value) for value in found.scores.predicted_pixels / max(1, found.scores.pixels))
        for found in (val, train)
    )
    return Validation(step, scores[0], scores[1], predicted, in_training)


def can_be_judged(course: Course) -> bool:
    """Whether there were steps enough; a single class is no segmentation to judge."""
    early = not course.validations or course.validations[-1].step < STEPS_BEFORE_JUDGING
    return not early and course.facts.commonest_accuracy < ALL_PIXELS


def findings(course: Course) -> list[Finding]:
    """All that is wrong with a course; what follows from a worse thing is left out."""
    if not can_be_judged(course):
        return []
    stuck = one_class(course) or commonest_plateau(course)
    if stuck is not None:
        return [stuck]
    away = far_validation(course)
    found = [away or overfitting(course), underfitting(course), never_predicted(course)]
    return [finding for finding in found if finding is not None]


def one_class(course: Course) -> Finding | None:
    """Every validation pixel is given the same class, although the labels hold several."""
    facts, last = course.facts, course.validations[-LASTING:]
    favourites = {int(np.argmax(validation.predicted)) for validation in last}
    lasting = len(last) == LASTING or course.progress >= 1
    alone = all(max(validation.predicted) >= ALL_PIXELS for validation in last)
    if not (lasting and alone and len(favourites) == 1):
        return None
    which = favourites.pop()
    name = facts.classes[which]
    sentence = f"every validation pixel is given the class {name}, whose share of the labels is {_of(facts, which)}"
    if max(last[-1].predicted_in_training) < ALL_PIXELS:
        cause = "batch norm's running statistics do not fit, for the training images are told apart"
        remedies = ["larger batches (batch_size)", "a smaller learning rate", "optimization.batch_norm: frozen"]
    elif which == facts.commonest and facts.val_shares[which] >= 0.8:
        cause = "the other classes are so rare that never saying them costs little"
        remedies = [
            "class_weights: median-frequency",
            "loss: cross-entropy+dice+lovasz",
            "regime.around: class-balanced",
        ]
    elif not facts.transferred:
        cause = "from random weights a network first learns which class is commonest, and may stay there"
        remedies = ["weights trained elsewhere (weights)", "another learning rate", "class_weights: median-frequency"]
    else:
        cause = "the learning rate is too large, or so small that nothing is learnt"
        remedies = ["a learning rate ten times smaller", "one ten times larger", "class_weights: median-frequency"]
    return Finding("one-class", sentence, cause, in_order(remedies))


def commonest_plateau(course: Course) -> Finding | None:
    """Pixel accuracy and mean IoU stay at what always saying the commonest class scores."""
    facts, last = course.facts, course.validations[-PLATEAU:]
    room = NEAR_COMMONEST * (1 - facts.commonest_accuracy)
    near = all(
        abs(validation.val.pixel_accuracy - facts.commonest_accuracy) <= room
        and facts.learnt(validation.val.mean_iou) <= NEAR_COMMONEST
        for validation in last
    )
    if len(last) < PLATEAU or not near:
        return None
    accuracy = np.mean([validation.val.pixel_accuracy for validation in last])
    sentence = (
        f"the pixel accuracy stays at {accuracy:.1%}; always saying {facts.classes[facts.commonest]} "
        f"scores {facts.commonest_accuracy:.1%}"
    )
    start = [] if facts.transferred else ["weights trained elsewhere (weights)"]
    remedies = [*start, "another learning rate", "class_weights: median-frequency", "loss: cross-entropy+dice+lovasz"]
    return Finding("commonest-plateau", sentence, "nothing but the commonest class is learnt", in_order(remedies))


def underfitting(course: Course) -> Finding | None:
    """Late in the run, training and validation are alike and low.

    Source of the remedies and of their order: NVIDIA, Image Segmentation Using DIGITS 5, 2016.
    """
    facts, now = course.facts, course.validations[-1]
    low = facts.learnt(max(now.train.mean_iou, now.val.mean_iou)) < LOW
    if course.progress < LATE or not low or abs(now.train.mean_iou - now.val.mean_iou) > ALIKE:
        return None
    sentence = (
        f"mean IoU is low and alike on training ({now.train.mean_iou:.2f}) and validation images "
        f"({now.val.mean_iou:.2f}), and {course.progress:.0%} of the run is done: the network underfits"
    )
    start = [] if facts.transferred else ["weights trained elsewhere (weights)"]
    remedies = [*start, "a larger learning rate", "a larger network (net)", "more epochs"]
    cause = "the network learns too slowly, or is too small" if facts.transferred else "it started from random weights"
    return Finding("underfitting", sentence, cause, in_order(remedies))


def overfitting(course: Course) -> Finding | None:
    """Training is far above validation, and validation gets worse while training gets better."""
    validations = course.validations
    last = validations[-FALLING:]
    if len(validations) < 1 + FALLING:
        return None
    best = max(validations, key=lambda validation: validation.val.mean_iou)
    lowest = min(validation.val.loss for validation in validations)
    apart = all(v.train.mean_iou - v.val.mean_iou >= FAR_ABOVE for v in last)
    fallen = all(v.val.mean_iou < best.val.mean_iou - FALLEN for v in last)
    risen = all(v.val.loss > RISEN * lowest for v in last)
    train, val = (float(np.mean([getattr(v, split).mean_iou for v in last])) for split in ("train", "val"))
    if not apart or not (fallen or risen) or train <= best.train.mean_iou:
        return None
    sentence = (
        f"mean IoU is {train:.2f} on the training images and {val:.2f} on the validation images, where it was "
        f"{best.val.mean_iou:.2f} after step {best.step}: the network overfits"
    )
    start = [] if course.facts.transferred else ["weights trained elsewhere (weights)"]
    remedies = [
        "more images, or stronger augmentation",
        *start,
        "optimization.backbone: frozen",
        "a smaller network or more optimization.weight_decay",
        "patience: 5 to end sooner (the best epoch is kept in any case)",
    ]
    return Finding("overfitting", sentence, "too few images for this network and so many epochs", in_order(remedies))


def far_validation(course: Course) -> Finding | None:
    """Validation is far below training from the first validations on."""
    facts, later = course.facts, course.validations[1:]
    if len(later) < PLATEAU:
        return None
    gain = [(facts.learnt(v.train.mean_iou), facts.learnt(v.val.mean_iou)) for v in later]
    now = later[-1]
    never = all(val < NEVER_GOOD * train for train, val in gain)
    if not never or now.train.mean_iou - now.val.mean_iou < FAR_ABOVE:
        return None
    sentence = (
        f"from the first validations on the validation images score far below the training images: mean IoU "
        f"{now.val.mean_iou:.2f} against {now.train.mean_iou:.2f}"
    )
    cause = "they are images of another kind (place, time, camera), or their labels are made otherwise"
    remedies = ["look at both with fullconv data show", "split again, at random or by group", "stronger augmentation"]
    return Finding("other-distribution", sentence, cause, in_order(remedies))


def never_predicted(course: Course) -> Finding | None:
    """Classes that the labels hold and the output never does, in the second half of a run."""
    facts, last = course.facts, course.validations[-LASTING:]
    if course.progress < HALF or len(last) < LASTING:
        return None
    lost = [
        index
        for index, name in enumerate(facts.classes)
        if facts.train_shares[index] > 0
        and facts.val_shares[index] > 0
        and not any(validation.predicted[index] for validation in last)
    ]
    if not lost:
        return None
    named = ", ".join(f"{facts.classes[index]} ({_percent(facts.train_shares[index])})" for index in lost[:6])
    more = "" if len(lost) <= 6 else f" and {len(lost) - 6} more"
    sentence = f"never predicted, with their share of the training labels: {named}{more}"
    cause = "too few pixels, or objects finer than the network's output stride"
    remedies = [
        "class_weights: median-frequency",
        "a patchwise regime with around: class-balanced",
        "a network of a finer stride",
        "more images that show them, or merging them with another class",
    ]
    return Finding("never-predicted", sentence, cause, in_order(remedies))


def _of(facts: Facts, index: int) -> str:
    return _percent(facts.val_shares[index])


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else f"{share:.2g}"
