"""Runs by every regime, from settings to package."""

from __future__ import annotations

from typing import Any

import pytest

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import PlanError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.plan_checks import patch_of
from fullconv.training.settings.experiment import Experiment
from fullconv.training.settings.regimes import LossSampling, Patchwise, WholeImage

REGIMES: list[dict[str, Any]] = [
    {"kind": "whole-image", "loss_at": "cells"},
    {"kind": "whole-image", "full": True, "jitter": True},
    {"kind": "patchwise", "size": [64, 64], "loss_at": "pixels"},
    {"kind": "patchwise", "size": [48, 56], "loss_at": "center", "around": "class-balanced"},
    {"kind": "patchwise", "size": [48, 48], "loss_at": "pixels", "around": "objects"},
    {"kind": "patchwise", "size": [48, 48], "loss_at": "pixels", "origins": "grid", "step": 32},
    {"kind": "loss-sampling", "keep": 0.5},
    {"kind": "loss-sampling", "keep": 0.5, "loss_at": "cells", "how": "class-balanced"},
    {"kind": "loss-sampling", "keep": 0.25, "how": "hardest"},
]


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: "-".join(map(str, regime.values())))
def test_every_regime_learns(dataset: Dataset, quick: dict[str, Any], regime: dict[str, Any]) -> None:
    del quick["crop"]
    views = 1 if "origins" in regime else 2
    settings = quick | {"regime": regime, "network": "fcn8s-compact", "epochs": 8, "views": views, "seed": 1}
    run = fc.train(dataset, settings=settings, quiet=True)
    rows = [row for row in read_rows(run.directory / "metrics.csv") if row["split"] == "val"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert run.experiment.regime.kind == regime["kind"]


def test_patches_are_as_large_as_the_field_if_nothing_is_said(dataset: Dataset, quick: dict[str, Any]) -> None:
    del quick["crop"]
    regime = {"kind": "patchwise", "loss_at": "inside"}
    run = fc.train(dataset, settings=quick | {"regime": regime, "network": "fcn8s-compact", "epochs": 1}, quiet=True)
    assert run.experiment.crop == patch_of(ScoreGrid.of(build_network("fcn8s-compact", classes=2)))


def test_patches_without_a_whole_field_are_refused(dataset: Dataset, quick: dict[str, Any]) -> None:
    del quick["crop"]
    with pytest.raises(PlanError, match=r"no receptive field of .* lies inside a patch of 64×64"):
        fc.train(dataset, settings=quick | {"regime": {"kind": "patchwise", "size": [64, 64]}}, quiet=True)


SET = TrainingSet(train=[(360, 480)] * 367, val=[(360, 480)] * 101, patch=(195, 195))


def plan(**settings: Any) -> Any:
    return resolve(Experiment.model_validate({"dataset": "streets", "device": "cpu", **settings}), SET)


def test_batches_grow_as_the_loss_shrinks() -> None:
    assert plan(regime={"kind": "loss-sampling", "keep": 0.25}).batch_size == 32
    assert plan(regime={"kind": "loss-sampling", "keep": 0.25}, batch_size=3).batch_size == 3


def test_patches_default_to_the_field_and_cover_the_image() -> None:
    found = plan(regime="patchwise")
    assert found.crop == (195, 195)
    assert found.views == round(360 * 480 / 195**2)
    assert found.batch_size == (8 * 288 * 384 // 195**2)


def test_a_grid_plans_by_the_patches_that_it_holds() -> None:
    regime = {"kind": "patchwise", "size": [120, 160], "origins": "grid", "step": 120, "loss_at": "pixels"}
    found = plan(regime=regime)
    assert found.views == 1
    patches = 367 * 3 * 4
    assert found.epochs == max(12, round(40_000 / patches))
    with pytest.raises(ValueError, match="a grid of patches takes each once"):
        plan(regime=regime, views=3)


def test_a_regime_is_named_or_spelled_out() -> None:
    assert plan(regime="loss-sampling").regime == LossSampling()
    assert plan(regime={"kind": "patchwise", "size": [64, 48]}).crop == (64, 48)
    assert plan().regime == WholeImage()


def test_whole_images_take_the_largest_as_their_size() -> None:
    assert plan(regime={"kind": "whole-image", "full": True}).crop == (360, 480)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"regime": {"kind": "whole-image", "full": True}, "crop": [64, 64]}, "takes images whole"),
        ({"regime": {"kind": "patchwise", "size": [64, 64]}, "crop": [96, 96]}, "differs from the size of the patches"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        plan(**settings)


@pytest.mark.parametrize(
    ("regime", "words"),
    [
        ("tiles", "'tiles'"),
        ({"kind": "patchwise", "origins": "grid", "around": "objects"}, "a grid takes every place"),
        ({"kind": "patchwise", "step": 8}, "random patches have no step"),
        ({"kind": "loss-sampling", "keep": 0}, "greater than 0"),
        ({"kind": "whole-image", "keep": 0.5}, "keep"),
    ],
)
def test_wrong_settings_are_named(regime: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Experiment(dataset="streets", regime=regime)


def test_a_patch_regime_is_what_a_plan_on_disk_holds() -> None:
    found = plan(regime=Patchwise(size=(64, 48), around="objects", loss_at="pixels"))
    assert type(found).model_validate_json(found.model_dump_json()) == found
