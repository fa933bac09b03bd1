"""Runs that wait: together with their jobs, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from fullconv.errors import FullconvError
from fullconv.training.fit import plan_run
from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench.database import writing
from fullconv.workbench.jobs.adding import Adding, adding
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.jobs.waiting_runs import FORGOTTEN_SECONDS, NEVER_QUEUED, planning, settle_forgotten
from fullconv.workbench.jobs.watch import Watch
from fullconv.workbench.refusals import Busy
from fullconv.workbench.services.evaluations import EvaluationWish, evaluate_model
from fullconv.workbench.services.run_starting import resume_run, start_runs
from fullconv.workbench.settings import Slots
from fullconv.workbench.stored import StoredEvaluation, add_stored, directory_of, now
from fullconv.workbench.tables import CatalogueEntry
from fullconv.workbench.workbench import Workbench
from workbench.conftest import QUICK

PLAN = {"dataset": "streets", **QUICK}
Settle = Callable[[float], list[str]]


@pytest.fixture
def settle(bench: Workbench) -> Settle:
    """Looks, and looks again so many seconds later; names of runs that were settled."""
    clock = [0.0]
    watch = Watch(lambda: clock[0])

    def look(seconds: float) -> list[str]:
        bench.catalogue.refresh()
        settled = []
        for wait in (0.0, seconds):
            clock[0] += wait
            watch.look()
            settled += settle_forgotten(bench.home, bench.queue, watch)
        return settled

    return look


def waiting(bench: Workbench) -> Path:
    """A run whose server was killed before it came into the queue."""
    return plan_run("streets", QUICK, workspace=bench.home)


LATER = FORGOTTEN_SECONDS + 1


def test_a_run_that_never_came_into_the_queue_is_settled_and_can_go_on(bench: Workbench, settle: Settle) -> None:
    directory = waiting(bench)
    assert settle(FORGOTTEN_SECONDS - 1) == []
    assert settle(LATER) == [directory.name]
    status = read_status(directory)
    assert (status.state, status.error, status.process) == ("failed", NEVER_QUEUED, 0)
    assert settle(LATER) == []
    resume_run(bench, directory.name)
    assert read_status(directory).state == "queued"
    assert settle(LATER) == []  # now it has a job


def test_a_run_is_not_settled_while_somebody_plans(bench: Workbench, settle: Settle) -> None:
    directory = waiting(bench)
    with planning(bench.home), planning(bench.home):
        assert settle(LATER) == []
    assert settle(LATER) == [directory.name]


def test_a_run_whose_job_was_ended_and_nobody_told_it_gets_that_end(bench: Workbench, settle: Settle) -> None:
    """Killed between the queue and the run's folder."""
    names = [start_runs(bench, PLAN | {"seed": seed}).runs[0] for seed in (1, 2)]
    bench.queue.abort(1)
    assert bench.queue.claim(Slots(cpu=1)) is not None
    bench.queue.end(2, bench.queue.get(2).claim or "", "failed", error="the reason")
    assert settle(LATER) == sorted(names)
    first, second = (read_status(bench.home.run(name)) for name in names)
    assert (first.state, first.error) == ("aborted", None)
    assert (second.state, second.error) == ("failed", "the reason")


@pytest.mark.parametrize("heartbeat", ["yesterday", "2026-01-02T09:00:00"])
def test_a_run_with_a_damaged_status_keeps_no_other_one_waiting(
    bench: Workbench, settle: Settle, heartbeat: str
) -> None:
    names = [start_runs(bench, PLAN | {"seed": seed}).runs[0] for seed in (1, 2)]
    for number in (1, 2):
        bench.queue.abort(number)
    bench.catalogue.refresh()
    file = bench.home.run(min(names)) / "status.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"heartbeat": heartbeat}))
    with writing(bench.engine) as session:  # the catalogue knows it from before
        session.connection().execute(update(CatalogueEntry).values(state="queued"))
    clock = [0.0]
    watch = Watch(lambda: clock[0])
    watch.look()
    settle_forgotten(bench.home, bench.queue, watch)
    clock[0] += LATER
    watch.look()
    assert settle_forgotten(bench.home, bench.queue, watch) == [max(names)]


def test_a_run_stays_that_came_into_the_queue_though_the_answer_was_lost(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def adding_unheard(queue: Queue) -> Iterator[Adding]:
        with adding(queue.engine) as step:
            yield step
        raise Busy("cannot be used just now")

    monkeypatch.setattr(Queue, "adding", adding_unheard)
    wish = EvaluationWish(model="first", dataset="streets")
    for ask in (
        lambda: start_runs(bench, PLAN),
        lambda: start_runs(bench, PLAN | {"seed": [1, 2], "group": "seeds"}),
        lambda: evaluate_model(bench, wish),
    ):
        with pytest.raises(Busy):
            ask()
    jobs = bench.queue.jobs()
    assert len(jobs) == 5
    for job in jobs:
        kind, _, name = (job.subject or "").partition(":")
        if kind == "run":
            assert read_status(bench.home.run(name)).state == "queued"
        elif kind == "evaluation":
            assert directory_of(bench.home, StoredEvaluation, name).is_dir()


def test_a_run_that_a_shell_prepares_is_let_alone(bench: Workbench, settle: Settle) -> None:
    directory = waiting(bench)
    write_status(directory, Status.now("queued", read_status(directory)))
    assert settle(LATER) == []
    assert read_status(directory).state == "queued"


def test_a_group_comes_into_the_queue_whole(bench: Workbench) -> None:
    started = start_runs(bench, PLAN | {"seed": [1, 2], "group": "seeds"})
    assert started.closing is not None
    assert started.closing.after == [job.id for job in started.jobs] == [1, 2]
    assert started.closing.device == "either"


def test_a_group_that_is_refused_leaves_nothing(bench: Workbench) -> None:
    start_runs(bench, PLAN | {"seed": [1, 2], "group": "seeds"})
    before = sorted(bench.home.runs.iterdir())
    with pytest.raises(FullconvError, match="open already"):
        start_runs(bench, PLAN | {"seed": [3, 4], "group": "seeds"})
    assert sorted(bench.home.runs.iterdir()) == before
    assert len(bench.queue.jobs()) == 3


def test_a_run_that_goes_on_lets_its_group_be_summed_up_again(bench: Workbench) -> None:
    started = start_runs(bench, PLAN | {"seed": [1, 2], "group": "seeds"})
    for number in (1, 2, 3):
        bench.queue.abort(number)
    for name in started.runs:
        directory = bench.home.run(name)
        write_status(directory, Status.now("aborted", read_status(directory)).model_copy(update={"process": 0}))
    first = resume_run(bench, started.runs[0])
    closing = bench.queue.jobs(subject="group:seeds", limit=1)[0]
    assert (closing.state, closing.after) == ("queued", [first.id])
    second = resume_run(bench, started.runs[1])
    assert bench.queue.get(closing.id or 0).after == [first.id, second.id]


def test_an_evaluation_without_a_job_says_so_and_can_be_deleted(bench: Workbench, client: TestClient) -> None:
    """Its server was killed before it came into the queue."""
    asked = StoredEvaluation(model="first", kind="run", created=now(), dataset="streets", split="val")
    name = add_stored(bench.home, asked, "first-on-streets")
    view = client.get(f"/api/v1/evaluations/{name}").json()
    assert (view["done"], view["job"]) == (False, None)
    assert client.delete(f"/api/v1/evaluations/{name}").status_code == 204


def test_an_evaluation_is_followed_by_its_latest_job(bench: Workbench, client: TestClient) -> None:
    wish = {"model": "first", "dataset": "streets", "split": "val"}
    job = client.post("/api/v1/evaluations", json=wish).json()
    assert job["device"] == "either"
    name = job["subject"].partition(":")[2]
    bench.queue.abort(job["id"])
    again = client.post(f"/api/v1/jobs/{job['id']}/retry").json()
    assert client.get(f"/api/v1/evaluations/{name}").json()["job"] == again["id"]
    assert [entry["job"] for entry in client.get("/api/v1/evaluations").json()] == [again["id"]]
