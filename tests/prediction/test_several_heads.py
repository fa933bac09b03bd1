"""Scores and predictions of every head of a network whose answers are known: it reads the class off the red band."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import fullconv as fc
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.dataset import Dataset
from fullconv.errors import DataError, PackageError
from fullconv.evaluation.counting import count_confusion
from fullconv.evaluation.scores import Scores
from fullconv.networks.ensemble import Ensemble
from fullconv.networks.normalization import Normalization
from fullconv.networks.several_heads import SeveralHeads
from fullconv.prediction.evaluating import evaluate, evaluate_heads
from fullconv.prediction.model import Model
from fullconv.store.package import Geometry, ModelCard, PackageScores
from fullconv.store.recipe import NetworkRecipe

NAMES = ("sky", "road", "car", "tree")
VALUES = (7, 11, 13, 17)
GROUPS = {"flat": ("road",), "upright": ("tree", "car"), "above": ("sky",)}
GROUP_OF = torch.tensor([2, 0, 1, 1])
"""Class → group, in the order above; worked out by hand."""
HEIGHT, WIDTH = 24, 40


class Painted(SeveralHeads):
    """Red is ten times the class that it says, and the second head says the group of that class."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.passes = 0

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.passes += 1
        said = (images[:, 0] * 255 / 10).round().long()
        return tuple(F.one_hot(index).movedim(-1, 1).float() for index in (said, GROUP_OF[said]))

    def only(self, number: int) -> Any:
        return OneOf(self, number)


class OneOf(nn.Module):
    """One head of it."""

    def __init__(self, whole: Painted, number: int) -> None:
        super().__init__()
        self.whole, self.number = whole, number

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.whole(images)[self.number]


def table(names: Any, values: Any) -> ClassTable:
    pairs = zip(names, values, strict=True)
    return ClassTable(
        classes=tuple(SegmentationClass(name=name, color=(v, 50, 60), value=v, codes=(v,)) for name, v in pairs)
    )


TABLES = {"what": table(NAMES, VALUES), "where": table(GROUPS, (0, 1, 2))}


def card_of(**changes: Any) -> ModelCard:
    given = {
        "name": "painted",
        "network": NetworkRecipe(name="fcn8s-squeezenet1_1", classes={"what": 4, "where": 3}, channels=3),
        "classes": TABLES,
        "groups": {"where": GROUPS},
        "normalization": Normalization(scale=255, mean=(0.0,) * 3, std=(1.0,) * 3),
        "geometry": Geometry(stride=8),
    }
    return ModelCard(**given | changes)


@pytest.fixture
def net() -> Painted:
    return Painted()


@pytest.fixture
def model(net: Painted) -> Model:
    return Model(net, card_of(), device="cpu")


def painted_set(root: Path, names: tuple[str, ...] = NAMES) -> tuple[Dataset, np.ndarray]:
    """Images that say something else than their labels in a third of the pixels, and what both say together:
    (classes, classes)."""
    generator = np.random.default_rng(0)
    confusion = np.zeros((4, 4), dtype=np.int64)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number in range(10):
        truth = generator.integers(0, 4, (HEIGHT, WIDTH))
        said = np.where(generator.random(truth.shape) < 0.3, generator.integers(0, 4, truth.shape), truth)
        ids = np.array(VALUES, dtype=np.uint8)[truth]
        ids[:3] = 0
        np.add.at(confusion, (truth[3:], said[3:]), 1)
        image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
        image[..., 0] = 10 * said
        image[..., 1] = number
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(ids).save(root / "labels" / f"{number}.png")
    lines = [f"{value} {name} {value} 50 60" for value, name in zip(VALUES, names, strict=True)]
    (root / "classes.txt").write_text("\n".join(["0 void 0 0 0", *lines]) + "\n")
    return Dataset.from_folders(root), confusion


@pytest.fixture
def painted(tmp_path: Path) -> tuple[Dataset, np.ndarray]:
    return painted_set(tmp_path / "set")


def grouped(confusion: np.ndarray) -> np.ndarray:
    """Oracle: rows and columns of classes in one group added up."""
    member = np.eye(3, dtype=np.int64)[GROUP_OF.numpy()]
    return np.asarray(member.T @ confusion @ member)


def test_groups_score_as_their_classes_added_up(model: Model, painted: tuple[Dataset, np.ndarray]) -> None:
    dataset, confusion = painted
    scores = evaluate_heads(model, dataset, progress=False)
    assert list(scores) == ["what", "where"]
    np.testing.assert_array_equal(scores["what"].confusion, confusion)
    np.testing.assert_array_equal(scores["where"].confusion, grouped(confusion))
    assert scores["where"].names == tuple(GROUPS)
    assert evaluate(model, dataset, progress=False) == scores["what"]
    assert evaluate(model.of_head("where"), dataset, progress=False) == scores["where"]


def test_one_pass_scores_all_heads(net: Painted, model: Model, painted: tuple[Dataset, np.ndarray]) -> None:
    evaluate_heads(model, painted[0], progress=False)
    assert net.passes == len(painted[0])


def test_classes_in_no_group_count_nowhere(painted: tuple[Dataset, np.ndarray]) -> None:
    dataset, confusion = painted
    groups = {"flat": ("road",), "upright": ("tree",), "above": ("sky",)}
    scores = evaluate_heads(Model(Painted(), card_of(groups={"where": groups}), device="cpu"), dataset, progress=False)
    member = np.eye(3, dtype=np.int64)[GROUP_OF.numpy()]
    without_cars = confusion.copy()
    without_cars[NAMES.index("car")] = 0
    np.testing.assert_array_equal(scores["where"].confusion, member.T @ without_cars @ member)


def test_only_heads_whose_classes_are_there_are_scored(model: Model, tmp_path: Path) -> None:
    renamed, confusion = painted_set(tmp_path / "renamed", ("sky", "street", "car", "tree"))
    with pytest.raises(DataError, match="head what of the model and dataset have different classes: road, street"):
        evaluate_heads(model, renamed, progress=False)
    with pytest.raises(DataError, match="head where of the model has groups of classes that the dataset has not: road"):
        evaluate(model.of_head("where"), renamed, progress=False)
    without_cars = {"flat": ("sky",), "upright": ("tree",), "above": ("car",)}
    partly = Model(Painted(), card_of(groups={"where": without_cars}), device="cpu")
    assert list(evaluate_heads(partly, renamed, report=tmp_path / "report", progress=False)) == ["where"]
    content = json.loads((tmp_path / "report" / "scores.json").read_text())
    assert list(content["heads"]) == ["where"]
    assert content["scores"] == content["heads"]["where"]["scores"]
    assert confusion.sum() > content["scores"]["confusion"][0][0] > 0


def test_labels_made_of_the_groups_themselves_will_do(model: Model, tmp_path: Path) -> None:
    """A label set that was drawn in the coarse classes has no class of the first head."""
    root = tmp_path / "coarse"
    confusion = painted_set(root)[1]
    for file in (root / "labels").iterdir():
        ids = np.asarray(Image.open(file))
        coarse = np.zeros_like(ids)
        for value, group in zip(VALUES, GROUP_OF.tolist(), strict=True):
            coarse[ids == value] = group + 1
        Image.fromarray(coarse).save(file)
    lines = [f"{index} {name} {index} 0 0" for index, name in enumerate(GROUPS, start=1)]
    (root / "classes.txt").write_text("\n".join(["0 void 0 0 0", *lines]) + "\n")
    scores = evaluate_heads(model, Dataset.from_folders(root), progress=False)
    assert list(scores) == ["where"]
    np.testing.assert_array_equal(scores["where"].confusion, grouped(confusion))


def test_the_report_holds_every_head(model: Model, painted: tuple[Dataset, np.ndarray], tmp_path: Path) -> None:
    scores = evaluate_heads(model, painted[0], report=tmp_path, progress=False)
    content = json.loads((tmp_path / "scores.json").read_text())
    assert Scores.from_dict(content["scores"]) == scores["what"]
    assert {name: Scores.from_dict(found["scores"]) for name, found in content["heads"].items()} == scores
    commonest = np.argmax(scores["where"].true_pixels)
    assert content["heads"]["where"]["commonest"]["name"] == tuple(GROUPS)[commonest] == "upright"
    assert len(content["heads"]["where"]["images"]) == len(painted[0])
    page = (tmp_path / "report.html").read_text()
    assert "Scores of head where" in page
    assert all(f"</span>{name}</th>" in page for name in (*NAMES, *GROUPS))
    figures = tmp_path / "figures"
    assert sorted(file.stem for file in figures.iterdir()) == ["confusion", "confusion_where", "image_scores"]
    evaluate(model.of_head("where"), painted[0], report=tmp_path, progress=False)
    assert list(json.loads((tmp_path / "scores.json").read_text())["heads"]) == ["where"]
    assert not (figures / "confusion_where.png").exists()
    assert "Head where" not in (tmp_path / "report.html").read_text().replace("Scores of head", "")


def test_one_head_has_no_heads_in_its_report(painted: tuple[Dataset, np.ndarray], tmp_path: Path) -> None:
    net = Painted()
    alone = Model(net.only(0), card_of().of_head("what"), device="cpu")
    assert evaluate_heads(alone, painted[0], progress=False) == {}
    evaluate(alone, painted[0], report=tmp_path, progress=False)
    assert json.loads((tmp_path / "scores.json").read_text())["heads"] == {}
    assert "of head" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("head", "values"), [("what", VALUES), ("where", (0, 1, 2))])
def test_predictions_bear_the_ids_and_colours_of_their_head(
    model: Model, painted: tuple[Dataset, np.ndarray], tmp_path: Path, head: str, values: tuple[int, ...]
) -> None:
    pixels = painted[0].read(0)[0]
    said = pixels[..., 0] // 10
    index = said if head == "what" else GROUP_OF.numpy()[said]
    result = model.of_head(head).predict(pixels)
    assert result.labels.shape == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(result.ids, np.array(values)[index])
    with Image.open(result.save(tmp_path / "labels.png")) as written:
        np.testing.assert_array_equal(np.asarray(written), result.ids)
        np.testing.assert_array_equal(np.asarray(written.convert("RGB"))[..., 0], TABLES[head].colors[index][..., 0])


def test_the_first_head_is_taken_and_others_share_its_parameters(model: Model) -> None:
    assert (model.head, model.heads) == ("what", ("what", "where"))
    where = model.of_head("where")
    assert (where.head, where.heads, where.classes) == ("where", model.heads, TABLES["where"])
    assert where.of_head("what").classes == model.classes
    with pytest.raises(PackageError, match=r"painted: has no head 'depth'; name one of what, where \(--head, head=…\)"):
        model.of_head("depth")


def test_every_head_keeps_its_own_scores() -> None:
    entries = tuple(
        PackageScores.of(
            Scores.from_confusion(np.eye(len(names)), names), dataset="d", split="test", images=3, head=head
        )
        for head, names in (("what", NAMES), ("where", tuple(GROUPS)))
    )
    card = card_of(scores=entries)
    assert [entry.head for entry in card.of_head("where").scores] == ["where"]
    assert list(card.of_head("what").scores[0].iou) == list(NAMES)
    nameless = card_of(scores=(entries[0].model_copy(update={"head": None}),))
    assert card_of(scores=()).of_head("where").scores == nameless.of_head("where").scores == ()
    assert len(nameless.of_head("what").scores) == 1


def test_an_ensemble_votes_for_every_head() -> None:
    torch.manual_seed(0)
    nets = [fc.fcn("squeezenet1_1", classes=(4, 3), stride=8).eval() for _ in range(2)]
    with torch.no_grad():
        for net in nets:
            for parameter in net.head.parameters():
                parameter.normal_(std=0.1)
        images = torch.randn(1, 3, 48, 64)
        each = [net(images) for net in nets]
        for number, found in enumerate(Ensemble(nets).eval()(images)):
            expected = torch.stack([scores[number].softmax(1) for scores in each]).mean(0)
            torch.testing.assert_close(found.softmax(1), expected, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(Ensemble(nets).only(number).eval()(images), found)


def test_confusions_of_the_oracle_are_what_counting_gives() -> None:
    truth, said = np.array([[0, 1, 2, 3]]), np.array([[0, 2, 3, 3]])
    fine = count_confusion(truth, said, 4)
    coarse = count_confusion(GROUP_OF.numpy()[truth], GROUP_OF.numpy()[said], 3)
    np.testing.assert_array_equal(grouped(fine), coarse)
