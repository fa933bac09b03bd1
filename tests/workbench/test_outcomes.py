"""What is found of jobs whose processes are gone: what they wrote last, and the files that they worked on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fullconv.data.dataset import Dataset
from fullconv.errors import StorageError
from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench import stored
from fullconv.workbench.jobs.endings import read_ending, write_ending
from fullconv.workbench.jobs.outcomes import Outcome, outcome_of
from fullconv.workbench.stored import StoredEvaluation, add_stored, now
from fullconv.workbench.tables import Job
from fullconv.workbench.workbench import Workbench
from workbench.observed_jobs import NOBODY, Observer, found, running


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


def test_what_cannot_be_written_leaves_no_folder(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageError("no space left on the disk")

    monkeypatch.setattr(stored, "write_document", full)
    asked = StoredEvaluation(model="first", kind="run", created=now(), dataset="streets", split="val")
    with pytest.raises(StorageError):
        add_stored(bench.home, asked, "waits")
    assert list(bench.home.root.glob("*/*waits*")) == []
