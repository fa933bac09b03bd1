"""Runs by REST: begun, stopped, gone on with, cloned, deleted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench.jobs.kinds import KINDS, JobContext
from fullconv.workbench.jobs.reporting import Reporter
from fullconv.workbench.settings import Slots
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from workbench.conftest import QUICK
from workbench.rest_of_runs import QUICK_PLAN, RUNS, get, refused


def start(client: TestClient, **changes: Any) -> Any:
    answer = client.post(RUNS, json={"experiment": QUICK_PLAN | changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


def do_next(bench: Workbench) -> int:
    """Do the next job here and now, as a worker would in a process of its own."""
    job = bench.queue.claim(Slots(cpu=1))
    assert job is not None
    assert job.id is not None
    assert job.claim is not None
    bench.queue.begin(job.id, job.claim, process=os.getpid(), started=1.0)
    try:
        result = KINDS[job.kind](job.payload, JobContext(bench.home, Reporter(bench.queue, job.id, job.claim)))
        bench.queue.end(job.id, job.claim, "done", result=result)
    except Exception as problem:
        bench.queue.end(job.id, job.claim, "failed", error=str(problem))
    return job.id


def test_a_run_is_begun_stopped_and_gone_on_with(client: TestClient, bench: Workbench) -> None:
    started = start(client)
    (name,) = started["runs"]
    (job,) = started["jobs"]
    assert (job["kind"], job["subject"], job["device"]) == ("train", f"run:{name}", "cpu")
    assert get(client, name)["state"] == "queued"
    refused(client.post(f"{RUNS}/{name}/resume"), 409, "waits in the queue")
    refused(client.delete(f"{RUNS}/{name}"), 409, "abort it first")
    assert client.post(f"{RUNS}/{name}/abort").json()["state"] == "aborted"
    refused(client.post(f"{RUNS}/{name}/abort"), 409, "the run is aborted")
    again = client.post(f"{RUNS}/{name}/resume", json={"learning_rate": 0.002})
    assert again.status_code == 202
    assert get(client, name)["state"] == "queued"
    assert do_next(bench) == again.json()["id"]
    found = get(client, name)
    assert found["state"] == "done"
    assert [change["state"] for change in found["history"]] == ["queued", "aborted", "queued", "running", "done"]
    plan = yaml.safe_load((bench.home.runs / name / "experiment.yaml").read_text())
    assert plan["optimization"]["learning_rate"] == 0.002
    assert any("was changed from" in warning["sentence"] for warning in found["warnings"])
    refused(client.post(f"{RUNS}/{name}/resume"), 409, "the run is done")
    assert client.delete(f"{RUNS}/{name}").status_code == 204
    assert not (bench.home.runs / name).exists()


def test_a_wrong_plan_begins_nothing(client: TestClient, bench: Workbench) -> None:
    answer = client.post(RUNS, json={"experiment": QUICK_PLAN | {"crop": [8, 8], "network": "fcn8s-squeezenet1_1"}})
    refused(answer, 422, "crop")
    assert answer.json()["errors"][0]["field"] == "crop"
    assert [path.name for path in bench.home.runs.iterdir()] == ["first"]
    assert bench.queue.jobs() == []


def test_a_run_whose_job_cannot_begin_it_says_so(client: TestClient, bench: Workbench) -> None:
    (name,) = start(client)["runs"]
    plan = bench.home.runs / name / "experiment.yaml"
    plan.write_text(plan.read_text().replace("dataset: streets", "dataset: gone"))
    do_next(bench)
    found = get(client, name)
    assert found["state"] == "failed"
    assert "gone" in found["error"]
    assert found["resumable"]


def test_lists_make_a_group_that_is_summed_up_when_all_have_ended(client: TestClient, bench: Workbench) -> None:
    started = start(client, seed=[0, 1], group="seeds", epochs=1)
    assert started["group"] == "seeds"
    assert started["closing"]["after"] == [job["id"] for job in started["jobs"]]
    first, second = started["runs"]
    do_next(bench)
    client.post(f"{RUNS}/{second}/abort")
    assert do_next(bench) == started["closing"]["id"]
    closed = bench.queue.get(started["closing"]["id"])
    assert closed.state == "done"
    assert closed.result == {"group": "seeds", "runs": [first], "best": first, "missing": [second], "ensemble": None}
    job = client.post(f"{RUNS}/{second}/resume").json()
    (closing,) = bench.queue.jobs(states=("queued",), subject="group:seeds")
    assert closing.after == [job["id"]]
    do_next(bench)
    do_next(bench)
    assert bench.queue.get(closing.id or 0).result["runs"] == [first, second]  # type: ignore[index]
    more = start(client, seed=[0, 1, 2], group="seeds", epochs=1)
    assert more["runs"][:2] == [first, second]
    assert len(more["jobs"]) == 1


def test_the_plan_of_a_run_is_the_start_of_another_one(client: TestClient, bench: Workbench) -> None:
    found = get(client, "first/experiment")
    assert yaml.safe_load(found["yaml"]) == found["experiment"]
    assert found["experiment"]["dataset"] == "streets"
    assert "format" not in found["experiment"]
    again = client.post(f"{RUNS}/first/retry")
    assert again.status_code == 201
    (name,) = again.json()["runs"]
    one, other = (yaml.safe_load((bench.home.runs / run / "experiment.yaml").read_text()) for run in ("first", name))
    assert {name for name in one if one[name] != other[name]} <= {"device", "workers"}  # which are decided anew


def test_what_others_need_is_not_deleted(client: TestClient, bench: Workbench) -> None:
    (name,) = start(client, weights="first")["runs"]
    refused(client.delete(f"{RUNS}/first"), 409, f"needed by run {name}")
    client.post(f"{RUNS}/{name}/abort")
    assert client.delete(f"{RUNS}/{name}").status_code == 204
    import shutil

    shutil.copytree(bench.home.runs / "first" / "model", bench.home.models / "published")
    refused(client.delete(f"{RUNS}/first"), 409, "needed by model published")
    shutil.rmtree(bench.home.models / "published")
    assert client.delete(f"{RUNS}/first").status_code == 204
    assert client.get(RUNS).json()["total"] == 0


def test_tags_and_notes_lie_in_the_folder(client: TestClient, bench: Workbench) -> None:
    answer = client.put(f"{RUNS}/first/annotations", json={"tags": ["paper", "<b>"], "note": "the *best*"})
    assert answer.status_code == 200
    assert get(client, "first")["tags"] == ["paper", "<b>"]
    assert "the *best*" in (bench.home.runs / "first" / "notes.yaml").read_text()
    assert [entry["name"] for entry in client.get("/api/v1/lists/run", params={"tag": "paper"}).json()["entries"]] == [
        "first"
    ]
    assert client.put(f"{RUNS}/first/annotations", json={"tags": ["x" * 99]}).status_code == 422


def test_a_run_of_a_shell_is_shown_and_stopped_as_any_other(
    client: TestClient, home: Workspace, tmp_path: Path
) -> None:
    settings = [f"--set={key}={value}" for key, value in (QUICK | {"epochs": 400}).items()]
    command = [sys.executable, "-m", "fullconv", "train", "streets", "--workspace", str(home.root), *settings]
    with (tmp_path / "shell.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
    end = time.monotonic() + 120
    while not (found := [path for path in home.runs.glob("*/checkpoints/last.ckpt") if "first" not in path.parts]):
        assert process.poll() is None, (tmp_path / "shell.log").read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    name = found[0].parent.parent.name
    shown = get(client, name)
    assert (shown["state"], shown["job"], shown["can_abort"]) == ("running", None, True)
    assert shown["hardware"]["process"] == process.pid
    assert shown["hardware"]["memory"] > 50_000_000
    refused(client.delete(f"{RUNS}/{name}"), 409, "going on")
    assert client.post(f"{RUNS}/{name}/abort").status_code == 202
    assert process.wait(timeout=60) == 128 + signal.SIGINT
    assert get(client, name)["state"] == "aborted"
    assert get(client, name)["resumable"]


def test_only_the_right_process_is_interrupted(client: TestClient, home: Workspace) -> None:
    directory = home.runs / "first"
    elsewhere = Status.now("running", read_status(directory)).model_copy(update={"host": "elsewhere"})
    write_status(directory, elsewhere)
    refused(client.post(f"{RUNS}/first/abort"), 409, "goes on on elsewhere")
    another = elsewhere.model_copy(update={"host": socket.gethostname(), "identity": "another"})
    write_status(directory, another)
    refused(client.post(f"{RUNS}/first/abort"), 409, "the run is killed")
    assert get(client, "first")["state"] == "killed"


def test_a_workbench_for_showing_changes_nothing(home: Workspace) -> None:
    from fullconv.workbench.application import create_app
    from fullconv.workbench.settings import ServerSettings
    from workbench.conftest import BASE

    shown = Workbench(ServerSettings(home, read_only=True))
    client = TestClient(create_app(shown, pages=False), base_url=BASE)
    requests = [
        ("POST", "", {"experiment": QUICK_PLAN}),
        ("POST", "/first/abort", None),
        ("POST", "/first/resume", None),
        ("POST", "/first/retry", None),
        ("DELETE", "/first", None),
        ("PUT", "/first/annotations", {"note": "x"}),
    ]
    for method, path, body in requests:
        refused(client.request(method, RUNS + path, json=body), 403, "can only be looked at")
    refused(client.post("/api/v1/plans/forecast", json={"experiment": QUICK_PLAN}), 403, "only be looked at")
    assert client.post("/api/v1/plans", json={"experiment": QUICK_PLAN}).status_code == 200
    shown.engine.dispose()


@pytest.mark.parametrize("rate", [0, -1, 1e9, "nan", "many"])
def test_a_rate_that_is_none_is_refused(client: TestClient, rate: Any) -> None:
    assert client.post(f"{RUNS}/first/resume", json={"learning_rate": rate}).status_code == 422


def test_a_run_is_done_by_a_process_of_its_own(
    client: TestClient, bench: Workbench, work: Callable[[int], None]
) -> None:
    started = start(client, epochs=1)
    work(started["jobs"][0]["id"])
    found = get(client, started["runs"][0])
    assert (found["state"], found["job"]["state"]) == ("done", "done")
    assert found["scores"] is not None
