"""Who works on a run: one process at a time, even where two take it up at the same moment."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import StorageError
from fullconv.process_identity import identity_of
from fullconv.training import fit
from fullconv.training.status import Status, idle_status, read_status, write_status


def of_another_process() -> Status:
    """Of one that lives."""
    parent = psutil.Process(os.getppid())
    who = {"process": parent.pid, "started": parent.create_time(), "identity": identity_of(parent.pid)}
    return Status.now("running").model_copy(update=who)


def test_a_run_is_idle_when_its_process_is_gone(tmp_path: Path) -> None:
    gone = of_another_process().model_copy(update={"identity": "another"})
    write_status(tmp_path, gone)
    assert idle_status(tmp_path) == gone
    write_status(tmp_path, of_another_process())
    for mine in (False, True):
        with pytest.raises(StorageError, match="still going on"):
            idle_status(tmp_path, mine=mine)


def test_a_run_of_this_process_is_idle_for_it_alone(tmp_path: Path) -> None:
    write_status(tmp_path, Status.now("running"))
    assert idle_status(tmp_path, mine=True).state == "running"
    with pytest.raises(StorageError, match="still going on"):
        idle_status(tmp_path)


def test_a_run_that_another_process_took_up_meanwhile_is_left_to_it(
    dataset: Dataset, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fc.train(dataset, quiet=True, **quick | {"epochs": 1})
    stopped = Status.now("aborted", read_status(run.directory))
    write_status(run.directory, stopped)
    opened = fit.opened

    def overtaken(*arguments: Any, **named: Any) -> Any:
        job = opened(*arguments, **named)
        write_status(run.directory, of_another_process())
        return job

    monkeypatch.setattr(fit, "opened", overtaken)
    with pytest.raises(StorageError, match="still going on"):
        fc.resume(run.directory, quiet=True)
    assert read_status(run.directory).process == os.getppid()
    assert read_status(run.directory).state == "running"


@pytest.mark.parametrize(("minutes", "alive"), [(-5, True), (5, True), (-60, False), (60, False)])
def test_a_run_elsewhere_lives_while_its_clock_and_this_one_are_close(minutes: int, alive: bool) -> None:
    heartbeat = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
    status = Status.now("running").model_copy(update={"host": "elsewhere", "heartbeat": heartbeat})
    assert (status.alive, status.shown) == (alive, "running" if alive else "killed")
