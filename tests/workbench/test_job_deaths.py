"""Jobs whose processes die, hang, or never begin, and what is found of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from fullconv.process_identity import identity_of, process_lives
from fullconv.training.fit import plan_run
from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench.database import writing
from fullconv.workbench.jobs import starter as module
from fullconv.workbench.jobs.outcomes import Outcome
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.jobs.reporting import Reporter
from fullconv.workbench.tables import Job
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from workbench.conftest import QUICK
from workbench.observed_jobs import NOBODY, STEP, Observer, claimed, found, is_gone, running


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives and says nothing, with a child of its own."""
    program = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    started = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, stdout=subprocess.PIPE)
    yield started
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.communicate()


def waiting_run(bench: Workbench) -> Path:
    directory = plan_run("streets", QUICK, workspace=bench.home)
    bench.catalogue.refresh()
    return directory


def claimed_by(bench: Workbench, job: Job, process: int, host: str) -> None:
    with writing(bench.engine) as session:
        row = session.get(Job, job.id)
        assert row is not None
        row.process, row.host = process, host
        session.add(row)


def test_a_claim_of_a_killed_server_goes_back_to_the_queue_at_once(bench: Workbench, observer: Observer) -> None:
    job = claimed(bench.queue)
    observer.looks(0)
    assert found(bench, job).state == "claimed"  # its server, this process, is about to launch it
    claimed_by(bench, job, NOBODY, bench.queue.host)
    observer.looks(0)
    assert found(bench, job).state == "queued"
    assert bench.queue.begin(job.id or 0, job.claim or "", process=1, started=1.0) is None


def test_a_claim_on_another_machine_that_comes_to_nothing_goes_back_after_a_while(
    bench: Workbench, observer: Observer
) -> None:
    job = claimed(bench.queue)
    claimed_by(bench, job, NOBODY, "there")
    observer.looks(module.START_SECONDS - 2 * STEP)
    assert found(bench, job).state == "claimed"
    observer.looks(3 * STEP)
    assert found(bench, job).state == "queued"


def test_a_process_that_dies_before_it_begins_is_found_at_once(
    bench: Workbench, observer: Observer, sleeper: subprocess.Popen[bytes]
) -> None:
    job = claimed(bench.queue)
    since = psutil.Process(sleeper.pid).create_time()
    assert bench.queue.launched(job.id or 0, job.claim or "", process=sleeper.pid, started=since)
    observer.looks(2 * module.START_SECONDS)
    assert found(bench, job).state == "claimed"  # a slow disk
    os.kill(sleeper.pid, signal.SIGKILL)
    assert is_gone(sleeper.pid)
    observer.looks(0)
    assert (found(bench, job).state, found(bench, job).error) == ("failed", "its process ended before it began")


def test_the_number_of_a_dead_process_given_to_another_is_not_taken_for_it(
    bench: Workbench, observer: Observer, sleeper: subprocess.Popen[bytes]
) -> None:
    job = running(bench.queue, sleeper.pid, started=12345.0)
    observer.looks(module.STRANGER_SECONDS + STEP)
    assert found(bench, job).state == "failed"
    assert process_lives(sleeper.pid, psutil.Process(sleeper.pid).create_time())


def test_a_process_is_not_taken_for_another_one_when_the_clock_is_set(
    bench: Workbench, observer: Observer, sleeper: subprocess.Popen[bytes]
) -> None:
    job = running(bench.queue, sleeper.pid, started=psutil.Process(sleeper.pid).create_time() - 3600.0)
    for _ in range(10):
        bench.queue.beat(job.id or 0, job.claim or "")
        observer.looks(0)
    assert found(bench, job).state == "running"


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_that_is_set_ends_no_job_though_it_says_nothing_just_then(
    bench: Workbench,
    observer: Observer,
    sleeper: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    hours: int,
) -> None:
    job, before = running(bench.queue, sleeper.pid), claimed(bench.queue)
    since = psutil.Process(sleeper.pid).create_time()
    identity = identity_of(sleeper.pid)
    assert bench.queue.launched(
        before.id or 0, before.claim or "", process=sleeper.pid, started=since, identity=identity
    )
    status = Status.now("running", read_status(bench.home.run("first")))
    write_status(bench.home.run("first"), status)
    set_the_clock(monkeypatch, hours)
    assert abs(psutil.Process(sleeper.pid).create_time() - since) > 3600
    observer.looks(module.STRANGER_SECONDS + 3 * STEP)
    assert found(bench, job).state == "running"
    assert found(bench, before).state == "claimed"
    assert read_status(bench.home.run("first")).shown == "running"
    assert bench.scratch.folder("uploads").is_dir()
    assert bench.scratch.sweep() == 0
    os.kill(sleeper.pid, signal.SIGKILL)
    assert is_gone(sleeper.pid)
    observer.looks(0)
    assert found(bench, job).state == found(bench, before).state == "failed"


def test_a_dead_job_is_found_though_the_clock_makes_another_process_look_like_its_own(
    bench: Workbench, observer: Observer, sleeper: subprocess.Popen[bytes]
) -> None:
    """The other one has its number, and began when the job's did, by a clock that was set in between."""
    job = claimed(bench.queue)
    since = psutil.Process(sleeper.pid).create_time()
    number, claim = job.id or 0, job.claim or ""
    assert bench.queue.begin(number, claim, process=sleeper.pid, started=since, identity="an-earlier-one.1")
    observer.looks(0)
    assert found(bench, job).state == "failed"
    assert process_lives(sleeper.pid, since)


def set_the_clock(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """What a system tells of its processes when its clock is set: all of them began earlier, or later."""
    told = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: told(process) + 3600.0 * hours)


def test_what_a_killed_process_started_is_killed_too(
    bench: Workbench, observer: Observer, sleeper: subprocess.Popen[bytes]
) -> None:
    assert sleeper.stdout is not None
    child = int(sleeper.stdout.readline())
    job = running(bench.queue, sleeper.pid)
    os.kill(sleeper.pid, signal.SIGKILL)
    sleeper.wait()
    assert psutil.pid_exists(child)
    observer.looks(0)
    assert found(bench, job).state == "failed"
    assert is_gone(child)


def test_a_process_that_hangs_is_told_of_then_killed(
    bench: Workbench, observer: Observer, sleeper: subprocess.Popen[bytes]
) -> None:
    job = running(bench.queue, sleeper.pid)
    observer.looks(module.SILENT_SECONDS - 2 * STEP)
    assert found(bench, job).message == ""
    observer.looks(3 * STEP)
    assert found(bench, job).message == "nothing was heard of it for 3 minutes"
    assert process_lives(sleeper.pid, job.started or 0.0)
    observer.looks(module.TOLD_SECONDS + 2 * STEP)
    assert is_gone(sleeper.pid)
    observer.looks(0)
    assert (found(bench, job).state, "it hung" in (found(bench, job).error or "")) == ("failed", True)


def test_a_process_that_beats_again_is_let_alone(
    bench: Workbench, observer: Observer, sleeper: subprocess.Popen[bytes]
) -> None:
    job = running(bench.queue, sleeper.pid)
    observer.looks(module.SILENT_SECONDS + 2 * STEP)
    bench.queue.beat(job.id or 0, job.claim or "", message="going on")
    observer.looks(module.SILENT_SECONDS - 2 * STEP)
    assert (found(bench, job).state, found(bench, job).message) == ("running", "going on")


def test_a_process_that_somebody_stopped_is_not_killed(
    bench: Workbench, observer: Observer, sleeper: subprocess.Popen[bytes]
) -> None:
    job = running(bench.queue, sleeper.pid)
    os.kill(sleeper.pid, signal.SIGSTOP)
    observer.looks(3 * module.SILENT_SECONDS)
    assert f"kill -CONT {sleeper.pid} lets it go on" in found(bench, job).message
    os.kill(sleeper.pid, signal.SIGCONT)
    observer.looks(STEP)  # it has not had the time to say anything
    assert process_lives(sleeper.pid, job.started or 0.0)
    assert found(bench, job).state == "running"


def test_silence_while_nobody_could_look_proves_nothing(
    bench: Workbench, observer: Observer, sleeper: subprocess.Popen[bytes]
) -> None:
    """The machine slept, or the database was away."""
    job = running(bench.queue, sleeper.pid)
    observer.looks(STEP)
    observer.now += 10 * module.SILENT_SECONDS
    observer.looks(module.SILENT_SECONDS - 2 * STEP)
    assert (found(bench, job).state, found(bench, job).message) == ("running", "")


@pytest.mark.parametrize("ahead", [-86_400.0, 86_400.0])
def test_a_machine_that_is_silent_counts_as_dead_whatever_its_clock_shows(
    bench: Workbench, observer: Observer, ahead: float
) -> None:
    there = Queue(bench.engine, host="there")
    job = running(there, os.getpid())

    def beats() -> None:
        with writing(bench.engine) as session:
            row = session.get(Job, job.id)
            assert row is not None
            row.heartbeat = time.time() + ahead
            session.add(row)

    for _ in range(5):  # it lives as long as its heartbeat changes
        beats()
        observer.looks(module.SILENT_SECONDS - 2 * STEP)
        assert found(bench, job).state == "running"
    observer.looks(module.TOLD_SECONDS + 5 * STEP)
    assert found(bench, job).state == "failed"
    assert "nothing was heard of it on there" in (found(bench, job).error or "")
    assert process_lives(os.getpid(), job.started or 0.0)  # no process here is touched


def test_a_job_that_cannot_be_looked_after_is_in_nobodys_way(
    bench: Workbench, observer: Observer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    odd, plain = (running(bench.queue, NOBODY, 1.0, kind=kind) for kind in ("forecast", "group"))

    def outcome(home: Workspace, job: Job) -> Outcome | None:
        if job.kind == "forecast":
            raise MemoryError
        return None

    monkeypatch.setattr(module, "outcome_of", outcome)
    observer.looks(2 * STEP)
    assert (found(bench, odd).state, found(bench, plain).state) == ("running", "failed")
    assert [record.exc_info is not None for record in caplog.records] == [True], "it is said once"


def test_looking_after_jobs_goes_on_whatever_goes_wrong(
    bench: Workbench, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, again = [0], threading.Event()

    def settled(*given: object) -> list[str]:
        looks[0] += 1
        if looks[0] == 1:
            raise MemoryError
        again.set()
        return []

    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "settle_forgotten", settled)
    observer.starter.start()
    try:
        assert again.wait(60)
    finally:
        observer.starter.stop()


def test_a_heart_that_stumbles_beats_on(bench: Workbench) -> None:
    job = running(bench.queue, os.getpid())
    beats = []

    class Stumbling(Queue):
        def beat(self, job: int, claim: str, **values: Any) -> float | None:
            beats.append(values)
            if len(beats) == 1:
                raise MemoryError
            return super().beat(job, claim, **values)

    with Reporter(Stumbling(bench.engine), job.id or 0, job.claim or "", beat=0.01) as reporter:
        reporter.say("halfway", 0.5)
        end = time.monotonic() + 60
        while found(bench, job).message != "halfway":
            assert time.monotonic() < end
            time.sleep(0.01)
