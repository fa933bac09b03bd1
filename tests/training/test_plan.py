"""What is decided for the user, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fullconv.errors import PlanError
from fullconv.files import read_document, write_document
from fullconv.training.experiment import Experiment, Plan
from fullconv.training.plan import TrainingSet, default_crop, resolve

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
