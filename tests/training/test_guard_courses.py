"""What only a whole course shows, in real runs that are made to go that way: from metrics to the guard's warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training.status import read_status

SIDE = 32
NETWORK = """
from torch import nn

def build(classes: int, channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, {width}, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d({width}, {width}, 1),
        nn.ReLU(),
        nn.Conv2d({width}, classes, 1),
    )
"""
STILL = {"scale": [1.0, 1.0], "flip": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
Scene = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


def write(root: Path, split: str, scenes: list[Scene]) -> None:
    for folder, place in (("images", 0), ("labels", 1)):
        (root / split / folder).mkdir(parents=True)
        for number, scene in enumerate(scenes):
            Image.fromarray(scene[place]).save(root / split / folder / f"{number}.png")


def partly_shown(rng: np.random.Generator, *, share: float, shown: float) -> Scene:
    """The second class has that share of the pixels; what is `shown` of it, as a share of all pixels, is bright."""
    drawn = rng.random((SIDE, SIDE))
    image = rng.integers(60, 80, (SIDE, SIDE, 3), dtype=np.uint8)
    image[drawn < shown] += np.uint8(120)
    return image, (drawn < share).astype(np.uint8)


def by_color(rng: np.random.Generator, *, reddish: int, wrong: float = 0.0) -> Scene:
    """That class is where red is above its mean, but for a share of wrong labels; both classes are equally common."""
    image = rng.integers(40, 200, (SIDE, SIDE, 3), dtype=np.uint8)
    red = image[..., 0] > np.median(image[..., 0])
    label = np.where(red, reddish, 1 - reddish).astype(np.uint8)
    return image, np.where(rng.random((SIDE, SIDE)) < wrong, 1 - label, label).astype(np.uint8)


@pytest.fixture
def trained(tmp_path: Path, quick: dict[str, Any]) -> Any:
    """The warnings of a run on scenes for training and for validation, and what metrics.csv holds of the latter."""

    def warnings(train: list[Scene], val: list[Scene], *, width: int = 8, **more: Any) -> Any:
        write(tmp_path / "data", "train", train)
        write(tmp_path / "data", "val", val)
        path = tmp_path / "net.py"
        path.write_text(NETWORK.format(width=width))
        settings = quick | {
            "network": f"{path}:build",
            "weights": "auto",
            "crop": [SIDE, SIDE],
            "validate_every": 10,
            "class_weights": "none",
            "augmentation": STILL,
            "optimization": {"learning_rate": 0.03, "weight_decay": 0.0},
        }
        data = Dataset.from_folders(tmp_path / "data", name="made")
        run = fc.train(data, quiet=True, **settings | more).directory
        told = [text for text in read_status(run).warnings if "likely cause" in text]
        return told, [row for row in read_rows(run / "metrics.csv") if row["split"] == "val"]

    return warnings


def test_a_class_of_which_next_to_nothing_shows_leaves_a_plateau_at_the_commonest(trained: Any) -> None:
    rng = np.random.default_rng(0)
    scenes = [partly_shown(rng, share=0.3, shown=0.02) for _ in range(12)]
    (text,), _ = trained(scenes[:8], scenes[8:], epochs=40)
    commonest = np.mean([(label == 0).mean() for _, label in scenes[8:]])
    assert text.startswith("the pixel accuracy stays at 7")
    assert f"scores {commonest:.1%}; likely cause: nothing but the commonest class is learnt" in text


def test_a_class_of_which_a_third_shows_is_underfitted(trained: Any) -> None:
    rng = np.random.default_rng(1)
    scenes = [partly_shown(rng, share=0.3, shown=0.1) for _ in range(12)]
    (text,), rows = trained(scenes[:8], scenes[8:], epochs=40)
    assert text.startswith("mean IoU is low and alike on training")
    assert f"validation images ({float(rows[-1]['mean_iou']):.2f})" in text
    assert "the network underfits" in text
    assert "1. weights trained elsewhere (weights), 2. a larger learning rate" in text


def test_wrong_labels_that_are_learnt_by_heart_are_overfitted(trained: Any) -> None:
    rng = np.random.default_rng(2)
    scenes = [by_color(rng, reddish=1, wrong=0.15) for _ in range(4)]
    slower = {"learning_rate": 0.01, "weight_decay": 0.0}
    (text,), rows = trained(scenes[:2], scenes[2:], width=64, optimization=slower, epochs=100, batch_size=2)
    ious = [float(row["mean_iou"]) for row in rows]
    assert max(ious) - ious[-1] > 0.05
    assert text.endswith("patience: 5 to end sooner (the best epoch is kept in any case)")
    assert f"where it was {max(ious):.2f} after step" in text
    assert "the network overfits" in text


def test_validation_images_whose_labels_mean_the_opposite_are_of_another_kind(trained: Any) -> None:
    """Colours and shares of the classes are the same, so only the scores can tell."""
    rng = np.random.default_rng(3)
    train = [by_color(rng, reddish=1) for _ in range(8)]
    val = [by_color(rng, reddish=0) for _ in range(8)]
    (text,), rows = trained(train, val, epochs=40)
    assert text.startswith("from the first validations on the validation images score far below the training images")
    assert max(float(row["mean_iou"]) for row in rows) < 0.2


def test_the_same_scenes_rightly_labelled_are_no_alarm(trained: Any) -> None:
    rng = np.random.default_rng(4)
    scenes = [by_color(rng, reddish=1) for _ in range(16)]
    told, rows = trained(scenes[:8], scenes[8:], epochs=40)
    assert told == []
    assert float(rows[-1]["mean_iou"]) > 0.8
