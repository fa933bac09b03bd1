from __future__ import annotations

import pytest

from fullconv.workbench.database import writing
from fullconv.workbench.services.listing import Listing, listed, values_of
from fullconv.workbench.tables import CatalogueEntry
from fullconv.workbench.workbench import Workbench


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


def test_the_real_run_is_listed(bench: Workbench) -> None:
    (entry,) = listed(bench, "run", Listing(state="done", dataset="streets")).entries
    assert entry.name == "first"
    assert entry.facts["epoch"] == 2
    assert entry.mean_iou is not None
