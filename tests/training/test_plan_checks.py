"""What only network and data can tell of a plan: patches that teach nothing, classes that are not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import PlanError
from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.plan_checks import check_classes
from fullconv.training.preparing import experiment_for, readied
from fullconv.workspace import Workspace


def planned(dataset: Dataset, settings: dict[str, Any], **more: Any) -> Any:
    return readied(*experiment_for(dataset, settings | more, Workspace.find()))[0]


def test_a_patch_of_the_size_of_the_field_that_holds_none_is_refused(dataset: Dataset, quick: dict[str, Any]) -> None:
    del quick["crop"]
    grid = ScoreGrid.of(build_network(quick["network"], classes=2))
    assert grid.field < grid.patch
    with pytest.raises(PlanError, match=f"the smallest patch with one has {grid.patch[0]}×"):
        planned(dataset, quick, regime={"kind": "patchwise", "size": list(grid.field)})
    assert planned(dataset, quick, regime="patchwise").crop == grid.patch


def test_one_tiny_patch_is_too_few_for_batch_norm(dataset: Dataset, quick: dict[str, Any]) -> None:
    del quick["crop"]
    alone = quick | {"regime": {"kind": "patchwise", "size": [32, 32], "loss_at": "pixels"}, "batch_size": 1}
    with pytest.raises(PlanError, match="a single value"):
        planned(dataset, alone, network="fcn32s-compact")
    assert planned(dataset, alone).batch_size == 1  # SqueezeNet has none
    assert planned(dataset, alone, network="fcn32s-compact", optimization={"batch_norm": "frozen"}).batch_size == 1


def test_a_factor_for_no_class_leaves_no_run(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PlanError, match="there is no class 'raod'"):
        fc.train(dataset, settings=quick | {"class_weights": {"raod": 2.0}}, quiet=True)
    assert not list((workspace_home / "runs").glob("*"))


@pytest.mark.parametrize(
    ("around", "classes", "refused"),
    [("objects", 1, True), ("objects", 2, False), ("class-balanced", 0, True), ("class-balanced", 1, False)],
)
def test_patches_are_drawn_around_classes_that_are_there(
    dataset: Dataset, quick: dict[str, Any], around: str, classes: int, refused: bool
) -> None:
    del quick["crop"]
    plan = planned(
        dataset, quick, regime={"kind": "patchwise", "size": [48, 48], "around": around, "loss_at": "pixels"}
    )
    split = dataset.statistics.splits["train"]
    some = {name: 9 if index < classes else 0 for index, name in enumerate(split.pixels)}
    train = split.model_copy(update={"pixels": some, "ignored_pixels": 9})
    statistics = dataset.statistics.model_copy(update={"splits": dataset.statistics.splits | {"train": train}})
    data = replace(dataset, statistics=statistics)
    if refused:
        with pytest.raises(PlanError, match="no training image holds a class"):
            check_classes(plan, data)
    else:
        check_classes(plan, data)
