"""Jobs in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fullconv.process_identity import process_lives
from fullconv.training.finished import finished_run
from fullconv.training.fit import plan_run
from fullconv.training.status import read_status
from fullconv.workbench.jobs import starter as module
from fullconv.workbench.jobs.kinds import KINDS
from fullconv.workbench.jobs.logs import last_lines, log_path, read_from
from fullconv.workbench.jobs.starter import Starter
from fullconv.workbench.jobs.worker import BEGINS
from fullconv.workbench.settings import ServerSettings, Slots
from fullconv.workbench.tables import Job
from fullconv.workbench.workbench import Workbench
from workbench.conftest import QUICK

Work = Callable[..., None]


def queued_run(bench: Workbench, **settings: Any) -> Job:
    directory = plan_run("streets", QUICK | settings, workspace=bench.home)
    return bench.queue.add("train", title="t", payload={"run": directory.name}, subject=f"run:{directory.name}")


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def begun(bench: Workbench, job: Job) -> Job:
    """The job, looked at while its training goes on."""
    directory = bench.home.run(job.payload["run"])
    bench.starter.look()

    def goes_on() -> bool:
        status, found = read_status(directory), bench.queue.get(job.id or 0)
        return status.state == "running" and status.progress > 0 and status.process == found.process

    until(goes_on)
    return bench.queue.get(job.id or 0)


def test_a_training_is_done_by_a_process_of_its_own(bench: Workbench, work: Work) -> None:
    job = queued_run(bench)
    directory = bench.home.run(job.payload["run"])
    assert read_status(directory).shown == "queued"
    work(job.id)
    ended = bench.queue.get(job.id or 0)
    assert (ended.state, ended.progress, ended.error) == ("done", 1.0, None)
    assert ended.process != os.getpid()
    assert ended.result == {"run": directory.name, "mean_iou": finished_run(directory).scores.mean_iou}
    said = read_from(log_path(bench.home, job.id or 0), 0)[0]
    assert "Training fcn8s-squeezenet1_1" in said
    assert f"process {ended.process} on {ended.host} {BEGINS} {job.id}: train, t" in said


def test_a_sentence_of_ours_ends_a_job_without_a_traceback(bench: Workbench, work: Work) -> None:
    payload = {"images": str(bench.home.root / "nowhere"), "name": "new"}
    job = bench.queue.add("dataset", title="t", payload=payload)
    stale = log_path(bench.home, job.id or 0)  # of a job of that number, in a database that was moved away
    stale.parent.mkdir(exist_ok=True)
    stale.write_text("said by another\n")
    work(job.id)
    assert "another" not in read_from(stale, 0)[0]
    ended = bench.queue.get(job.id or 0)
    assert ended.state == "failed"
    assert ended.error is not None
    assert "nowhere" in ended.error
    assert "Traceback" not in (ended.tail or "")
    assert ended.error.split(";")[0] in (ended.tail or "")


def test_a_killed_process_is_found_and_its_run_can_go_on(bench: Workbench, work: Work) -> None:
    job = begun(bench, queued_run(bench, epochs=60))
    os.kill(job.process or 0, signal.SIGKILL)
    until(lambda: not process_lives(job.process or 0, job.started or 0.0))
    work(job.id)
    ended = bench.queue.get(job.id or 0)
    assert ended.state == "failed"
    assert "without a word" in (ended.error or "")
    assert "Training fcn8s-squeezenet1_1" in (ended.tail or "")
    assert read_status(bench.home.run(job.payload["run"])).shown == "killed"
    again = begun(bench, bench.queue.retry(job.id or 0))
    bench.queue.abort(again.id or 0)
    work(again.id)
    assert bench.queue.get(again.id or 0).state == "aborted"
    assert read_status(bench.home.run(job.payload["run"])).state == "aborted"


def test_running_jobs_outlive_the_server_and_the_next_one_knows_them(bench: Workbench) -> None:
    job = begun(bench, queued_run(bench, epochs=60))
    bench.starter.stop()
    assert process_lives(job.process or 0, job.started or 0.0)
    assert os.getpgid(job.process or 0) != os.getpgid(0)  # Ctrl-C in the server's terminal does not reach it
    another = Starter(bench.settings, bench.queue)
    another.look()
    assert bench.queue.get(job.id or 0).state == "running"
    bench.queue.abort(job.id or 0)

    def ended() -> bool:
        another.look()
        return bench.queue.get(job.id or 0).state != "running"

    until(ended)
    assert bench.queue.get(job.id or 0).state == "aborted"


def test_a_job_that_does_not_listen_is_killed(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    job = begun(bench, queued_run(bench, epochs=60))
    os.kill(job.process or 0, signal.SIGSTOP)  # as one that hangs: it hears nothing
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)
    bench.queue.abort(job.id or 0)

    def ended() -> bool:
        bench.starter.look()
        return bench.queue.get(job.id or 0).state != "running"

    until(ended)
    assert bench.queue.get(job.id or 0).state == "aborted"
    assert not read_status(bench.home.run(job.payload["run"])).alive


LOCKED_AT_ITS_END = """
import sqlite3, sys, threading
from pathlib import Path
from fullconv.workbench import database
from fullconv.workbench.jobs import worker
from fullconv.workspace import Workspace

number, claim, url, home, seconds = sys.argv[1:]
database.WAIT_SECONDS, worker.INSIST_SECONDS = 0.1, 5.0
lock = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)

def locks(payload, context):
    lock.execute("BEGIN IMMEDIATE")
    threading.Timer(float(seconds), lock.rollback).start()
    return {"seconds": 2.5}

worker.KINDS = {"forecast": locks}
try:
    worker.work(int(number), database=url, claim=claim, home=Workspace(Path(home)))
finally:
    print("over")
    sys.stdout.flush()
    __import__("os")._exit(0)
"""


@pytest.mark.parametrize("seconds", [2.0, 600.0], ids=["for a moment", "for long"])
def test_the_end_of_a_job_is_not_lost_where_the_database_is_locked_just_then(bench: Workbench, seconds: float) -> None:
    job = bench.queue.add("forecast", title="t", payload={})
    taken = bench.queue.claim(Slots(cpu=1))
    assert taken is not None
    assert taken.id == job.id
    url = bench.settings.database_url
    words = [str(job.id), taken.claim or "", url, str(bench.home.root), str(seconds)]
    subprocess.run([sys.executable, "-c", LOCKED_AT_ITS_END, *words], check=True, timeout=300)
    if seconds > 60:
        assert bench.queue.get(job.id or 0).state == "running"  # it gave up
        Starter(ServerSettings(bench.home), bench.queue).look()  # the next server
    ended = bench.queue.get(job.id or 0)
    assert (ended.state, ended.result, ended.error) == ("done", {"seconds": 2.5}, None)
    assert not list(bench.home.jobs.glob("*.ended.json"))


def test_every_kind_of_job_can_be_done() -> None:
    assert set(KINDS) >= {"dataset", "train", "group", "evaluate", "predict"}
    for kind in KINDS:
        assert callable(KINDS[kind]), kind


def test_the_end_of_a_log_is_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "1.log"
    assert last_lines(log) == ""
    log.write_text("".join(f"line {number} {'x' * 100}\n" for number in range(1000)))
    found = last_lines(log, 3).splitlines()
    assert [line.split()[1] for line in found] == ["997", "998", "999"]


def test_letters_of_a_log_are_never_cut(tmp_path: Path) -> None:
    log, text = tmp_path / "1.log", "Straße → 猫 \U0001f409 done\n"
    log.write_bytes(b"")
    read, place = "", 0
    for byte in text.encode():  # as a process writes it
        with log.open("ab") as stream:
            stream.write(bytes([byte]))
        more, place = read_from(log, place)
        read += more
    assert read == text
    read, place = "", 0
    while place < log.stat().st_size:  # as a page reads it, piece by piece
        more, place = read_from(log, place, limit=5)
        read += more
    assert read == text
    log.write_bytes(b"\xff\xfe no text\n")
    assert read_from(log, 0) == ("\ufffd\ufffd no text\n", 11)
