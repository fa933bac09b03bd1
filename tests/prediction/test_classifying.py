"""What a classifier says of a photo, as a whole and place by place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from fullconv.cli.main import app
from fullconv.errors import PlanError
from fullconv.networks.normalization import Normalization
from fullconv.prediction.classifying import NATIVE, DenseGuess, class_index, classify, classify_densely
from fullconv.prediction.heat_maps import heat_figure


@pytest.fixture
def classifier() -> nn.Module:
    """Unpadded, so that every window is what the classifier says of that crop."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 16, 16), nn.ReLU(), nn.Conv2d(6, 8, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 3)
    ).eval()


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 340, 3), dtype=np.uint8)


NAMES = ("cat", "dog", "big dog")


def test_every_window_says_what_the_classifier_says_of_that_crop(classifier: nn.Module, photo: np.ndarray) -> None:
    for stride, expected in ((None, 32), (16, 16)):
        guess = classify_densely(classifier, photo, NAMES, size=300, stride=stride)
        assert guess.stride == (expected, expected)
        assert guess.photo.tolist() == photo.tolist()
        for row, col in ((0, 0), (1, 2), (guess.probabilities.shape[1] - 1, guess.probabilities.shape[2] - 1)):
            top, left = row * expected, col * expected
            crop = torch.from_numpy(photo[top : top + NATIVE, left : left + NATIVE].copy()).permute(2, 0, 1)
            with torch.no_grad():
                single = classifier(Normalization.imagenet().apply(crop[None].float()))[0].softmax(0)
            np.testing.assert_allclose(guess.probabilities[:, row, col], single.numpy(), atol=1e-6)


def test_probabilities_lie_at_the_middles_of_their_windows(classifier: nn.Module, photo: np.ndarray) -> None:
    guess = classify_densely(classifier, photo, NAMES, size=300)
    placed = guess.on_photo("cat")
    assert placed.shape == (300, 340)
    for row in range(guess.probabilities.shape[1]):
        for col in range(guess.probabilities.shape[2]):
            assert placed[32 * row + 111, 32 * col + 112] == guess.probabilities[0, row, col]
    assert np.isnan(placed[95, 150])
    assert np.isnan(placed[150, -1])
    assert not np.isnan(placed[96, 96])


def test_the_strongest_classes_come_first() -> None:
    maps = np.array([[[0.1, 0.2]], [[0.8, 0.1]], [[0.1, 0.7]]], dtype=np.float32)
    guess = DenseGuess(np.zeros((4, 4, 3), np.uint8), maps, (2, 2), (1.0, 1.0), NAMES)
    assert [(found.name, round(found.probability, 3)) for found in guess.strongest(2)] == [
        ("dog", 0.8),
        ("big dog", 0.7),
    ]
    assert len(heat_figure([guess], ["dog", "cat"]).axes) == 3


def test_the_middle_of_the_photo_is_classified(classifier: nn.Module, photo: np.ndarray) -> None:
    guesses = classify(classifier, photo, NAMES, count=5)
    assert sum(guess.probability for guess in guesses) == pytest.approx(1, abs=1e-5)
    assert [guess.probability for guess in guesses] == sorted((guess.probability for guess in guesses), reverse=True)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("horse", "no class is called 'horse'"), ("o", "2 classes are called like 'o'; choose from 'dog', 'big dog'")],
)
def test_names_that_are_no_class(name: str, sentence: str) -> None:
    assert class_index(NAMES, "dog") == 1
    assert class_index(NAMES, "BIG") == 2
    with pytest.raises(PlanError, match=sentence):
        class_index(NAMES, name)


def test_a_photo_smaller_than_the_window_is_refused(classifier: nn.Module, photo: np.ndarray) -> None:
    with pytest.raises(PlanError, match="100 pixels hold no window of 224"):
        classify_densely(classifier, photo, NAMES, size=100)


@pytest.mark.realdata
def test_a_cat_is_a_cat_and_lies_where_it_lies(shared: Path, tmp_path: Path) -> None:
    weights = shared / "weights" / "mobilenet_v2-imagenet.safetensors"
    command = ["classify", str(shared / "data" / "photos" / "caffe_cat.jpg"), "--net", "mobilenet_v2"]
    command += ["--weights", str(weights), "--dense", str(tmp_path / "heat.png"), "--class", "lynx", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0
    content = json.loads(result.output)
    assert content["guesses"][0]["name"] == "tabby"
    assert content["guesses"][0]["probability"] > 0.5
    assert content["drawn"] == ["lynx"]
    with Image.open(tmp_path / "heat.png") as picture:
        assert picture.width > 300


def test_a_classifier_that_does_not_exist_is_one_sentence(tmp_path: Path, photo: np.ndarray) -> None:
    Image.fromarray(photo).save(tmp_path / "photo.png")
    result = CliRunner().invoke(app, ["classify", str(tmp_path / "photo.png"), "--net", "nothing"])
    assert result.exit_code == 2
    assert "no backbone is named 'nothing'" in result.stderr
