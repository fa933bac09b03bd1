"""The loss in a plan: which terms, how they are summed, what weighs more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Term = Literal["cross-entropy", "focal", "dice", "lovasz"]


class Boundary(BaseModel):
    """Pixels near the boundary between two classes weigh more.

    Args:
        weight: added to the factor 1 of every pixel.
        width: pixels from the boundary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight: float = Field(default=4.0, gt=0)
    width: int = Field(default=3, ge=1)


class Loss(BaseModel):
    """What is summed over the pixels or cells that count.

    "ohem" is no term: which part of the loss is kept is a regime, {kind: loss-sampling, how: hardest}.

    Args:
        terms: name of a loss → its factor; "cross-entropy+dice" stands for factors of 1. Lovász beside cross-entropy
            is what mean IoU gains most from on thin and rare classes.
        reduction: "mean", or "sum" as in the reference nets, whose learning rates are so small for that reason.
        denominator: of the mean: the sum of the factors of what counts ("weights", as PyTorch does), the number of
            what counts ("pixels"), or of all there is, ignored and left out ones too ("all"). Only with "all" does a
            class factor mean the same as keeping that class so much more often.
        label_smoothing: share of the truth spread over all classes, in cross-entropy.
        focal_gamma: how soon focal loss lets go of what is right.
        lovasz_stride: Lovász loss reads every so many pixels down and across, 1 for all of them, which takes several
            times as long as a small network's step; of the cells of the score grid it reads all.
        boundary: extra weight near boundaries, for losses per pixel; none for no such thing.

    >>> Loss(terms="cross-entropy+dice").terms
    {'cross-entropy': 1.0, 'dice': 1.0}
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    terms: Annotated[
        dict[Term, Annotated[float, Field(gt=0)]], BeforeValidator(lambda value: _terms(value)), Field(min_length=1)
    ] = {"cross-entropy": 1.0, "lovasz": 1.0}  # pydantic copies it
    reduction: Literal["mean", "sum"] = "mean"
    denominator: Literal["weights", "pixels", "all"] = "weights"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    focal_gamma: float = Field(default=2.0, ge=0)
    lovasz_stride: int = Field(default=4, ge=1)
    boundary: Boundary | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Loss:
        per_pixel = "cross-entropy" in self.terms or "focal" in self.terms
        unread = (
            ("label_smoothing", "cross-entropy", "cross-entropy" in self.terms, 0.0),
            ("focal_gamma", "focal", "focal" in self.terms, 2.0),
            ("lovasz_stride", "lovasz", "lovasz" in self.terms, 4),
            ("boundary", "cross-entropy or focal", per_pixel, None),
        )
        for name, term, there, default in unread:
            if not there and getattr(self, name) != default:
                raise ValueError(f"{name}: is for {term}, which is not among the terms; leave it out")
        return self


ELSEWHERE = {
    "ohem": "regime: {kind: loss-sampling, how: hardest}",
    "hardest": "regime: {kind: loss-sampling, how: hardest}",
    "boundary": "loss: {terms: cross-entropy, boundary: {weight: 4, width: 3}}",
    "boundary-weighted": "loss: {terms: cross-entropy, boundary: {weight: 4, width: 3}}",
    "label-smoothing": "loss: {terms: cross-entropy, label_smoothing: 0.1}",
    "weighted-cross-entropy": "class_weights: inverse-log, or another of its rules",
}
"""What others call a loss and is a setting beside it here: name → how to say it."""


def _terms(value: Any) -> Any:
    terms = {name.strip(): 1.0 for name in value.split("+")} if isinstance(value, str) else value
    for name in terms if isinstance(terms, Mapping) else ():
        if name in ELSEWHERE:
            raise ValueError(f"{name} goes beside a loss; say {ELSEWHERE[name]}")
    return terms


LossSetting = Annotated[Loss, BeforeValidator(lambda value: {"terms": value} if isinstance(value, str) else value)]
"""A loss by its name alone has the defaults."""
