"""What is decided for the user, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fullconv.errors import PlanError
from fullconv.files import read_document, write_document
from fullconv.training.plan import TrainingSet, default_crop, resolve
from fullconv.training.settings.experiment import Experiment, Plan

CAMVID = TrainingSet(train=[(360, 480)] * 367, val=[(360, 480)] * 101)


@pytest.mark.parametrize("count", [20, 64, 367, 5000])
def test_defaults_train_every_size_of_set_for_a_sensible_time(count: int) -> None:
    plan = resolve(Experiment(dataset="x"), TrainingSet(train=[(360, 480)] * count, val=[(360, 480)] * 5))
    views = count * plan.views * plan.epochs
    assert 20_000 <= views <= 60_000
    assert plan.batch_size <= count
    assert plan.validate_every <= plan.epochs


def test_what_the_user_sets_is_kept() -> None:
    chosen = {"crop": (64, 96), "batch_size": 3, "epochs": 2, "views": 5, "validate_every": 2, "workers": 0}
    plan = resolve(Experiment(dataset="x", precision="fp32", device="cpu", **chosen), CAMVID)
    assert {key: getattr(plan, key) for key in chosen} == chosen
    assert (plan.precision, plan.device) == ("fp32", "cpu")


def test_crops_fit_images_of_any_size() -> None:
    assert default_crop([(20, 3000)] * 3) == (64, 512)
    assert default_crop([(100, 100), (2000, 3000), (360, 480)]) == (288, 384)


@pytest.mark.parametrize(
    ("train", "val", "word"), [([], [(9, 9)], "no training images"), ([(9, 9)], [], "no validation images")]
)
def test_a_set_without_a_split_is_refused(train: list[tuple[int, int]], val: list[tuple[int, int]], word: str) -> None:
    with pytest.raises(PlanError, match=word):
        resolve(Experiment(dataset="x"), TrainingSet(train, val))


def test_a_plan_on_disk_is_the_plan(tmp_path: Path) -> None:
    plan = resolve(Experiment(dataset="x", seed=3), CAMVID)
    write_document(tmp_path / "experiment.yaml", plan)
    assert read_document(tmp_path / "experiment.yaml", Plan, PlanError) == plan
    assert resolve(read_document(tmp_path / "experiment.yaml", Experiment, PlanError), CAMVID) == plan


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("dataset: x\nepochs: 0", "epochs"),
        ("dataset: x\nepochs: many", "epochs"),
        ("dataset: x\nlearning: 3", "learning"),
        ("dataset: x\ncrop: [8, 8]", "crop"),
        ("dataset: x\naugmentation: {scale: [2, 1]}", "scale"),
        ("dataset: x\noptimization: {warmup: 2}", "optimization.warmup"),
        ("dataset: x\nresize: {scale: 2, longest_side: 100}", "resize"),
        ("dataset: x\nregime: magic", "regime"),
        ("epochs: 3", "dataset"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, text: str, field: str) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    with pytest.raises(PlanError, match=field):
        read_document(path, Experiment, PlanError)


def test_a_device_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(PlanError, match="no CUDA device"):
        resolve(Experiment(dataset="x", device="cuda"), CAMVID)


@pytest.mark.parametrize("size", [(1, 1), (20, 700), (360, 480), (10_000, 10_000)])
@pytest.mark.parametrize("count", [1, 3, 367, 100_000])
@pytest.mark.parametrize(
    "regime",
    [
        "whole-image",
        {"kind": "whole-image", "full": True},
        {"kind": "patchwise", "size": [64, 64]},
        {"kind": "loss-sampling", "keep": 1e-6},
    ],
    ids=["crops", "full", "patches", "sampling"],
)
def test_sets_of_any_size_get_a_plan_that_can_run(size: tuple[int, int], count: int, regime: Any) -> None:
    data = TrainingSet([size] * count, [size] * max(1, count // 5))
    plan = resolve(Experiment(dataset="x", device="cpu", regime=regime), data)
    assert 200 <= plan.views * count <= max(40_000, count)
    assert 2 <= plan.batch_size <= 512
    assert 12 <= plan.epochs <= 200
    assert plan.epochs >= plan.validate_every


@pytest.mark.parametrize(
    "setting",
    [
        {"optimization": {"learning_rate": float("inf")}},
        {"optimization": {"weight_decay": float("inf")}},
        {"optimization": {"clip": float("nan")}},
        {"class_weights": {"road": float("inf")}},
        {"augmentation": {"scale": (1.0, float("inf"))}},
        {"loss": {"terms": {"dice": float("inf")}}},
        {"loss": {"boundary": {"weight": float("inf")}}},
        {"regime": {"kind": "patchwise", "loss_at": "pixels"}, "crop": (0, 64)},
        {"regime": {"kind": "patchwise", "loss_at": "pixels"}, "crop": (64, -5)},
    ],
    ids=str,
)
def test_numbers_that_are_none_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as problem:
        Experiment(dataset="x", **setting)
    assert next(iter(setting if "crop" not in setting else ["crop"])) in str(problem.value)
