"""Mistakes in a plan, in words: which field, what it holds, what it may hold."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fullconv.errors import PlanError
from fullconv.files import read_document, validate_document
from fullconv.training.settings.experiment import Experiment

PYDANTIC = ("Input should", "Field required", "Extra inputs", "unable to parse", "Value error", "validation error")

CASES: list[tuple[dict[str, Any], str]] = [
    # Fields that there are not
    ({"optimisation": {"lr": 1}}, "optimisation: there is no such field; perhaps optimization is meant"),
    (
        {"optimization": {"lr": 1}},
        "optimization.lr: there is no such field; perhaps optimization.learning_rate is meant",
    ),
    ({"learning_rate": 1}, "learning_rate: there is no such field; perhaps optimization.learning_rate is meant"),
    ({"optimization": {"batch_size": 3}}, "optimization.batch_size: there is no such field; perhaps batch_size is"),
    ({"regime": {"kind": "patchwise", "siz": 3}}, "regime.siz: there is no such field; perhaps regime.size is meant"),
    (
        {"regime": {"kind": "whole-image", "keep": 0.5}},
        "regime.keep: there is no such field; it belongs to regime.kind: loss-sampling",
    ),
    (
        {"optimization": {"policy": {"kind": "step", "gama": 1}}},
        "optimization.policy.gama: there is no such field; perhaps optimization.policy.gamma is meant",
    ),
    (
        {"recipe": "reference", "optimization": {"momentm": 0.5}},
        "optimization.momentm: there is no such field; perhaps optimization.momentum is meant",
    ),
    ({"resize": {"zzz": 1}}, "resize.zzz: there is no such field; choose from longest_side, scale"),
    ({"zzz": 1}, "zzz: there is no such field; docs/reference lists all"),
    ({1: 2}, "1 is not the name of a field; put it in quotes"),  # type: ignore[dict-item]
    # Bounds
    ({"epochs": 0}, "epochs: 0 is too small; give 1 or more"),
    ({"optimization": {"learning_rate": 0}}, "optimization.learning_rate: 0 is too small; give more than 0"),
    ({"optimization": {"momentum": 1.5}}, "optimization.momentum: 1.5 is too large; give less than 1"),
    ({"resize": {"scale": 9}}, "resize.scale: 9 is too large; give 8 or less"),
    (
        {"optimization": {"policy": {"kind": "step", "gamma": 2}}},
        "optimization.policy.gamma: 2 is too large; give 1 or less",
    ),
    ({"loss": {"terms": {}}}, "loss.terms: {} has too few values; give 1 or more"),
    ({"crop": [64]}, "crop: [64] has too few values; give 2"),
    ({"crop": []}, "crop: [] has too few values; give 2"),
    ({"crop": [64, 64, 64]}, "crop: [64, 64, 64] has too many values; give 2"),
    ({"loss": {"boundary": {"weight": math.inf}}}, "loss.boundary.weight: inf is not a finite number; give one"),
    # Types
    ({"optimization": {"learning_rate": "fast"}}, "optimization.learning_rate: 'fast' is not a number; give one"),
    ({"epochs": 1.5}, "epochs: 1.5 is not a whole number; give one"),
    ({"epochs": "many"}, "epochs: 'many' is not a whole number; give one"),
    ({"seed": None}, "seed: is empty; give a whole number"),
    ({"network": 3}, "network: 3 is not text; put it in quotes"),
    ({"replacement": "perhaps"}, "replacement: 'perhaps' is not true or false; say which"),
    ({"crop": 64}, "crop: 64 is not a list of values; write it as [a, b]"),
    ({"crop": ["a", 64]}, "crop.0: 'a' is not a whole number; give one"),
    ({"optimization": 3}, "optimization: 3 is not a set of names with values; write it as {name: value}"),
    ({"class_weights": {"car": "x"}}, "class_weights.car: 'x' is not one of none, inverse-log, median-fre"),
    ({"loss": {"terms": {"dice": "x"}}}, "loss.terms.dice: 'x' is not a number; give one"),
    # Words of a list
    ({"precision": "bf32"}, "precision: 'bf32' is not one of auto, fp32 or bf16; perhaps fp32 is meant"),
    (
        {"class_weights": "inverse-lo"},
        "class_weights: 'inverse-lo' is not one of none, inverse-log, median-frequency, effective-number or a set of "
        "names with values; perhaps inverse-log is meant",
    ),
    ({"loss": "hinge"}, "loss: 'hinge' is not one of cross-entropy, focal, dice or lovasz; choose one of them"),
    ({"loss": {"terms": "hinge"}}, "loss.terms: 'hinge' is not one of cross-entropy, focal, dice or lovasz"),
    ({"loggers": ["tensorbord"]}, "loggers.0: 'tensorbord' is not one of tensorboard, mlflow or wandb; perhaps tens"),
    ({"heads": {"a": "all", "b": 3}}, "heads.b: 3 is not one of all or a set of names with values; choose one"),
    ({"format": 2}, "format: 2 is not 1; say 1"),
    # Kinds of a section
    ({"regime": "tiles"}, "regime: 'tiles' is not one of whole-image, patchwise or loss-sampling; choose one of them"),
    ({"regime": {"kind": "patch"}}, "regime.kind: 'patch' is not one of whole-image, patchwise or loss-sampling; per"),
    ({"regime": {"keep": 0.5}}, "regime.kind: is missing; say whole-image, patchwise or loss-sampling"),
    ({"optimization": {"policy": "often"}}, "optimization.policy: 'often' is not one of fixed, step, multistep, exp"),
    # Sentences of our own
    ({"loss": "ohem"}, "loss: ohem goes beside a loss; say regime: {kind: loss-sampling, how: hardest}"),
    (
        {"regime": {"kind": "patchwise", "origins": "grid", "around": "objects"}},
        "regime.around: a grid takes every place; leave out around: objects",
    ),
    (
        {"optimization": {"optimizer": "nesterov", "momentum": 0}},
        "optimization.momentum: Nesterov's needs one above 0; say optimizer: sgd to go without",
    ),
    # Settings that would change nothing
    ({"optimization": {"optimizer": "adagrad", "momentum": 0.5}}, "optimization.momentum: adagrad has none; leave it"),
    (
        {"optimization": {"backbone": "free", "pretrained_learning_rate": 0.1}},
        "optimization.pretrained_learning_rate: is for backbone: slow, not free; leave it out",
    ),
    (
        {"loss": {"terms": "focal", "label_smoothing": 0.1}},
        "loss.label_smoothing: is for cross-entropy, which is not among the terms; leave it out",
    ),
    ({"loss": {"focal_gamma": 3}}, "loss.focal_gamma: is for focal, which is not among the terms; leave it out"),
    (
        {"loss": {"terms": "dice", "lovasz_stride": 1}},
        "loss.lovasz_stride: is for lovasz, which is not among the terms; leave it out",
    ),
    ({"loss": {"terms": "dice", "boundary": {}}}, "loss.boundary: is for cross-entropy or focal, which is not among"),
    ({"group_by": "(.*)"}, "group_by: is for folds; say folds, or leave it out"),
    (
        {"regime": {"kind": "patchwise", "around": "objects"}, "replacement": True},
        "replacement: objects draws from all images anyhow; leave it out",
    ),
    (
        {"regime": {"kind": "patchwise", "origins": "grid"}, "augmentation": {"vertical_flip": 0.5}},
        "augmentation.vertical_flip: a grid takes patches as they lie; leave it out",
    ),
    ({"resize": {"scale": 2, "longest_side": 100}}, "resize: give longest_side or scale, not both"),
    ({"crop": [8, 8]}, "crop: a view needs at least 32 pixels on each side"),
]


@pytest.mark.parametrize(("content", "sentence"), CASES, ids=lambda case: str(case)[:50])
def test_a_wrong_field_is_one_plain_sentence(content: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PlanError) as found:
        validate_document({"dataset": "streets"} | content, Experiment, where="here", error=PlanError)
    assert str(found.value).startswith(f"here: {sentence}")
    assert not any(word in str(found.value) for word in PYDANTIC)
    assert "\n" not in str(found.value)


def test_a_file_says_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("network: fcn8s-vgg16\n")
    with pytest.raises(PlanError, match=r"experiment\.yaml: dataset: is missing; add it\.$"):
        read_document(path, Experiment, PlanError)


class Odd(BaseModel):
    """Fields of kinds that no plan has."""

    when: datetime = datetime(2024, 1, 1)
    code: complex = 1j


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"when": "yesterday"}, "when: 'yesterday' is not a date and time; write it as 2024-12-31T23:59:59Z"),
        ({"code": "x"}, "code: 'x' cannot be used; see docs/reference for what it may be"),
    ],
)
def test_other_kinds_of_fields_have_words_too(content: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        validate_document(content, Odd, where="here", error=PlanError)
