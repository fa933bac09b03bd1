"""Several sets of classes at once: labels of every head, summed losses, a run and its package."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

import fullconv as fc
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.dataset import Dataset
from fullconv.errors import PlanError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.heads import HeadsObjective, lookups_of, tables_of
from fullconv.training.objective import Objective
from fullconv.training.settings.experiment import Experiment
from fullconv.training.settings.loss_settings import Loss
from fullconv.training.settings.regimes import LossSampling, WholeImage

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
    part = objective(WholeImage(), net, Loss(reduction=reduction))(net, images, labels).part
    lookup = lookups_of(HEADS, CLASSES)
    expected = sum(
        F.cross_entropy(scores, table[labels.long()], ignore_index=255, reduction=reduction)
        for scores, table in zip(net(images), lookup, strict=True)
    )
    torch.testing.assert_close(part.loss, expected)


def test_cells_and_samples_are_read_for_every_head() -> None:
    net = net_of_two_heads()
    images, labels = torch.randn(2, 3, 64, 48), torch.randint(0, 4, (2, 64, 48), dtype=torch.uint8)
    whole = objective(WholeImage(loss_at="cells"), net, Loss())(net, images, labels)
    assert whole.scores.shape[-2:] == whole.labels.shape[-2:] == (8, 6)
    sampled = objective(LossSampling(keep=0.5), net, Loss(denominator="pixels"))
    part = sampled(net, images, labels, torch.tensor([1, 2])).part
    assert part.count.shape == (2,)
    assert (part.count < torch.tensor([2 * 64 * 48, 2 * 64 * 48])).all()


def test_a_run_learns_all_heads_and_packs_them(dataset: Dataset, quick: dict[str, Any]) -> None:
    below = ["road", "sidewalk"]
    upright = [name for name in dataset.classes.names if name not in (*below, "sky")]
    heads = {"what": "all", "where": {"above": ["sky"], "below": below, "upright": upright}}
    settings = quick | {"heads": heads, "network": "fcn8s-compact", "epochs": 6, "views": 2}
    run = fc.train(dataset, settings=settings, quiet=True)
    rows = [row for row in read_rows(run.directory / "metrics.csv") if row["split"] == "val"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[-1]["mean_iou_where"]) > 0
    assert run.model.card.classes == dataset.classes
    pixels = dataset.test.read(0)[0]
    assert torch.equal(fc.load(run.directory, head="what").scores(pixels), run.model.scores(pixels))
    where = fc.load(run.directory, head="where").predict(pixels)
    assert where.classes.names == ("above", "below", "upright")
    assert where.labels.max() <= 2
    again = fc.resume(run.directory, quiet=True)
    assert again.scores.mean_iou == run.scores.mean_iou


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
