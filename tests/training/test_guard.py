"""The guard in real runs: trouble made on purpose is told once, on the display, in status.json and in the report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import DataError, PlanError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training import preparing
from fullconv.training.display import TrainingDisplay
from fullconv.training.recording import RunRecorder
from fullconv.training.settings.policies import Fixed, rate_at
from fullconv.training.status import read_status
from fullconv.training.stopping import StopRequested
from fullconv.workspace import Workspace

TINY = """
import torch
from torch import nn

def build(classes: int, channels: int) -> nn.Module:
    body = nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1, bias=False))
    head = nn.Conv2d(8, classes, 1, bias={bias})
    net = nn.Sequential(body, head)
    {change}
    return net
"""
ZERO = "nn.init.zeros_(body[2].weight); nn.init.zeros_(head.weight)"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the person at the screen is told."""
    sentences: list[str] = []
    monkeypatch.setattr(TrainingDisplay, "say", lambda self, message: sentences.append(message))
    return sentences


@pytest.fixture
def tiny(tmp_path: Path, quick: dict[str, Any]) -> Any:
    """Settings of a run with a network of a few weights, changed by a line of its file."""

    def settings(change: str = "", *, bias: bool = True, **more: Any) -> dict[str, Any]:
        path = tmp_path / "tiny.py"
        path.write_text(TINY.format(change=change, bias=bias))
        return quick | {"network": f"{path}:build", "weights": "auto"} | more

    return settings


def only_run(home: Path) -> Path:
    (run,) = Workspace.find(home).runs.iterdir()
    return run


def warnings_of(run: Path) -> list[str]:
    return [text for text in read_status(run).warnings if "likely cause" in text]


def share_of(data: Dataset, index: int, split: str) -> str:
    pixels = data.statistics.pixels(split)
    return f"{pixels[index] / pixels.sum():.1%}"


def write_squares(
    root: Path, share: float, *, numbers: range = range(16), shown: bool = False, third: float = 0
) -> Path:
    """Images of two classes, of which the second has that share; nothing tells where it is unless it is `shown`.

    Nothing ever tells where the `third` is.
    """
    rng = np.random.default_rng(numbers.start)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number in numbers:
        label = (rng.random((64, 64)) < share).astype(np.uint8)
        image = np.full((64, 64, 3), (60 + 4 * number, 90, 90), np.uint8)
        image[label == 1] += np.uint8(90 * shown)
        label[rng.random((64, 64)) < third] = 2
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(label).save(root / "labels" / f"{number}.png")
    return root


def test_a_tiny_learning_rate_is_told_once_everywhere(dataset: Dataset, tiny: Any, said: list[str]) -> None:
    run = fc.train(dataset, **tiny(epochs=8, optimization={"learning_rate": 1e-12, "weight_decay": 0}))
    (text,) = [text for text in warnings_of(run.directory) if "the weights do not move" in text]
    assert "the learning rate (1.0e-12) is too small" in text
    assert said.count(f"Warning: {text}.") == 1
    assert text in json.loads((run.directory / "report" / "scores.json").read_text())["warnings"]
    assert "Warnings during training" in (run.directory / "report" / "report.html").read_text()


def test_a_frozen_network_is_refused_in_one_sentence(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = preparing.build_network

    def frozen(*given: Any, **named: Any) -> Any:
        return plain(*given, **named).requires_grad_(False)

    monkeypatch.setattr(preparing, "build_network", frozen)
    with pytest.raises(PlanError, match="every parameter of the network is frozen"):
        fc.train(dataset, quiet=True, **quick)
    assert read_status(only_run(workspace_home)).state == "failed"


def test_scores_that_stay_at_zero_are_told(dataset: Dataset, tiny: Any) -> None:
    run = fc.train(dataset, quiet=True, **tiny(ZERO, bias=False, epochs=20, validate_every=20))
    (text,) = [text for text in warnings_of(run.directory) if "the loss stays at" in text]
    flat, lost = math.log(len(dataset.classes)), 1 - 1 / len(dataset.classes)
    assert f"the loss stays at {flat + lost:.4f}" in text
    assert f"(of it cross-entropy ln {len(dataset.classes)} = {flat:.4f})" in text
    assert read_status(run.directory).zero_score_loss == pytest.approx(flat + lost)


def test_a_rare_class_that_nothing_shows_leaves_one_class(tmp_path: Path, tiny: Any) -> None:
    data = Dataset.from_folders(write_squares(tmp_path / "squares", 0.03), name="squares")
    run = fc.train(data, quiet=True, **tiny(epochs=24, validate_every=6, class_weights="none"))
    (text,) = warnings_of(run.directory)
    assert text.startswith("every validation pixel is given the class")
    assert f"whose share of the labels is {share_of(data, 0, 'val')}" in text
    assert "so rare" in text


def test_a_class_that_is_never_predicted_is_named(tmp_path: Path, tiny: Any) -> None:
    data = Dataset.from_folders(write_squares(tmp_path / "squares", 0.3, shown=True, third=0.02), name="squares")
    settings = tiny(epochs=30, validate_every=5, class_weights="none", optimization={"learning_rate": 0.05})
    (text,) = warnings_of(fc.train(data, quiet=True, **settings).directory)
    named = f"{data.classes.names[2]} ({share_of(data, 2, 'train')})"
    assert text.startswith(f"never predicted, with their share of the training labels: {named};")


def test_splits_of_other_classes_are_told(tmp_path: Path, tiny: Any) -> None:
    write_squares(tmp_path / "data" / "train", 0.1, numbers=range(8))
    write_squares(tmp_path / "data" / "val", 0.9, numbers=range(8, 16))
    data = Dataset.from_folders(tmp_path / "data", name="split")
    run = fc.train(data, quiet=True, **tiny(epochs=1))
    (text,) = warnings_of(run.directory)
    assert text.startswith("the class shares of training and validation differ strongly")


def test_a_healthy_run_says_nothing(tmp_path: Path, tiny: Any, said: list[str]) -> None:
    data = Dataset.from_folders(write_squares(tmp_path / "squares", 0.2, shown=True), name="squares")
    run = fc.train(data, **tiny(epochs=30, validate_every=3, optimization={"learning_rate": 0.05}))
    assert run.scores.mean_iou > 0.8
    assert warnings_of(run.directory) == []
    assert not [text for text in said if "likely cause" in text]


def test_a_rate_that_is_too_large_is_named_and_a_lower_one_goes_on(
    dataset: Dataset, tiny: Any, workspace_home: Path
) -> None:
    # Under warm-up the rate times the weight decay passes 2: from there the weights grow with every step.
    growing = {"optimizer": "sgd", "learning_rate": 5.0, "weight_decay": 4.0, "warmup": 0.5}
    with pytest.raises(PlanError, match="lower the learning rate") as caught:
        fc.train(dataset, quiet=True, **tiny(epochs=30, optimization=growing))
    failed = only_run(workspace_home)
    assert f"`fullconv train --resume {failed.name} --learning-rate 0.5`" in str(caught.value)
    assert "a learning rate of 5.0e+00 is too large" in str(caught.value)
    assert read_status(failed).error == str(caught.value)
    kept = torch.load(failed / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(value.isfinite().all() for value in kept["state_dict"].values() if value.is_floating_point())
    run = fc.resume(failed, learning_rate=0.01, quiet=True)
    assert read_status(failed).state == "done"
    assert run.experiment.optimization.learning_rate == 0.01
    assert any("was changed from 5 to 0.01" in text for text in read_status(failed).warnings)
    with pytest.raises(PlanError, match="the run is done"):
        fc.resume(failed, learning_rate=0.1, quiet=True)


def test_a_run_goes_on_at_the_rate_that_is_asked_for(
    dataset: Dataset, tiny: Any, workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny(epochs=4, optimization={"learning_rate": 0.01, "policy": "fixed", "warmup": 0.75})
    plain = RunRecorder.on_train_batch_end

    def stop(self: RunRecorder, trainer: Any, *rest: Any) -> None:
        self.stop_requested = trainer.current_epoch == 2
        plain(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_train_batch_end", stop)
        with pytest.raises(StopRequested):
            fc.train(dataset, quiet=True, **settings)
    stopped = only_run(workspace_home)
    told = warnings_of(stopped)
    run = fc.resume(stopped, learning_rate=0.002, quiet=True)
    assert told
    assert warnings_of(stopped) == told  # and not a second time
    rows = [row for row in read_rows(stopped / "metrics.csv") if row["learning_rate"]]
    total = max(int(row["step"]) for row in rows)
    first = total // 4 * 2
    for row in rows:
        step = int(row["step"])
        peak = 0.01 if step <= first else 0.002
        # A row is written after the schedule's step.
        assert float(row["learning_rate"]) == pytest.approx(peak * rate_at(Fixed(), step, total, 0.75), rel=1e-5)
    assert {int(row["step"]) <= first for row in rows} == {True, False}
    assert run.experiment.optimization.pretrained_learning_rate == pytest.approx(0.0002)


def damage(home: Path, file: str, where: int, value: Any) -> None:
    """Change one value in the prepared samples of the training split, the largest of all."""
    folder = max(home.glob("cache/*/"), key=lambda path: (path / file).stat().st_size)
    content = np.fromfile(folder / file, dtype=np.asarray(value).dtype)
    content[where] = value
    content.tofile(folder / file)


def test_a_label_that_is_no_class_ends_the_run_with_its_file(dataset: Dataset, tiny: Any, workspace_home: Path) -> None:
    fc.train(dataset, quiet=True, **tiny(epochs=1))
    height, width = dataset.train.sizes[0]
    damage(workspace_home, "labels.bin", slice(2 * height * width, 3 * height * width), np.uint8(77))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="its label holds 77, which is no class") as caught:
        fc.train(dataset, quiet=True, **tiny(epochs=1))
    assert caught.value.where == str(dataset.train.samples[2].labels[0])
    assert "--resume" in str(caught.value)


def test_a_pixel_that_is_no_number_ends_the_run_with_its_file(tmp_path: Path, tiny: Any, workspace_home: Path) -> None:
    import tifffile

    for folder in ("images", "labels"):
        (tmp_path / "float" / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(16):
        label = (np.arange(64) > 32).astype(np.uint8)[None].repeat(64, 0)
        image = label + rng.normal(0, 0.1, (64, 64))
        tifffile.imwrite(tmp_path / "float" / "images" / f"{index}.tif", image.astype(np.float32))
        Image.fromarray(label).save(tmp_path / "float" / "labels" / f"{index}.png")
    data = Dataset.from_folders(tmp_path / "float", name="float")
    settings = tiny(epochs=2, augmentation={"scale": [1.0, 1.0]})
    run = fc.train(data, quiet=True, **settings)
    damage(workspace_home, "images.bin", 3 * 64 * 64, np.float32(np.nan))
    with pytest.raises(DataError, match="pixels that are not a number") as caught:
        fc.train(data, quiet=True, **settings)
    assert caught.value.where == str(data.train.samples[3].image)
    assert (run.directory / "checkpoints" / "last.ckpt").is_file()


def test_epochs_in_which_the_loss_ran_away_are_given_up(dataset: Dataset, tiny: Any, workspace_home: Path) -> None:
    """The weights grow for many steps before they are no numbers: what is kept is from before."""
    growing = {"optimizer": "sgd", "learning_rate": 5.0, "weight_decay": 4.0, "warmup": 0.9}
    with pytest.raises(PlanError, match="lower the learning rate"):
        fc.train(dataset, quiet=True, **tiny(epochs=60, optimization=growing))
    failed = only_run(workspace_home)
    losses = [
        float(row["loss"]) for row in read_rows(failed / "metrics.csv") if row["split"] == "train" and row["loss"]
    ]
    assert losses[-1] > 2 * min(losses)
    last, best = (torch.load(failed / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("last", "best"))
    assert last["epoch"] == best["epoch"]
    assert max(value.abs().max() for name, value in last["state_dict"].items() if "weight" in name) < 100
    run = fc.resume(failed, learning_rate=0.01, quiet=True)
    steps = [int(row["step"]) for row in read_rows(run.directory / "metrics.csv")]
    assert steps == sorted(steps)
    assert read_status(failed).epoch == 60
