from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from fullconv.evaluation.metrics_table import read_rows
from fullconv.files import write_atomically
from fullconv.workbench.database import writing
from fullconv.workbench.feeds import RunFeed
from fullconv.workbench.pages.home_columns import COLUMNS
from fullconv.workbench.run_standings import Standings
from fullconv.workbench.services.listing import (
    Listing,
    SortField,
    counts_of,
    listed,
    listed_packages,
    values_of,
    values_of_packages,
)
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.tables import CatalogueEntry
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace


@pytest.fixture
def three(bench: Workbench) -> Workbench:
    rows = (("a_1", 0.3, "done", "\npaper\n"), ("a%2", None, "failed", "\n"), ("ab3", 0.5, "done", "\npaper 2\n"))
    with writing(bench.engine) as session:
        for name, score, state, tags in rows:
            entry = CatalogueEntry(kind="model", name=name, stamp="-", created=name, mean_iou=score, state=state)
            entry.tags = tags
            session.add(entry)
    return bench


def names(bench: Workbench, **wanted: object) -> list[str]:
    return [entry.name for entry in listed(bench, "model", Listing(**wanted)).entries]  # type: ignore[arg-type]


def test_what_has_no_score_comes_last_either_way(three: Workbench) -> None:
    assert names(three, sort="mean_iou") == ["ab3", "a_1", "a%2"]
    assert names(three, sort="mean_iou", descending=False) == ["a_1", "ab3", "a%2"]


def test_a_part_of_the_list_knows_how_long_the_list_is(three: Workbench) -> None:
    page = listed(three, "model", Listing(sort="name", descending=False, offset=1, limit=1))
    assert ([entry.name for entry in page.entries], page.total) == (["a_1"], 3)


@pytest.mark.parametrize(("search", "found"), [("A_", ["a_1"]), ("%", ["a%2"]), ("PAPER", ["ab3", "a_1"]), ("zz", [])])
def test_search_takes_letters_as_they_are(three: Workbench, search: str, found: list[str]) -> None:
    assert sorted(names(three, search=search)) == sorted(found)


def test_a_tag_is_found_whole(three: Workbench) -> None:
    assert names(three, tag="paper") == ["a_1"]
    assert values_of(three, "model") == {
        "state": ["done", "failed"],
        "dataset": [],
        "group": [],
        "tag": ["paper", "paper 2"],
    }


FACTS: list[dict[str, Any]] = [
    {"epoch": 9, "last_loss": 2.5, "regime": "patchwise", "split": "test", "classes": ["a"], "stride": 8},
    {"epoch": 10, "last_loss": 0.25, "regime": "whole-image", "split": None, "classes": ["a", "b"]},
    {"last_loss": 1, "split": "", "classes": list("abcdefghijk"), "stride": 16},
    {},
]


@pytest.fixture
def four(database: str, tmp_path: Path) -> Iterator[Workbench]:
    """Four runs in a database of each kind."""
    made = Workbench(ServerSettings(Workspace(tmp_path), database=database))
    with writing(made.engine) as session:
        for name, facts in zip("abcd", FACTS, strict=True):
            session.add(CatalogueEntry(kind="run", name=name, stamp="-", created=name, tags="\n", facts=facts))
    yield made
    made.engine.dispose()


@pytest.mark.parametrize(
    ("sort", "descending", "found"),
    [
        ("epoch", True, "bacd"),
        ("epoch", False, "abcd"),
        ("last_loss", False, "bcad"),
        ("last_loss", True, "acbd"),
        ("classes", True, "cbad"),
        ("stride", False, "acbd"),
        ("regime", True, "bacd"),
        ("kind", True, "abcd"),
    ],
)
def test_facts_are_sorted_as_what_they_are(four: Workbench, sort: Any, descending: bool, found: str) -> None:
    page = listed(four, "run", Listing(sort=sort, descending=descending))
    assert "".join(entry.name for entry in page.entries) == found


def test_every_column_can_be_sorted_by_and_models_of_runs_are_counted(four: Workbench) -> None:
    for field in get_args(SortField):
        assert listed(four, "run", Listing(sort=field)).total == 4
        assert [entry.name for entry in listed_packages(four, Listing(sort=field, search="")).entries] != []
    assert sorted(entry.name for entry in listed_packages(four).entries) == ["a", "c"]
    assert counts_of(four) == {"dataset": 0, "run": 4, "model": 2}
    assert values_of_packages(four) == {"state": [], "dataset": [], "group": [], "tag": []}


def test_every_column_that_is_shown_is_sorted_by_the_database() -> None:
    assert {name for names in COLUMNS.values() for name in names} <= set(get_args(SortField))


def test_a_run_has_the_last_and_best_of_every_score(bench: Workbench) -> None:
    (entry,) = listed(bench, "run").entries
    rows = [row for row in read_rows(bench.home.run("first") / "metrics.csv") if row["split"] == "val"]
    for name in ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou"):
        values = [float(row[name]) for row in rows]
        assert entry.facts[f"last_{name}"] == values[-1]
        best = entry.best_mean_iou if name == "mean_iou" else entry.facts[f"best_{name}"]
        assert best == pytest.approx(max(values), rel=1e-5)
    assert entry.facts["last_loss"] > 0
    assert entry.facts["mean_accuracy"] is not None


def test_of_a_run_that_goes_on_only_new_rows_are_read(tmp_path: Path) -> None:
    standings, file = Standings(), tmp_path / "metrics.csv"
    file.write_text("step,split,loss,mean_iou\n1,train,2.5,\n1,val,2,0.5\n2,tra")
    assert standings.of(tmp_path, goes_on=True) == {"last_loss": 2.5, "last_mean_iou": 0.5, "best_mean_iou": 0.5}
    with file.open("r+") as stream:  # a row that is known is not looked at again
        stream.write("step,split,loss,mean_iou\n1,train,9.9")
    with file.open("a") as stream:
        stream.write("in,1.5,\n2,val,2,0.25\n")
    assert standings.of(tmp_path, goes_on=True) == {"last_loss": 1.5, "last_mean_iou": 0.25, "best_mean_iou": 0.5}
    write_atomically(file, "step,split,loss,mean_iou\n1,train,3,\n")  # the run was begun anew
    assert standings.of(tmp_path, goes_on=True) == {"last_loss": 3.0}
    file.unlink()
    assert standings.of(tmp_path) == {}


def test_names_of_classes_may_hold_any_line_break(tmp_path: Path) -> None:
    header = 'step,split,"iou_a\u2028b","iou_c\nd",iou_e\x85f,loss,mean_iou\n'
    (tmp_path / "metrics.csv").write_text(f"{header}1,val,0.25,0.5,0.75,2,0.5\n", encoding="utf-8")
    assert Standings().of(tmp_path) == {"last_mean_iou": 0.5, "best_mean_iou": 0.5}
    feed = RunFeed(tmp_path)
    feed.look()
    ious = {"iou_a\u2028b": 0.25, "iou_c\nd": 0.5, "iou_e\x85f": 0.75}
    assert feed.rows == [{"step": 1, "split": "val", "loss": 2.0, "mean_iou": 0.5} | ious]


def test_the_real_run_is_listed(bench: Workbench) -> None:
    (entry,) = listed(bench, "run", Listing(state="done", dataset="streets")).entries
    assert entry.name == "first"
    assert entry.facts["epoch"] == 2
    assert entry.mean_iou is not None
