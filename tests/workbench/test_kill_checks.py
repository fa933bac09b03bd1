"""What is looked for after kills is found where it is: every check of `benchmarks/queue_checks.py` on its harm."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DatabaseError

from fullconv.training.fit import plan_run
from fullconv.workbench.database import check_integrity, connect
from fullconv.workbench.jobs.logs import log_path
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.jobs.worker import BEGINS, HOME
from fullconv.workbench.settings import Slots
from fullconv.workbench.workbench import Workbench
from workbench.conftest import QUICK

WHEN = ("2026-01-01T00:00:00.000+00:00", "2026-01-01T00:00:10.000+00:00")


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks")
    return importlib.import_module("queue_checks")


def ended(bench: Workbench, state: str, *, process: int = 7, subject: str | None = None) -> int:
    """A job that was begun once, as its log says, and ended."""
    number = bench.queue.add("train", title="One", payload={}, subject=subject, device="cpu").id or 0
    job = bench.queue.claim(Slots(cpu=1))
    assert job is not None
    assert job.claim is not None
    bench.queue.begin(number, job.claim, process=process, started=1.0)
    said(bench, number, process)
    bench.queue.end(number, job.claim, state, error="the reason" if state == "failed" else None)
    return number


def said(bench: Workbench, job: int, process: int, when: str = WHEN[0]) -> None:
    """A line of a job's log: a process begins it."""
    path = log_path(bench.home, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(f"{when} process {process} on here {BEGINS} {job}: train, One\n")


def found(checks: Any, bench: Workbench, *answers: Any, seen: dict[int, float] | None = None) -> list[str]:
    onlooker = checks.Onlooker(bench.queue)
    onlooker.seen |= seen or {}
    expected = checks.rows(bench.home.run("first"))
    problems: list[str] = checks.problems(bench.home, bench.queue, list(answers), onlooker, set(), expected)
    return problems


def test_nothing_is_found_where_nothing_is_wrong(checks: Any, bench: Workbench) -> None:
    number = ended(bench, "done", subject="run:first")
    assert found(checks, bench, checks.Answer("run", 202, {number: "run:first"}), checks.Answer("run", 0)) == []


def test_lost_jobs_are_found(checks: Any, bench: Workbench) -> None:
    number = ended(bench, "done", subject="run:first")
    lost, other = checks.Answer("run", 202, {9: "run:x"}), checks.Answer("run", 202, {number: "run:second"})
    assert found(checks, bench, lost, other) == [
        "job 9 on run:x was promised (run) and is not there",
        f"job {number} on run:second was promised (run) and is not there",
    ]
    assert found(checks, bench, checks.Answer("run", 202)) == ["a run was granted, and no job is named"]
    assert found(checks, bench, checks.Answer("run", 500)) == ["a request (run) was answered with 500"]


def test_jobs_that_were_begun_twice_or_never_are_found(checks: Any, bench: Workbench) -> None:
    number, never = ended(bench, "done"), ended(bench, "done")
    said(bench, number, 8)
    log_path(bench.home, never).unlink()
    said(bench, 99, 9)
    assert found(checks, bench) == [
        f"job {number} was begun 2 times",
        "job 99 was begun and is not there",
        f"job {never} is done and was never begun",
    ]


def test_two_processes_on_one_thing_are_found(checks: Any, bench: Workbench) -> None:
    first = ended(bench, "aborted", process=7, subject="run:first")
    second = ended(bench, "done", process=8, subject="run:first")
    log_path(bench.home, second).unlink()
    said(bench, second, 8, WHEN[1])
    at_once = f"jobs {first} and {second} worked on run:first at the same time"
    assert found(checks, bench, seen={7: time.time()}) == [at_once]
    assert found(checks, bench, seen={7: 0.0}) == []


def test_what_failed_or_waits_without_a_reason_is_found(checks: Any, bench: Workbench) -> None:
    failed = ended(bench, "failed")
    waiting = bench.queue.add("dataset", title="One", payload={}).id
    run = plan_run("streets", QUICK, workspace=bench.home)
    assert found(checks, bench) == [
        f"job {failed} (train) failed and was not killed: the reason",
        f"job {waiting} is queued",
        f"run {run.name} waits",
    ]


def test_finished_runs_that_cannot_be_read_are_found(checks: Any, bench: Workbench) -> None:
    for name in ("without", "doubled", "cut"):
        shutil.copytree(bench.home.run("first"), bench.home.run(name))
    shutil.rmtree(bench.home.run("without") / "model")
    doubled = bench.home.run("doubled") / "metrics.csv"
    lines = doubled.read_text(encoding="utf-8").splitlines(keepends=True)
    doubled.write_text("".join([*lines, lines[-1]]), encoding="utf-8")
    (bench.home.run("cut") / "metrics.csv").write_text("".join(lines[:-1]), encoding="utf-8")
    ended(bench, "aborted", subject="run:first")
    said_of = found(checks, bench)
    assert [text.partition(":")[0] for text in said_of] == [
        "run cut has other rows than one that nobody disturbed",
        "run doubled has other rows than one that nobody disturbed",
        "run first is done and its last job is aborted",
        "run without is done and cannot be read",
    ]


def test_processes_that_are_left_over_are_found(checks: Any, bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "END_SECONDS", 0.5)
    command = [sys.executable, "-c", "input()", "fullconv.workbench.jobs.worker"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | {HOME: str(bench.home.root)})
    try:
        assert found(checks, bench) == [f"process {process.pid} of a job lives on"]
    finally:
        process.communicate(b"\n")


def test_a_damaged_database_is_found(tmp_path: Path) -> None:
    file = tmp_path / "damaged.sqlite"
    queue = Queue(connect(f"sqlite:///{file}"))
    for number in range(300):
        queue.add("dataset", title=f"{number} {'x' * 200}", payload={})
    queue.engine.dispose()
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8192] = bytes(range(256)) * 32
    file.write_bytes(content)
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    engine = connect(f"sqlite:///{file}")
    try:
        said = check_integrity(engine)
    except DatabaseError as problem:
        said = str(problem)
    engine.dispose()
    assert said != "ok"
