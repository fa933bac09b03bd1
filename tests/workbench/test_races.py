"""Several who want the same at the same moment, on one server or on two: one gets it, the others get a sentence."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fullconv import files
from fullconv.data.dataset import Dataset
from fullconv.errors import FullconvError
from fullconv.training.fit import plan_run
from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench import database
from fullconv.workbench.annotations import Annotations
from fullconv.workbench.api.problems import problem_of
from fullconv.workbench.application import create_app
from fullconv.workbench.jobs import waiting_runs
from fullconv.workbench.jobs.waiting_runs import planning, planning_group, settle_ended, taking_away
from fullconv.workbench.refusals import Busy, Conflict, NotThere
from fullconv.workbench.services.datasets import delete_dataset
from fullconv.workbench.services.evaluations import EvaluationWish, delete_evaluation, evaluate_model
from fullconv.workbench.services.jobs import abort_job
from fullconv.workbench.services.models import ModelChange, annotate_model, change_model, copy_model, delete_model
from fullconv.workbench.services.plans import view_plan
from fullconv.workbench.services.run_ending import abort_run, delete_run
from fullconv.workbench.services.run_starting import Started, resume_run, start_runs
from fullconv.workbench.services.weights import delete_weights
from fullconv.workbench.settings import ServerSettings, Slots
from fullconv.workbench.stored import StoredEvaluation, add_stored, now, read_stored
from fullconv.workbench.workbench import Workbench
from workbench.conftest import BASE, QUICK

PLAN = {"dataset": "streets", **QUICK}
SOON = 0.5
"""Seconds in which a thread comes as far as it can while others hold the database."""


@pytest.fixture
def other(bench: Workbench) -> Iterator[Workbench]:
    """Another server on the same workspace."""
    made = Workbench(ServerSettings(bench.home, slots=Slots(cpu=1)))
    yield made
    made.engine.dispose()


@pytest.fixture
def stopped(bench: Workbench) -> str:
    """A run that was aborted before it began."""
    (name,) = start_runs(bench, PLAN).runs
    abort_run(bench, name)
    return name


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What they return, or the errors of ours that they raise."""
    barrier = threading.Barrier(len(acts))

    def act(one: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return one()
        except FullconvError as problem:
            return problem

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(act, acts))


def meanwhile(bench: Workbench, act: Callable[[], Any], others: Callable[[Any], None]) -> Any:
    """What comes of an act while others are about to change what it has looked at: the error of ours, or its result."""
    with ThreadPoolExecutor(1) as pool:
        with bench.queue.adding() as step:
            going: Future[Any] = pool.submit(act)
            threading.Event().wait(SOON)
            others(step)
        return going.exception(timeout=60) or going.result()


def refused(problem: Any) -> None:
    assert isinstance(problem, FullconvError), problem
    assert problem_of(problem).status == 409, problem


def test_of_two_who_let_a_run_go_on_one_does(bench: Workbench, other: Workbench, stopped: str) -> None:
    for _ in range(5):
        before = len(bench.queue.jobs())
        found = at_once(
            lambda: resume_run(bench, stopped), lambda: resume_run(other, stopped), lambda: resume_run(bench, stopped)
        )
        assert len(bench.queue.jobs()) == before + 1
        problems = [one for one in found if isinstance(one, FullconvError)]
        assert len(problems) == 2
        for problem in problems:
            refused(problem)
        assert read_status(bench.home.run(stopped)).state == "queued"
        abort_run(bench, stopped)


def test_two_clicks_are_one_run_that_goes_on(bench: Workbench, stopped: str) -> None:
    client = TestClient(create_app(bench, pages=False), base_url=BASE)
    answers = at_once(*[lambda: client.post(f"/api/v1/runs/{stopped}/resume")] * 2)
    assert sorted(answer.status_code for answer in answers) == [202, 409]


def test_a_run_that_another_server_finished_meanwhile_stays_done(bench: Workbench, stopped: str) -> None:
    directory = bench.home.run(stopped)

    def finished(step: Any) -> None:
        write_status(directory, Status.now("done", read_status(directory)).of_nobody())

    problem = meanwhile(bench, lambda: resume_run(bench, stopped), finished)
    assert isinstance(problem, Conflict)
    assert "is done" in str(problem)
    assert read_status(directory).state == "done"
    assert len(bench.queue.jobs()) == 1


def test_a_run_that_is_deleted_meanwhile_gets_no_job(bench: Workbench, stopped: str) -> None:
    directory = bench.home.run(stopped)
    problem = meanwhile(bench, lambda: resume_run(bench, stopped), lambda _: directory.rename(bench.home.root / "gone"))
    assert isinstance(problem, NotThere)
    assert len(bench.queue.jobs()) == 1


def test_a_run_that_goes_on_meanwhile_is_not_deleted(bench: Workbench, stopped: str) -> None:
    def resumed(step: Any) -> None:
        step.job("train", title="t", payload={"run": stopped}, subject=f"run:{stopped}")

    refused(meanwhile(bench, lambda: delete_run(bench, stopped), resumed))
    assert (bench.home.run(stopped) / "experiment.yaml").is_file()


def test_one_who_resumes_and_one_who_deletes_are_never_both_told_yes(
    bench: Workbench, other: Workbench, stopped: str
) -> None:
    resumed, deleted = at_once(lambda: resume_run(bench, stopped), lambda: delete_run(other, stopped))
    is_there = (bench.home.run(stopped) / "experiment.yaml").is_file()
    if deleted is None:
        assert not is_there
        assert isinstance(resumed, FullconvError)
        assert len(bench.queue.jobs()) == 1
    else:
        refused(deleted)
        assert is_there
        assert bench.queue.get(resumed.id).state == "queued"


def test_a_run_that_goes_on_again_is_not_marked_as_aborted_by_who_was_slow(bench: Workbench, stopped: str) -> None:
    """Aborted in the queue; before its folder was told, somebody let it go on."""
    job = resume_run(bench, stopped)
    bench.queue.abort(job.id)
    directory = bench.home.run(stopped)
    write_status(directory, Status.now("aborted", read_status(directory)).of_nobody())
    resume_run(bench, stopped)
    settle_ended(bench.home, bench.queue, f"run:{stopped}", "aborted", None)
    assert read_status(directory).state == "queued"


def test_resume_and_abort_at_once_leave_a_run_and_its_job_of_one_mind(
    bench: Workbench, other: Workbench, stopped: str
) -> None:
    for _ in range(5):
        at_once(lambda: resume_run(bench, stopped), lambda: abort_run(other, stopped))
        last = bench.queue.jobs(limit=1)[0]
        assert read_status(bench.home.run(stopped)).state == last.state
        if last.state == "queued":
            abort_job(bench, last.id or 0)


def test_an_evaluation_that_is_done_again_meanwhile_is_not_deleted(bench: Workbench) -> None:
    asked = StoredEvaluation(model="first", kind="run", created=now(), dataset="streets", split="val")
    name = add_stored(bench.home, asked, "first-on-streets")

    def repeated(step: Any) -> None:
        step.job("evaluate", title="t", payload={"name": name}, subject=f"evaluation:{name}")

    refused(meanwhile(bench, lambda: delete_evaluation(bench, name), repeated))
    assert read_stored(bench.home, StoredEvaluation, name) == asked


def test_a_database_that_others_keep_locked_is_busy_and_no_error(
    bench: Workbench, stopped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
    impatient = Workbench(bench.settings)
    client = TestClient(create_app(impatient, pages=False), base_url=BASE)
    with bench.queue.adding():
        answer = client.post(f"/api/v1/runs/{stopped}/resume")
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True), answer.text
        assert "cannot be used just now" in answer.json()["detail"]
        assert client.get(f"/api/v1/runs/{stopped}").status_code == 200  # readers do not wait for writers
    assert client.post(f"/api/v1/runs/{stopped}/resume").status_code == 202
    impatient.engine.dispose()


def test_of_two_who_ask_for_a_group_one_gets_it(bench: Workbench, other: Workbench) -> None:
    wish = PLAN | {"seed": [1, 2], "group": "seeds"}
    found = at_once(lambda: start_runs(bench, wish), lambda: start_runs(other, wish))
    (started,) = [one for one in found if isinstance(one, Started)]
    (problem,) = [one for one in found if isinstance(one, FullconvError)]
    refused(problem)
    assert len(started.jobs) == 2
    assert len(bench.queue.jobs()) == 3
    assert sorted(path.name for path in bench.home.runs.iterdir()) == sorted(["first", *started.runs])
    for name in started.runs:
        assert read_status(bench.home.run(name)).state == "queued"


def test_a_group_that_is_being_planned_is_not_planned_twice(bench: Workbench) -> None:
    wish = PLAN | {"seed": [1, 2]}
    with planning_group(bench.home, "streets-seed"), pytest.raises(Conflict, match="being planned already"):
        start_runs(bench, wish)
    with planning_group(bench.home, "another"):
        assert start_runs(bench, wish).group == "streets-seed"


def test_runs_that_begin_in_the_same_second_get_names_of_their_own(bench: Workbench, other: Workbench) -> None:
    found = at_once(*[lambda: start_runs(bench, PLAN), lambda: start_runs(other, PLAN)] * 2)
    assert not [str(one) for one in found if isinstance(one, FullconvError)]
    names = {name for one in found for name in one.runs}
    assert len(names) == 4
    assert {job.subject for job in bench.queue.jobs()} == {f"run:{name}" for name in names}


def test_plans_are_looked_at_by_many_at_once(bench: Workbench) -> None:
    def looked_at() -> Any:
        view = view_plan(bench, PLAN)
        assert view.memory is not None
        return view.model_copy(update={"memory": view.memory.batches})  # what is free changes all the time

    alone = looked_at()
    assert at_once(looked_at, looked_at) == [alone, alone]


@pytest.mark.parametrize(("field", "values"), [("group", ["one", "other"]), ("dataset", ["streets", "streets"])])
def test_what_all_runs_of_a_group_share_is_no_list(bench: Workbench, field: str, values: list[str]) -> None:
    client = TestClient(create_app(bench, pages=False), base_url=BASE)
    for path in ("/api/v1/runs", "/api/v1/plans"):
        answer = client.post(path, json={"experiment": PLAN | {"seed": [1, 2], field: values}})
        assert answer.status_code == 422, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == [field]


def planned(bench: Workbench, **settings: Any) -> str:
    return plan_run("streets", QUICK | settings, workspace=bench.home).name


Needed = dict[str, tuple[Callable[[], Any], Callable[[], Any]]]


@pytest.fixture
def needed(bench: Workbench, client: TestClient, scenes: Path) -> Needed:
    """What can be needed → how it is deleted, and how a run is planned that needs it."""
    package = bench.home.run("first") / "model"
    Dataset.from_folders(scenes, name="few").save(bench.home)
    copy_model(bench, "first", "stored")
    content = (package / "model.safetensors").read_bytes()
    assert client.post("/api/v1/weights", params={"file": "start.safetensors"}, content=content).status_code == 201
    return {
        "dataset": (lambda: delete_dataset(bench, "few"), lambda: plan_run("few", QUICK, workspace=bench.home).name),
        "model": (lambda: delete_model(bench, "stored"), lambda: planned(bench, weights="stored")),
        "another name": (
            lambda: change_model(bench, "stored", ModelChange(name="renamed")),
            lambda: planned(bench, weights="stored"),
        ),
        "weights": (lambda: delete_weights(bench, "start"), lambda: planned(bench, weights="start")),
        "run": (lambda: delete_run(bench, "first"), lambda: planned(bench, weights="first")),
    }


@pytest.mark.parametrize("what", ["dataset", "model", "another name", "weights", "run"])
def test_who_deletes_waits_for_those_who_plan(bench: Workbench, needed: Needed, what: str) -> None:
    delete, plan = needed[what]
    with ThreadPoolExecutor(1) as pool:
        with planning(bench.home):
            going = pool.submit(delete)
            with pytest.raises(TimeoutError):
                going.result(timeout=SOON)
            name = plan()
        problem = going.exception(timeout=60)
    refused(problem)
    assert name in str(problem)


def test_nobody_plans_while_something_is_taken_away(bench: Workbench) -> None:
    with ThreadPoolExecutor(2) as pool:
        with taking_away(bench.home):
            asks = (
                lambda: start_runs(bench, PLAN),
                lambda: evaluate_model(bench, EvaluationWish(model="first", dataset="streets")),
            )
            going = [pool.submit(ask) for ask in asks]
            threading.Event().wait(SOON)
            assert (bench.queue.jobs(), [one.done() for one in going]) == ([], [False, False])
        for one in going:
            one.result(timeout=60)
    assert len(bench.queue.jobs()) == 2


def test_who_deletes_does_not_wait_for_ever(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_runs, "PATIENCE_SECONDS", 0.1)
    with planning(bench.home), pytest.raises(Busy, match="are being planned"):
        delete_run(bench, "first")
    assert bench.home.run("first").is_dir()


@pytest.mark.parametrize("what", ["notes", "licence", "status"])
def test_what_is_deleted_while_it_is_written_stays_deleted(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    copy_model(bench, "first", "stored")
    directory = bench.home.run("first") if what == "status" else bench.home.model("stored")
    status = read_status(bench.home.run("first"))
    real = files.secrets.token_hex

    def deleted(bytes_: int) -> str:
        shutil.rmtree(directory, ignore_errors=True)
        return real(bytes_)

    acts: dict[str, Callable[[], object]] = {
        "notes": lambda: annotate_model(bench, "stored", Annotations(note="mine")),
        "licence": lambda: change_model(bench, "stored", ModelChange(licence="MIT")),
        "status": lambda: write_status(directory, status),
    }
    monkeypatch.setattr(files.secrets, "token_hex", deleted)
    with pytest.raises(FullconvError, match="its folder is gone"):
        acts[what]()
    assert not directory.exists()
