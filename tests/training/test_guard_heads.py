"""The guard on several heads: whose classes a warning is about, each once, through a resume too."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.evaluation.scores import Scores
from fullconv.training.guard.heads import FurtherHeads
from fullconv.training.guard.scores import Facts
from fullconv.training.guard.steps import RECENT, zero_scores
from fullconv.training.heads import HeadTable
from fullconv.training.status import read_status

HEADS: HeadTable = {"what": "all", "where": {"above": ["sky"], "below": ["road", "car"]}}
FACTS = Facts(("sky", "road", "car", "sign"), (0.2, 0.3, 0.3, 0.2), (0.3, 0.3, 0.3, 0.1), 1000, transferred=True)


def both(counts: list[list[int]]) -> dict[str, dict[str, Scores]]:
    scores = Scores.from_confusion(counts, ("above", "below"))
    return {"where": {"train": scores, "val": scores}}


GOOD = both([[90, 10], [10, 190]])
ONE_CLASS = both([[0, 100], [0, 200]])
RIGHT_ONLY_BELOW = both([[0, 0], [0, 0]])


def test_the_shares_of_groups_are_those_of_what_is_in_them() -> None:
    facts = FurtherHeads(HEADS, FACTS).facts["where"]
    assert facts.classes == ("above", "below")
    np.testing.assert_allclose(facts.train_shares, (0.25, 0.75))
    np.testing.assert_allclose(facts.val_shares, (1 / 3, 2 / 3))
    assert FurtherHeads(None, FACTS).facts == {}


def test_a_healthy_head_is_left_alone_and_one_class_is_told() -> None:
    heads = FurtherHeads(HEADS, FACTS)
    assert not any(heads.look(step, GOOD) for step in (100, 200, 300, 400))
    assert heads.look(500, ONE_CLASS) == []  # a single one may be an accident
    ((name, finding),) = heads.look(600, ONE_CLASS)
    assert (name, finding.kind) == ("where", "one-class")
    assert "every validation pixel is given the class below, whose share of the labels is 66.7%" in finding.sentence


def test_what_was_seen_outlasts_a_checkpoint() -> None:
    before = FurtherHeads(HEADS, FACTS)
    before.look(500, ONE_CLASS)
    after = FurtherHeads(HEADS, FACTS)
    after.restore(before.state())
    assert [finding.kind for _, finding in after.look(600, ONE_CLASS)] == ["one-class"]


def test_the_loss_of_zero_scores_is_that_of_all_heads() -> None:
    expected = math.log(12) + math.log(3)
    found = zero_scores([expected] * RECENT, expected, classes=[12, 3], rate=1e-12)
    assert found is not None
    assert f"the loss stays at {expected:.4f}, as when all scores of a pixel are zero (ln 12 + ln 3 = 3.5835)" in str(
        found
    )


def test_a_run_names_the_head_in_its_warnings(dataset: Dataset, quick: dict[str, Any]) -> None:
    """Nothing is learnt at such a rate, so both heads end where they began: at the commonest class or at one class."""
    rest = [name for name in dataset.classes.names if name != "sky"]
    settings = quick | {
        "network": "fcn8s-compact",
        "heads": {"what": "all", "where": {"sky": ["sky"], "rest": rest}},
        "epochs": 24,
        "validate_every": 6,
        "optimization": {"learning_rate": 1e-12, "weight_decay": 0},
    }
    run = fc.train(dataset, settings=settings, quiet=True)
    said = [text for text in read_status(run.directory).warnings if text.startswith("head ")]
    assert sum(text.startswith("head what: ") for text in said) == 1
    assert sum(text.startswith("head where: ") for text in said) == 1


@pytest.mark.parametrize("measured", [GOOD, RIGHT_ONLY_BELOW])
def test_early_validations_are_not_judged(measured: dict[str, dict[str, Scores]]) -> None:
    heads = FurtherHeads(HEADS, FACTS)
    assert not any(heads.look(step, measured) for step in (10, 20, 30))
