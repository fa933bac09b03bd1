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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from fullconv.data.dataset import Dataset
from fullconv.process_identity import identity_of, process_lives
from fullconv.training.fit import plan_run
from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench.database import writing
from fullconv.workbench.jobs import starter as module
from fullconv.workbench.jobs.endings import read_ending, write_ending
from fullconv.workbench.jobs.launching import environment_of
from fullconv.workbench.jobs.outcomes import Outcome, outcome_of
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.jobs.reporting import Reporter
from fullconv.workbench.jobs.starter import Starter
from fullconv.workbench.jobs.watch import LONGEST_PAUSE, Watch
from fullconv.workbench.settings import ServerSettings, Slots
from fullconv.workbench.stored import StoredEvaluation, add_stored, now
from fullconv.workbench.tables import Job
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from workbench.conftest import QUICK

STEP = LONGEST_PAUSE / 2
NOBODY = 2**22 + 1
"""Greater than any number of a process."""


@dataclass
class Observer:
    """A starter whose clock we turn; it starts no jobs.

    Args:
        bench: what it looks after. now: seconds.
    """

    bench: Workbench
    now: float = 0.0
    starter: Starter = field(init=False)

    def __post_init__(self) -> None:
        settings = ServerSettings(self.bench.home, slots=Slots(cpu=0, aside=0))
        self.starter = Starter(settings, self.bench.queue, Watch(lambda: self.now))

    def looks(self, seconds: float) -> None:
        """Look all the time for so long."""
        for _ in range(int(seconds / STEP) + 1):
            self.starter.look()
            self.now += STEP


@pytest.fixture
def observer(bench: Workbench) -> Observer:
    return Observer(bench)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives and says nothing, with a child of its own."""
    program = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    started = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, stdout=subprocess.PIPE)
    yield started
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.communicate()


def claimed(queue: Queue, **fields: Any) -> Job:
    queue.add(**({"kind": "dataset", "title": "t", "payload": {}} | fields))
    job = queue.claim(Slots(cpu=9, gpu=9, aside=9))
    assert job is not None
    return job


def running(queue: Queue, process: int, started: float | None = None, **fields: Any) -> Job:
    """A job that this process works on."""
    job = claimed(queue, **fields)
    since = psutil.Process(process).create_time() if started is None else started
    identity = identity_of(process) if started is None else None
    begun = queue.begin(job.id or 0, job.claim or "", process=process, started=since, identity=identity)
    assert begun is not None
    return begun


def found(bench: Workbench, job: Job) -> Job:
    return bench.queue.get(job.id or 0)


def is_gone(process: int) -> bool:
    end = time.monotonic() + 20
    while psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


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


def test_a_job_that_ended_while_the_database_was_away_is_found_with_its_result(
    bench: Workbench, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process gives up after a while; what it wrote to disk tells the next server."""
    job = running(bench.queue, NOBODY, 1.0, kind="forecast")
    number, claim = job.id or 0, job.claim or ""
    write_ending(bench.home, number, claim, Outcome("done", result={"seconds": 2.5}))
    observer.looks(0)
    ended = found(bench, job)
    assert (ended.state, ended.error, ended.result) == ("done", None, {"seconds": 2.5})
    assert read_ending(bench.home, number, claim) is None  # the database knows it now


def test_the_ending_of_another_job_of_that_number_is_not_taken(bench: Workbench, observer: Observer) -> None:
    """The database was moved away, and numbers began anew."""
    job = running(bench.queue, NOBODY, 1.0, kind="forecast")
    write_ending(bench.home, job.id or 0, "another", Outcome("done"))
    observer.looks(0)
    assert found(bench, job).state == "failed"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"claim": "CLAIM", "state": "running", "error": null}'])
def test_a_damaged_ending_is_none(bench: Workbench, observer: Observer, content: str) -> None:
    job = running(bench.queue, NOBODY, 1.0, kind="forecast")
    bench.home.jobs.mkdir(exist_ok=True)
    (bench.home.jobs / f"{job.id}.ended.json").write_text(content.replace("CLAIM", job.claim or ""))
    observer.looks(0)
    assert found(bench, job).state == "failed"


def test_a_run_that_is_done_makes_its_job_done(bench: Workbench, observer: Observer) -> None:
    """Its process was killed after the last word to the run and before that to the queue."""
    job = running(bench.queue, NOBODY, 1.0, kind="train", payload={"run": "first"}, subject="run:first")
    observer.looks(0)
    ended = found(bench, job)
    assert (ended.state, ended.error, ended.progress) == ("done", None, 1.0)
    assert ended.result is not None
    assert ended.result["run"] == "first"
    assert ended.result["mean_iou"] > 0


@pytest.mark.parametrize("content", ["[]", "{}", '{"scores": []}', '{"scores": {"mean_iou": "high"}}'])
def test_a_run_that_is_done_makes_its_job_done_whatever_its_report_holds(
    bench: Workbench, observer: Observer, content: str
) -> None:
    (bench.home.run("first") / "report" / "scores.json").write_text(content)
    job = running(bench.queue, NOBODY, 1.0, kind="train", payload={"run": "first"}, subject="run:first")
    observer.looks(0)
    assert (found(bench, job).state, found(bench, job).result) == ("done", {"run": "first", "mean_iou": None})


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


def test_a_run_tells_how_its_job_failed_if_that_job_said_so(bench: Workbench) -> None:
    directory = bench.home.run("first")
    status = Status.now("failed", read_status(directory), error="no space left on the disk")
    write_status(directory, status)
    own = Job(kind="train", title="t", payload={"run": "first"}, process=status.process, identity=status.identity)
    said = outcome_of(bench.home, own)
    assert said is not None
    assert (said.state, said.error) == ("failed", "no space left on the disk")
    own.identity = "an-earlier-one.1"  # said it
    assert outcome_of(bench.home, own) is None


def test_a_dataset_that_was_written_makes_its_job_done(bench: Workbench, scenes: Path) -> None:
    job = Job(kind="dataset", title="t", payload={"name": "new"}, begun=time.time())
    assert outcome_of(bench.home, job) is None
    Dataset.from_folders(scenes, name="new").save(bench.home)
    made = outcome_of(bench.home, job)
    assert made is not None
    assert (made.state, made.result) == ("done", {"dataset": "new", "images": 16})
    job.begun = time.time() + 60  # it was there before
    assert outcome_of(bench.home, job) is None


def test_an_evaluation_tells_whether_it_is_done(bench: Workbench) -> None:
    asked = StoredEvaluation(model="first", kind="run", created=now(), dataset="streets", split="val")
    job = Job(kind="evaluate", title="t", payload={"name": add_stored(bench.home, asked, "waits")})
    assert outcome_of(bench.home, job) is None
    done = asked.model_copy(update={"done": True, "mean_iou": 0.5})
    job.payload = {"name": add_stored(bench.home, done, "done")}
    ended = outcome_of(bench.home, job)
    assert ended is not None
    assert (ended.state, ended.result and ended.result["mean_iou"]) == ("done", 0.5)


SETTINGS = ServerSettings(Workspace(Path("/data/fullconv")))


def environment(job: Job, own: dict[str, str], *, beside: bool = False) -> dict[str, str]:
    return environment_of(job, SETTINGS, own, beside=beside, cores=16)


def test_a_job_on_a_card_sees_that_card_and_all_others_see_none() -> None:
    def visible(kind: str, slot: int, own: dict[str, str]) -> str:
        job = Job(kind="train", title="t", slot_kind=kind, slot=slot, claim="c")
        return environment(job, own)["CUDA_VISIBLE_DEVICES"]

    assert visible("gpu", 1, {}) == "1"
    assert visible("gpu", 1, {"CUDA_VISIBLE_DEVICES": "3, 5"}) == "5"
    assert visible("gpu", 0, {"CUDA_VISIBLE_DEVICES": "GPU-8a7e"}) == "GPU-8a7e"
    assert visible("cpu", 0, {}) == visible("aside", 0, {"CUDA_VISIBLE_DEVICES": "3"}) == ""


def test_work_beside_trainings_takes_few_threads() -> None:
    aside = Job(kind="evaluate", title="t", slot_kind="aside", slot=0, claim="c")
    assert environment(aside, {}, beside=True)["OMP_NUM_THREADS"] == "4"
    assert "OMP_NUM_THREADS" not in environment(aside, {})
    assert environment(aside, {"OMP_NUM_THREADS": "9"}, beside=True)["OMP_NUM_THREADS"] == "9"
    for kind, slot_kind in (("train", "cpu"), ("forecast", "aside")):
        job = Job(kind=kind, title="t", slot_kind=slot_kind, slot=0, claim="c")
        assert "OMP_NUM_THREADS" not in environment(job, {}, beside=True)


def test_a_token_is_not_handed_to_jobs() -> None:
    job = Job(kind="train", title="t", slot_kind="cpu", slot=0, claim="c")
    assert "FULLCONV_TOKEN" not in environment(job, {"FULLCONV_TOKEN": "secret-secret-secret"})
