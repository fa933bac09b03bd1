"""Several sets of classes at once: labels of every head, summed losses, a run and its package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import fullconv as fc
from commands import run as command
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.dataset import Dataset
from fullconv.errors import PlanError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.evaluation.scores import Scores
from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import ScoreGrid
from fullconv.store.package import read_card
from fullconv.training.axes import axes_of
from fullconv.training.finished import finished_run
from fullconv.training.head_weights import weights_of
from fullconv.training.heads import HeadsObjective, lookups_of, tables_of
from fullconv.training.objective import Objective
from fullconv.training.runs import list_runs
from fullconv.training.settings.class_weights import inverse_log_weights
from fullconv.training.settings.experiment import Experiment
from fullconv.training.settings.loss_settings import Loss
from fullconv.training.settings.regimes import LossSampling, WholeImage
from fullconv.training.task import SegmentationTask
from fullconv.workspace import Workspace

NAMES = ("sky", "road", "car", "tree")
CLASSES = ClassTable(
    classes=tuple(
        SegmentationClass(name=name, color=(index, 2, 3), value=index, codes=(index,))
        for index, name in enumerate(NAMES)
    )
)
HEADS: dict[str, Any] = {"semantic": "all", "geometric": {"flat": ["road"], "upright": ["tree", "car"]}}


def objective(regime: Any, net: torch.nn.Module, loss: Loss) -> HeadsObjective:
    grid = ScoreGrid.of(net)
    heads = [Objective(loss, regime, grid, classes=count, ignore=255) for count in (4, 2)]
    return HeadsObjective(tuple(HEADS), heads, lookups_of(HEADS, CLASSES))


def net_of_two_heads() -> torch.nn.Module:
    torch.manual_seed(0)
    net = build_network("fcn8s-compact", classes=(4, 2))
    for parameter in net.head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


def test_groups_have_tables_and_labels_of_their_own() -> None:
    tables = tables_of(HEADS, CLASSES)
    assert tables["semantic"] == CLASSES
    assert tables["geometric"].names == ("flat", "upright")
    assert tables["geometric"].colors[1].tolist() == [3, 2, 3]
    own, groups = (table[torch.tensor([0, 1, 2, 3, 255])].tolist() for table in lookups_of(HEADS, CLASSES))
    assert own == [0, 1, 2, 3, 255]
    assert groups == [255, 0, 1, 1, 255]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_the_sum_over_the_heads(reduction: Any) -> None:
    net = net_of_two_heads()
    images, labels = torch.randn(2, 3, 64, 48), torch.randint(0, 4, (2, 64, 48), dtype=torch.uint8)
    labels[:, :9] = 255
    part = objective(WholeImage(), net, Loss(terms="cross-entropy", reduction=reduction))(net, images, labels).part
    lookup = lookups_of(HEADS, CLASSES)
    expected = sum(
        F.cross_entropy(scores, table[labels.long()], ignore_index=255, reduction=reduction)
        for scores, table in zip(net(images), lookup, strict=True)
    )
    torch.testing.assert_close(part.loss, expected)


def test_cells_and_samples_are_read_for_every_head() -> None:
    net = net_of_two_heads()
    images, labels = torch.randn(2, 3, 64, 48), torch.randint(0, 4, (2, 64, 48), dtype=torch.uint8)
    whole = objective(WholeImage(loss_at="cells"), net, Loss(terms="cross-entropy"))(net, images, labels)
    assert whole.scores.shape[-2:] == whole.labels.shape[-2:] == (8, 6)
    sampled = objective(LossSampling(keep=0.5), net, Loss(terms="cross-entropy", denominator="pixels"))
    part = sampled(net, images, labels, torch.tensor([1, 2])).part
    assert part.count.shape == (2,)
    assert (part.count < torch.tensor([2 * 64 * 48, 2 * 64 * 48])).all()


def test_a_run_learns_all_heads_and_packs_them(
    dataset: Dataset, scenes: Path, quick: dict[str, Any], tmp_path: Path
) -> None:
    heads = two_heads(dataset)
    settings = quick | {"heads": heads, "network": "fcn8s-compact", "epochs": 6, "views": 2}
    run = fc.train(dataset, settings=settings, quiet=True)
    rows = [row for row in read_rows(run.directory / "metrics.csv") if row["split"] == "val"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[-1]["mean_iou_where"]) > 0
    assert run.model.card.classes == dataset.classes
    assert_scored(run, dataset)
    pixels = dataset.test.read(0)[0]
    assert torch.equal(fc.load(run.directory, head="what").scores(pixels), run.model.scores(pixels))
    where = fc.load(run.directory, head="where").predict(pixels)
    assert where.classes.names == ("above", "below", "upright")
    assert where.labels.max() <= 2
    assert_commands(run, scenes, tmp_path)
    again = fc.resume(run.directory, quiet=True)
    assert again.heads == run.heads
    assert finished_run(run.directory).heads == run.heads


def assert_scored(run: fc.Run, dataset: Dataset) -> None:
    """Scores of both heads lie where they belong: run, report, package; they are what counting them anew gives."""
    assert list(run.heads) == ["what", "where"]
    assert run.scores == run.heads["what"]
    where, groups = fc.load(run.directory, head="where"), {"above": 0, "below": 1, "upright": 2}
    of_class = {"sky": "above", "road": "below", "sidewalk": "below"}
    table = np.array([groups[of_class.get(name, "upright")] for name in dataset.classes.names] + [9] * 300)
    confusion = np.zeros((3, 3), dtype=np.int64)
    for index in range(len(dataset.test)):
        pixels, labels = dataset.test[index]
        truth = table[labels]
        np.add.at(confusion, (truth[truth < 9], where.predict(pixels).labels[truth < 9]), 1)
    assert run.heads["where"].confusion.tolist() == confusion.tolist()
    content = json.loads((run.directory / "report" / "scores.json").read_text())
    assert Scores.from_dict(content["heads"]["where"]["scores"]) == run.heads["where"]
    assert [(entry.head, entry.mean_iou) for entry in where.card.scores] == [("where", run.heads["where"].mean_iou)]
    card = read_card(run.directory / "model")
    assert [entry.head for entry in card.scores] == ["what", "where"]
    assert card.groups is not None
    assert card.groups["where"]["below"] == ("road", "sidewalk")


def assert_commands(run: fc.Run, scenes: Path, out: Path) -> None:
    """The shell says what Python says, of all heads or of one."""
    words = ("evaluate", run.directory, scenes, "--out", out / "report")
    code, output, error = command(*words, "--json")
    assert code == 0, error
    facts = json.loads(output)
    assert {name: Scores.from_dict(found) for name, found in facts["heads"].items()} == run.heads
    assert (Scores.from_dict(facts["scores"]), facts["left_out"]) == (run.scores, [])
    code, output, error = command(*words, "--head", "where")
    assert code == 0, error
    assert "Head where" in output
    assert "Head what" not in output
    code, _, error = command(*words, "--head", "depth")
    assert code == 2
    assert "has no head 'depth'; name one of what, where" in error
    facts = json.loads(command("runs", "show", run.directory, "--json")[1])
    assert facts["scores"]["head"] == "what"
    assert [entry["head"] for entry in facts["heads"]] == ["what", "where"]


def two_heads(dataset: Dataset) -> dict[str, Any]:
    upright = [name for name in dataset.classes.names if name not in ("road", "sidewalk", "sky")]
    return {"what": "all", "where": {"above": ["sky"], "below": ["road", "sidewalk"], "upright": upright}}


def test_a_stopped_run_goes_on_with_all_its_heads(
    dataset: Dataset, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = quick | {"heads": two_heads(dataset), "network": "fcn8s-compact", "optimization": {"ema": 0.9}}
    straight = fc.train(dataset, settings=settings, quiet=True)
    steps: list[int] = []
    plain = SegmentationTask.training_step

    def stopping(task: SegmentationTask, *rest: Any) -> torch.Tensor:
        steps.append(task.global_step)
        if len(steps) == 5:
            raise RuntimeError("the power went")
        return plain(task, *rest)

    monkeypatch.setattr(SegmentationTask, "training_step", stopping)
    with pytest.raises(RuntimeError, match="the power went"):
        fc.train(dataset, settings=settings, quiet=True)
    (stopped,) = (one for one in list_runs(Workspace.find()) if one != straight.directory)
    resumed = fc.resume(stopped, quiet=True)
    assert len(steps) > 5
    assert resumed.heads == straight.heads
    untimed = [
        [{key: row[key] for key in row if key not in ("seconds", "images_per_second", "loader_wait")} for row in rows]
        for rows in (read_rows(run / "metrics.csv") for run in (stopped, straight.directory))
    ]
    assert untimed[0] == untimed[1]
    one, other = (one.model.package[0].state_dict() for one in (resumed, straight))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_folds_vote_for_every_head(dataset: Dataset, quick: dict[str, Any]) -> None:
    settings = quick | {"heads": two_heads(dataset), "network": "fcn8s-compact", "epochs": 1, "folds": 2}
    done = fc.sweep(dataset, settings=settings, quiet=True)
    ious = [run.heads["where"].mean_iou for run in done.runs]
    assert done.head_spread["where"] == pytest.approx((np.mean(ious), np.std(ious, ddof=1)))
    assert [str(column.header) for column in done.table().columns][-2:] == ["mean IoU where", "run"]
    assert json.loads((done.directory / "summary.json").read_text())["heads"]["where"]["mean_iou"]["mean"] > 0
    model = fc.load(done.group, head="where")
    assert [entry.head for entry in model.card.scores] == ["where"]
    pixels = dataset.test.read(0)[0]
    each = [run.model.of_head("where").scores(pixels).softmax(0) for run in done.runs]
    torch.testing.assert_close(model.scores(pixels).softmax(0), torch.stack(each).mean(0), rtol=1e-4, atol=1e-5)


def test_a_head_may_be_an_axis_and_its_groups_are_none() -> None:
    groups = {"a": ["sky"], "b": ["road", "car"]}
    both: list[Any] = [{"what": "all", "where": groups}, {"what": "all", "where": {"b": ["road"], "c": ["car"]}}]
    assert axes_of({"heads": both[0]}) == {}
    assert axes_of({"heads": both}) == {"heads": both}
    assert axes_of({"class_weights": {"where": ["none", "inverse-log"]}}) == {
        "class_weights.where": ["none", "inverse-log"]
    }


def plan(dataset: Dataset, **settings: Any) -> Experiment:
    return Experiment(dataset="streets", heads=two_heads(dataset), **settings)


def test_a_rule_weighs_every_head_by_its_own_classes(dataset: Dataset) -> None:
    names, pixels = dataset.classes.names, dataset.statistics.pixels("train").tolist()
    of = dict(zip(names, pixels, strict=True))
    below = of["road"] + of["sidewalk"]
    grouped = [of["sky"], below, sum(pixels) - of["sky"] - below]
    first, second = weights_of(plan(dataset), dataset)
    torch.testing.assert_close(first, inverse_log_weights(pixels))
    torch.testing.assert_close(second, inverse_log_weights(grouped))
    alone = weights_of(Experiment(dataset="streets"), dataset)
    assert len(alone) == 1
    torch.testing.assert_close(alone[0], first)


def test_heads_may_have_weights_of_their_own(dataset: Dataset) -> None:
    count = len(dataset.classes)
    first, second = weights_of(plan(dataset, class_weights={"sky": 2}), dataset)
    assert first is not None
    assert first.tolist() == [2.0 if name == "sky" else 1.0 for name in dataset.classes.names]
    assert second is None
    first, second = weights_of(plan(dataset, class_weights={"where": {"upright": 3}}), dataset)
    assert first is None
    assert second is not None
    assert second.tolist() == [1.0, 1.0, 3.0]
    first, second = weights_of(plan(dataset, class_weights={"what": "inverse-log", "where": "none"}), dataset)
    assert first is not None
    assert (len(first), second) == (count, None)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"depth": "none"}, "class_weights: there is no head 'depth'; name one of what, where"),
        ({"where": {"sky": 2}}, "class_weights.where: there is no class 'sky'; name one of above, below, upright"),
        ({"above": 2}, "class_weights: there is no class 'above'"),
    ],
)
def test_weights_for_nothing_are_named(dataset: Dataset, weights: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        weights_of(plan(dataset, class_weights=weights), dataset)


def test_a_group_of_an_unknown_class_is_refused(dataset: Dataset, quick: dict[str, Any]) -> None:
    heads = {"what": "all", "where": {"above": ["heaven"], "below": ["road"]}}
    with pytest.raises(PlanError, match="there is no class 'heaven'"):
        fc.train(dataset, settings=quick | {"heads": heads}, quiet=True)


@pytest.mark.parametrize(
    ("heads", "words"),
    [
        ({"what": "all"}, "first head has all classes"),
        ({"where": {"a": ["sky"], "b": ["road"]}, "what": "all"}, "first head has all classes"),
        ({"what": "all", "where": {"a": ["sky"]}}, "two groups of classes at least"),
        ({"what": "all", "where": {"a": ["sky"], "b": ["sky"]}}, "has sky in two groups"),
        ({"what": "all", "w.h": {"a": ["sky"], "b": ["road"]}}, "no name of a head"),
    ],
)
def test_heads_that_make_no_sense_are_named(heads: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Experiment(dataset="streets", heads=heads)
