"""Turns of a device: what need not be alone runs abreast, what must be has it for itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fullconv.store.package import read_card
from fullconv.store.recipe import NetworkCode
from fullconv.workbench.predicting.lane import Lane
from fullconv.workbench.predicting.large import goes_alone
from fullconv.workspace import Workspace

WAIT = 30.0


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane("cpu", abreast=2)
    yield made
    made.stop()


def test_two_that_need_not_be_alone_run_at_once(lane: Lane) -> None:
    meeting = threading.Barrier(2)
    both = [lane.submit(lambda: meeting.wait(WAIT), alone=False) for _ in range(2)]
    assert sorted(one.result(WAIT) for one in both) == [0, 1]


def test_who_is_alone_waits_for_all_and_is_waited_for(lane: Lane) -> None:
    """Those that come later do not pass, however many there are."""
    begun, go_on = threading.Event(), threading.Event()
    running, seen = [0], []

    def beside(wait: threading.Event | None = None) -> None:
        running[0] += 1
        if wait is not None:
            begun.set()
            assert wait.wait(WAIT)
        seen.append(("beside", alone_runs.is_set()))
        running[0] -= 1

    alone_runs = threading.Event()

    def alone() -> None:
        alone_runs.set()
        seen.append(("alone", running[0] > 0))
        alone_runs.clear()

    first = lane.submit(lambda: beside(go_on), alone=False)
    assert begun.wait(WAIT)
    second = lane.submit(alone)
    later = [lane.submit(beside, alone=False) for _ in range(5)]
    go_on.set()
    for one in (first, second, *later):
        one.result(WAIT)
    assert seen[:2] == [("beside", False), ("alone", False)]
    assert seen[2:] == [("beside", False)] * 5


def test_a_failure_gives_its_place_back(lane: Lane) -> None:
    for alone in (True, False, True):
        with pytest.raises(ZeroDivisionError):
            lane.submit(lambda: 1 / 0, alone=alone).result(WAIT)
    assert lane.submit(lambda: "done").result(WAIT) == "done"


def test_large_images_and_code_of_others_go_alone(trained: Path) -> None:
    card = read_card(Workspace(trained).run("first") / "model")
    code = card.network.model_copy(update={"name": "net.py:build", "code": NetworkCode.model_construct()})
    assert [goes_alone(card, size) for size in ((360, 480), (1024, 1024), (1024, 1025))] == [False, False, True]
    assert goes_alone(card.model_copy(update={"network": code}), (360, 480))
    small = card.resize.model_copy(update={"scale": 0.1})
    assert goes_alone(card.model_copy(update={"resize": small}), (2000, 2000))
