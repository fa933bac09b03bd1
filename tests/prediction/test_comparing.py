"""Models side by side: one order of classes, one confusion each, and where they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.dataset import Dataset
from fullconv.errors import DataError, PlanError
from fullconv.networks.fcn import FCN
from fullconv.prediction.comparing import Comparer, Comparison, Subject, compare, dataset_subjects, file_subjects
from fullconv.prediction.comparison_facts import class_rows, facts_of, table_of
from fullconv.prediction.comparison_figure import COLUMN, EDGE, GAP, comparison_figure
from fullconv.prediction.evaluating import evaluate
from fullconv.prediction.model import Model
from fullconv.store.package import ModelCard

HEIGHT, WIDTH = 60, 90
NAMES = ("sky", "ground")


def said(model: Model, classes: ClassTable | None = None) -> Model:
    """The same network under other classes."""
    card = model.card.model_copy(update={"classes": classes or model.classes})
    return Model(model.net, card, device="cpu")


def table(*names: str) -> ClassTable:
    return ClassTable(
        classes=tuple(
            SegmentationClass(name=name, color=(40 * place, 90, 200), value=place, codes=(place,))
            for place, name in enumerate(names)
        )
    )


@pytest.fixture
def scenes(tmp_path: Path) -> Dataset:
    """Six images that are bright on the right; the labels are of ground and sky, with an unlabelled row."""
    rng = np.random.default_rng(3)
    for number in range(6):
        image = rng.integers(0, 80, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        label = np.full((HEIGHT, WIDTH), 7, dtype=np.uint8)
        edge = 20 + 8 * number
        image[:, edge:] = rng.integers(170, 255, (HEIGHT, WIDTH - edge, 3))
        label[:, edge:], label[0] = 23, 0
        for folder, content in (("images", image), ("labels", label)):
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(tmp_path / "set" / folder / f"{number}.png")
    (tmp_path / "set" / "classes.txt").write_text("7 ground 120 80 20\n23 sky 70 130 180\n0 void 0 0 0\n")
    return Dataset.from_folders(tmp_path / "set", name="halves", split="50/25/25")


def test_scores_are_those_of_evaluate(model: Model, scenes: Dataset) -> None:
    swapped = said(model, ClassTable(classes=model.classes.classes[::-1]))  # the same net calls the bright ground
    _, comparison = compare({"a": model, "b": swapped}, dataset_subjects(scenes), truth=scenes.classes)
    assert comparison.scores[0] == evaluate(model, scenes, progress=False)
    assert comparison.scores[1] == evaluate(swapped, scenes, progress=False)
    assert comparison.scores[0].mean_iou > 0.5 > comparison.scores[1].mean_iou
    assert comparison.disagreement == 1
    assert comparison.lacking == {}


def test_scores_of_other_classes_count_by_name(model: Model, scenes: Dataset) -> None:
    other = said(model, table("sky", "cloud"))  # dark is sky, bright is a cloud, which the truth does not know
    comparer, comparison = compare({"a": model, "b": other}, dataset_subjects(scenes), truth=scenes.classes)
    names = list(comparison.classes.table.names)
    assert names == ["ground", "sky", "cloud"]
    assert comparison.lacking == {"ground": ("b",), "cloud": ("truth", "a")}
    true, predicted = [], []
    for place in range(len(scenes)):
        image, label = scenes[place]
        there = label != 255
        true += [scenes.classes.names[index] for index in label[there]]
        predicted += [other.classes.names[index] for index in other.label(image)[there]]
    oracle = confusion_matrix(true, predicted, labels=names)
    np.testing.assert_array_equal(comparison.scores[1].confusion, oracle)
    row = next(row for row in class_rows(comparison) if row.name == "cloud")
    assert (row.iou[1], row.share) == (0, 0)
    assert np.isnan(row.iou[0])
    assert row.difference is None
    assert comparison.classes.table.names[comparer.look(dataset_subjects(scenes)[0]).maps[1].max()] == "cloud"


def test_disagreement_is_counted_where_truth_is_defined(model: Model, scenes: Dataset) -> None:
    third = said(model, table("sky", "sky-blue"))
    models = {"a": model, "b": said(model), "c": third}
    _, comparison = compare(models, dataset_subjects(scenes), truth=scenes.classes)
    assert comparison.pixels == len(scenes) * (HEIGHT - 1) * WIDTH
    assert comparison.between(0, 1) == 0
    assert comparison.between(0, 2) == comparison.between(1, 2) == comparison.disagreement == 1
    assert [row.disagreement for row in comparison.rows] == [1] * len(scenes)


def test_images_on_which_models_differ_most_come_first(model: Model) -> None:
    maps: dict[str, np.ndarray[Any, Any]] = {}
    rng = np.random.default_rng(0)
    for number in range(20):
        maps[f"{number:02}"] = np.where(rng.random((8, 8)) < number / 20, 1, 0).astype(np.uint8)
    comparer = Comparer({"a": model, "b": model})
    comparison = Comparison(("a", "b"), comparer.classes, False)
    for key, labels in maps.items():
        comparison.add(comparer.seen(key, np.zeros((8, 8, 3), np.uint8), None, (np.zeros_like(labels), labels)))
    expected = sorted(maps, key=lambda key: (-int(maps[key].sum()), key))
    assert [row.key for row in comparison.chosen(20)] == expected
    assert [row.key for row in comparison.chosen(3, "first")] == ["00", "01", "02"]
    some = comparison.chosen(5, "random", seed=4)
    assert some == comparison.chosen(5, "random", seed=4) != comparison.chosen(5, "random", seed=5)
    np.testing.assert_allclose(comparison.shares[1, 1], np.mean([labels.mean() for labels in maps.values()]))


def test_files_need_no_truth(model: Model, scenes: Dataset) -> None:
    subjects = file_subjects([scenes.root / "images"])
    comparer, comparison = compare({"a": model, "b": said(model, table("b", "a"))}, subjects)
    assert (comparison.scores, comparison.pixels) == ((), 6 * HEIGHT * WIDTH)
    facts = facts_of(comparison, {})
    assert facts["models"][0]["scores"] is None
    assert {entry["name"]: entry["lacking"] for entry in facts["classes"]}["sky"] == ["b"]
    assert "share of the pixels" in str(table_of(comparison).columns[0].header)
    figure = comparison_figure([comparer.look(subjects[0])], comparison)
    assert 4 * COLUMN < figure.width < 5 * COLUMN


def test_what_cannot_be_used_is_listed(model: Model, scenes: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match=r"broken\.png"):
        compare({"a": model, "b": model}, file_subjects([folder]))
    Image.fromarray(scenes[0][0]).save(folder / "good.png")
    _, comparison = compare({"a": model, "b": model}, file_subjects([folder]))
    assert [row.key for row in comparison.rows] == ["good"]
    assert [key for key, _ in comparison.failed] == ["broken"]


def test_images_are_found_by_key_or_its_last_part(scenes: Dataset) -> None:
    key = scenes.samples[2].key
    assert [subject.key for subject in dataset_subjects(scenes, [key.rpartition("/")[2]])] == [key]
    with pytest.raises(DataError, match="has no image 'nowhere'"):
        dataset_subjects(scenes, ["nowhere"])
    with pytest.raises(DataError, match="no images to compare on"):
        dataset_subjects(scenes.subset([]))


def test_one_model_is_none_to_compare(model: Model) -> None:
    with pytest.raises(PlanError, match="two models or more"):
        Comparer({"a": model})


def test_the_picture_shows_input_models_difference_and_truth(net: FCN, card: ModelCard, scenes: Dataset) -> None:
    model = Model(net, card, device="cpu")
    swapped = said(model, ClassTable(classes=model.classes.classes[::-1]))
    subjects = dataset_subjects(scenes)[:2]
    comparer, comparison = compare({"one": model, "other": swapped}, subjects, truth=scenes.classes)
    images = [comparer.look(subject) for subject in subjects]
    figure = np.asarray(comparison_figure(images, comparison, networks=["x", "y"], view="labels", caption="two images"))
    colors = {tuple(color) for color in figure.reshape(-1, 3).tolist()}
    assert {entry.color for entry in scenes.classes.classes} <= colors
    assert figure.shape[1] > 5 * COLUMN
    # Of the first row, the panels of the two models hold each other's colours, and the truth's is that of the labels.
    height, pitch = round(COLUMN * HEIGHT / WIDTH), COLUMN + GAP
    sky, ground = (np.array(next(one.color for one in scenes.classes.classes if one.name == name)) for name in NAMES)
    model_column = figure[:, EDGE + pitch : EDGE + pitch + COLUMN]
    top = int(((model_column == sky) | (model_column == ground)).all(-1).all(-1).argmax())
    panels = [figure[top : top + height, EDGE + place * pitch :][:, :COLUMN] for place in range(5)]
    share = [(panel == sky).all(-1).mean() for panel in panels]
    truth = subjects[0].read()[1]
    assert share[4] == pytest.approx((truth == scenes.classes.names.index("sky")).mean(), abs=0.02)
    assert share[1] + share[2] == pytest.approx(1)
    assert (panels[1] == ground).all(-1).mean() == pytest.approx(share[2])


def test_a_subject_is_read_when_it_is_its_turn(model: Model) -> None:
    def broken() -> tuple[np.ndarray[Any, Any], None]:
        raise DataError("is gone")

    white = np.full((16, 16, 3), 255, np.uint8)
    _, comparison = compare({"a": model, "b": model}, [Subject("x", broken), Subject("y", lambda: (white, None))])
    assert comparison.failed == [("x", "is gone")]
