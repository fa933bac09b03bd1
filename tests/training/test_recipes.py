"""What a recipe sets, and what lies over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import PlanError
from fullconv.files import read_document, validate_document
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.settings.experiment import Experiment
from fullconv.training.settings.loss_settings import ELSEWHERE, Boundary, Loss
from fullconv.training.settings.policies import Fixed, Polynomial
from fullconv.training.settings.recipes import overlaid, with_recipe
from fullconv.training.settings.regimes import LossSampling, WholeImage
from fullconv.workspace import Workspace

VOC = TrainingSet(train=[(375, 500), (500, 375)] * 400, val=[(333, 500)] * 100)


def asked(**settings: Any) -> Experiment:
    return validate_document({"dataset": "voc"} | settings, Experiment, where="here", error=PlanError)


@pytest.mark.parametrize(
    ("network", "rate"),
    [
        ("fcn32s-vgg16-reference", 1e-10),
        ("fcn16s-vgg16-reference", 1e-12),
        ("fcn8s-vgg16-reference", 1e-14),
        ("fcn8s-at-once-vgg16-reference", 1e-10),
    ],
)
def test_the_reference_recipe_is_the_heavy_training_of_the_published_nets(network: str, rate: float) -> None:
    plan = resolve(asked(recipe="reference", network=network, device="cpu"), VOC)
    assert plan.regime == WholeImage(full=True)
    assert plan.crop == (500, 500)
    assert (plan.batch_size, plan.replacement, plan.class_weights, plan.precision) == (1, True, "none", "fp32")
    assert plan.loss == Loss(terms="cross-entropy", reduction="sum")
    view = plan.augmentation
    assert view.scale == (1.0, 1.0)
    assert {view.flip, view.brightness, view.contrast, view.saturation, view.hue} == {0.0}
    chosen = plan.optimization
    assert (chosen.optimizer, chosen.momentum, chosen.weight_decay, chosen.bias_factor) == ("sgd", 0.99, 5e-4, 2.0)
    assert (chosen.learning_rate, chosen.backbone, chosen.policy, chosen.warmup) == (rate, "free", Fixed(), 0)
    assert (chosen.accumulate, chosen.clip, chosen.ema) == (1, None, None)


def test_alexnet_was_trained_by_means_over_20_images() -> None:
    plan = resolve(asked(recipe="reference", network="fcn-alexnet-reference", device="cpu"), VOC)
    assert (plan.regime, plan.batch_size, plan.replacement) == (WholeImage(full=True), 1, True)
    assert plan.loss == Loss(terms="cross-entropy", reduction="mean")
    chosen = plan.optimization
    assert (chosen.learning_rate, chosen.momentum, chosen.accumulate) == (1e-4, 0.9, 20)
    assert (chosen.optimizer, chosen.weight_decay, chosen.bias_factor) == ("sgd", 5e-4, 2.0)
    assert (chosen.backbone, chosen.policy, chosen.warmup) == ("free", Fixed(), 0)


def test_settings_of_the_user_lie_over_a_recipe() -> None:
    mine = {"optimization": {"learning_rate": 1e-9, "policy": "poly"}, "batch_size": 2, "loss": "cross-entropy+dice"}
    plan = asked(recipe="reference", network="fcn32s-vgg16", augmentation={"flip": 0.5}, **mine)
    assert (plan.optimization.learning_rate, plan.optimization.momentum) == (1e-9, 0.99)
    assert plan.optimization.policy == Polynomial()
    assert plan.loss == Loss(terms="cross-entropy+dice", reduction="sum")
    assert (plan.augmentation.flip, plan.augmentation.hue) == (0.5, 0.0)
    assert plan.batch_size == 2


def test_a_plan_made_by_a_recipe_is_read_back_as_it_is(tmp_path: Path) -> None:
    plan = resolve(asked(recipe="reference", loss={"terms": {"dice": 2.0}}, precision="bf16"), VOC)
    assert plan.loss.terms == {"dice": 2.0}
    assert type(plan).model_validate(plan.model_dump(mode="json")) == plan


def test_a_recipe_asked_for_later_lies_over_a_plan(dataset: Dataset, quick: dict[str, Any], tmp_path: Path) -> None:
    home = Workspace.find()
    dataset.save(home)
    path = tmp_path / "plan.yaml"
    path.write_text("dataset: streets\noptimization: {momentum: 0.5, ema: 0.9}\nbatch_size: 7\n")
    assert read_document(path, Experiment, PlanError).optimization.momentum == 0.5
    small = {key: quick[key] for key in ("network", "weights", "workers", "device")}
    settings = small | {"recipe": "reference", "epochs": 1, "optimization": {"weight_decay": 0.0}}
    run = fc.train(path, quiet=True, settings=settings)
    chosen = run.experiment
    assert (chosen.batch_size, chosen.replacement, chosen.loss.reduction) == (1, True, "sum")
    assert (chosen.optimization.momentum, chosen.optimization.ema) == (0.99, 0.9)
    assert (chosen.optimization.weight_decay, chosen.optimization.learning_rate) == (0.0, 1e-14)


def test_what_is_laid_over_replaces_terms_and_other_kinds_whole() -> None:
    base = asked(loss={"terms": "cross-entropy+dice", "boundary": {"weight": 2}}).model_dump(mode="json")
    merged = overlaid(base, {"loss": {"terms": {"focal": 1.0}}, "regime": {"kind": "loss-sampling", "keep": 0.3}})
    plan = validate_document(merged, Experiment, where="here", error=PlanError)
    assert plan.loss == Loss(terms="focal", boundary=Boundary(weight=2))
    assert plan.regime == LossSampling(keep=0.3)
    assert with_recipe(base, {"epochs": 3}) == base


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_no_loss_here_is_refused_with_how_to_say_it(name: str) -> None:
    with pytest.raises(PlanError, match=f"{name} goes beside a loss; say "):
        asked(loss=f"dice+{name}")
    with pytest.raises(PlanError, match=f"{name} goes beside a loss; say "):
        asked(loss={"terms": {name: 1.0}})


def test_the_remedies_work() -> None:
    assert asked(regime={"kind": "loss-sampling", "how": "hardest"}).regime == LossSampling(how="hardest")
    assert asked(loss={"terms": "cross-entropy", "boundary": {"weight": 4, "width": 3}}).loss.boundary == Boundary()
    assert asked(loss={"terms": "cross-entropy", "label_smoothing": 0.1}).loss.label_smoothing == 0.1


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"loss": "hinge"}, "cross-entropy"),
        ({"loss": {"terms": {}}}, "loss.terms: {} has too few values"),
        ({"loss": {"terms": {"dice": 0}}}, "give more than 0"),
        ({"loss": {"boundary": {"width": 0}}}, "boundary.width"),
        ({"class_weights": "none", "regime": {"kind": "loss-sampling", "how": "class-balanced"}}, "class_weights"),
        ({"recipe": "reference", "regime": {"kind": "loss-sampling", "how": "class-balanced"}}, "class_weights"),
        ({"optimization": {"optimizer": "nesterov", "momentum": 0}}, "optimization.momentum"),
    ],
)
def test_losses_that_make_no_sense_are_refused(setting: dict[str, Any], word: str) -> None:
    with pytest.raises(PlanError, match=word):
        asked(**setting)
