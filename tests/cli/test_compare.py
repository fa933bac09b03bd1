"""`fullconv compare` as a user types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import run
from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.prediction.evaluating import evaluate
from fullconv.prediction.model import Model
from fullconv.training.fit import train_as
from fullconv.workspace import Workspace
from tiny_run import TINY

SETTINGS = TINY | {"epochs": 1}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two runs on twelve street scenes."""
    place = tmp_path_factory.mktemp("compare")
    scenes = write_scenes(place / "streets", count=12, size=(96, 72), processes=1)
    found = Workspace(place / "home")
    Dataset.from_folders(scenes, name="streets").save(found)
    for name, seed in (("first", 0), ("second", 1)):
        train_as(name, "streets", SETTINGS | {"seed": seed}, workspace=found, quiet=True)
    return found


def test_two_models_on_a_split_with_truth(home: Workspace, tmp_path: Path) -> None:
    words = ["compare", "first", home.run("second"), "--dataset", "streets", "--workspace", home.root]
    code, output, _ = run(*words, "--out", tmp_path / "out", "--json", "--device", "cpu")
    assert code == 0
    facts = json.loads(output)
    assert facts == json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [entry["name"] for entry in facts["models"]] == ["first", "second"]
    assert (facts["dataset"], facts["split"]) == ("streets", "test")
    data = Dataset.load("streets", home).test
    for entry in facts["models"]:
        expected = evaluate(Model.load(entry["name"], workspace=home, device="cpu"), data, progress=False)
        assert entry["scores"]["confusion"] == expected.confusion.tolist()
    with Image.open(tmp_path / "out" / "comparison.png") as picture:
        assert picture.width > 5 * 360
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 100
    code, output, _ = run(*words, "--out", tmp_path / "again", "--keys", facts["shown"][0], "--view", "labels")
    assert code == 0
    assert "mean IoU" in output
    assert "comparison.png" in output


def test_images_alone(home: Workspace, tmp_path: Path) -> None:
    images = next(path for path in (home.root.parent / "streets").rglob("images") if "test" in path.parts)
    code, output, _ = run(
        *("compare", home.run("first") / "model", "first", "second", "--images", images, "--out", tmp_path / "out"),
        *("--workspace", home.root, "--rows", 1, "--json"),
    )
    assert code == 0
    facts = json.loads(output)
    assert [entry["name"] for entry in facts["models"]] == ["first", "first (2)", "second"]
    assert facts["disagreement"]["pairs"][0]["share"] == 0
    assert len(facts["shown"]) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["first", "--dataset", "streets"], "two models or more"),
        (["first", "second"], "nothing to compare on"),
        (["first", "second", "--dataset", "streets", "--images", "x"], "both images and a dataset"),
        (["first", "nobody", "--dataset", "streets"], "no model package there or by that name"),
        (["first", "second", "--dataset", "streets", "--keys", "x"], "has no image 'x'"),
        (["first", "second", "--dataset", "streets", "--split", "x"], "no split is named 'x'"),
        (["first", "second", "--images", "nowhere.png"], "no such file or folder"),
        (["first", "second", "--images", "x.png", "--keys", "y"], "belongs to a dataset"),
    ],
)
def test_a_mistake_is_one_sentence(home: Workspace, tmp_path: Path, words: list[str], sentence: str) -> None:
    code, _, said = run("compare", *words, "--out", tmp_path / "out", "--workspace", home.root)
    assert (code, sentence in said) == (2, True), said
    assert not (tmp_path / "out").exists()


def test_an_image_that_cannot_be_used_is_named(home: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    images = next(path for path in (home.root.parent / "streets").rglob("images") if "test" in path.parts)
    shutil.copytree(images, folder)
    (folder / "broken.png").write_bytes(b"nothing")
    words = ["compare", "first", "second", "--images", folder, "--out", tmp_path / "out", "--workspace", home.root]
    code, _, said = run(*words)
    assert code == 0
    assert "broken" in said
