"""The examples run, and what they write is what they say."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import fullconv as fc

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PAGE = EXAMPLES.parent / "docs" / "tutorials" / "story.md"
FIGURES = ("curves.svg", "predictions.png", "heat.png")


def tell(*words: object) -> str:
    """Standard output of a quick story."""
    command = [sys.executable, str(EXAMPLES / "story.py"), "--quick", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def runs_in(out: Path) -> dict[str, float]:
    """Run → when its metrics were last written."""
    return {path.parent.name: path.stat().st_mtime for path in out.glob("workspace/runs/*/metrics.csv")}


def transfer_of(out: Path, group: str) -> dict[str, Any]:
    for plan in out.glob("workspace/runs/*/experiment.yaml"):
        if f"group: {group}\n" in plan.read_text():
            return json.loads((plan.parent / "transfer.json").read_text())
    raise AssertionError(group)


@pytest.mark.parametrize("numbers", sorted(PAGE.with_suffix("").glob("*.json")), ids=lambda path: path.stem)
def test_the_page_says_what_was_measured(numbers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    results = json.loads(numbers.read_text())
    assert importlib.import_module("story_pages").table_of(results) in PAGE.read_text(encoding="utf-8")


@pytest.mark.skipif(not (PAGE.with_suffix("") / "scenes.json").is_file(), reason="the story has not been told yet")
def test_scenes_reach_what_the_article_reached() -> None:
    results = json.loads((PAGE.with_suffix("") / "scenes.json").read_text())
    stages = {stage["title"]: stage for stage in results["stages"]}
    stuck = stages["1 random weights, no batch norm, plain SGD"]
    assert stuck["pixel_accuracy"] == pytest.approx(results["commonest"]["test"], abs=0.01)
    assert stages["2 ImageNet weights"]["pixel_accuracy"] > 0.90
    assert len(stages["2 ImageNet weights"]["found"]) >= 9
    fine = stages["3 skips, from stage 2"]
    assert fine["pixel_accuracy"] > 0.95
    assert max(fine["validation"][:2]) > 0.95
    assert fine["contours"] > stages["2 ImageNet weights"]["contours"]


@pytest.fixture
def patch_classifier(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("patch_classifier")


def test_the_story_is_told_once_and_its_page_says_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "story"
    tell("--out", out)
    results = json.loads((out / "story" / "scenes.json").read_text())
    labels = [np.asarray(Image.open(path)) for path in out.glob("scenes-*/test/labels/*.png")]
    counts = np.bincount(np.concatenate([label.ravel() for label in labels]), minlength=12)[:11]
    names = [line.split()[1] for line in next(out.glob("scenes-*/classes.txt")).read_text().splitlines()]
    share = counts[names.index(results["commonest"]["name"])] / counts.sum()
    assert results["commonest"]["test"] == pytest.approx(share)

    page = (out / "story.md").read_text()
    for stage in results["stages"]:
        assert f"| {stage['title']} | {stage['network']} | {100 * stage['pixel_accuracy']:.1f} % |" in page
    assert sum((out / "story" / f"scenes-{part}").stat().st_size for part in FIGURES) < 1_000_000
    assert all(f"](story/scenes-{part})" in page for part in FIGURES)

    # Stage 3 goes on from all of stage 2, stage 4 from all of the classifier; only skips are new.
    skips = {f"head.scores.{level}.{part}" for level in (1, 2) for part in ("weight", "bias")}
    for group, new in (("scenes-14-96x72-3-skips", skips), ("scenes-14-96x72-4-skips", set())):
        transfer = transfer_of(out, group)
        assert "head.scores.0.weight" in transfer["copied"]
        assert set(transfer["initialised"]) == new

    before, classifier = (
        runs_in(out),
        (out / "workspace" / "scenes-14-96x72-patch-classifier.safetensors").stat().st_mtime,
    )
    assert len(before) == 5
    (out / "story.md").write_text("Prose above.\n\n" + page + "\nProse below.\n")
    tell("--out", out)
    assert runs_in(out) == before
    assert (out / "workspace" / "scenes-14-96x72-patch-classifier.safetensors").stat().st_mtime == classifier
    again = (out / "story.md").read_text()
    assert again == "Prose above.\n\n" + page + "\nProse below.\n"


@pytest.mark.realdata
def test_the_story_is_told_on_camvid_from_imagenet_weights(tmp_path: Path, shared: Path) -> None:
    camvid = shared / "data" / "camvid"
    for split in ("train", "val", "test"):
        for part in ("images", "labels"):
            folder = tmp_path / "camvid" / split / part
            folder.mkdir(parents=True)
            for path in sorted((camvid / split / part).iterdir())[:4]:
                shutil.copy(path, folder)
    shutil.copy(camvid / "classes.txt", tmp_path / "camvid")
    weights = shared / "weights" / "mobilenet_v2-imagenet.safetensors"
    out = tmp_path / "story"
    said = tell("--scenes", 0, "--camvid", tmp_path / "camvid", "--weights", weights, "--out", out)
    assert "| 2 ImageNet weights | fcn32s-mobilenet_v2 |" in said
    assert transfer_of(out, "camvid-2-imagenet")["source"] == weights.name
    assert not list(out.glob("scenes-*"))
    assert (out / "story" / "camvid-heat.png").is_file()


def test_a_classifier_slides_to_where_things_are(patch_classifier: Any) -> None:
    """A classifier that tells red from blue by the mean of its patch: its border is that of the colours."""
    torch.manual_seed(0)
    reader = nn.Conv2d(3, 2, 4, stride=4)
    with torch.no_grad():
        reader.weight.zero_()
        reader.bias.zero_()
        reader.weight[0, 0], reader.weight[1, 2] = 1.0, 1.0
    classifier = nn.Sequential(reader, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    dense = fc.convolutionalize(classifier, input_size=(16, 16))
    image = np.zeros((40, 56, 3), dtype=np.uint8)
    image[:, :30, 0] = 255
    image[:, 30:, 2] = 255
    for stride, off in ((None, 2), (1, 1)):
        labels = patch_classifier.labels_of(patch_classifier.slide(dense, image, ("red", "blue"), stride=stride))
        assert labels.shape == (40, 56)
        border = (labels == 0).sum(axis=1)
        assert np.abs(border - 30).max() <= off


def test_an_fcn_starts_as_the_patch_classifier(patch_classifier: Any, tmp_path: Path) -> None:
    """Before its skips have learnt, its scores are the classifier's, without the mean over the patch."""
    from fullconv.networks.catalogue import build_network
    from fullconv.networks.weights import load_weights

    torch.manual_seed(0)
    classifier = patch_classifier.torchvision.models.mobilenet_v2(num_classes=4).eval()
    file = patch_classifier.as_start_of_fcn(classifier, tmp_path / "start.safetensors")
    net = build_network("fcn8s-mobilenet_v2", classes=4)
    report = load_weights(net, "mobilenet_v2", str(file))
    assert not report.initialised
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        maps = net.eval().features(images)
        coarse = net.head.scores[0](maps[net.head.nodes[0]])
        whole = classifier(images)
    torch.testing.assert_close(coarse.mean((2, 3)), whole, rtol=1e-4, atol=1e-5)
