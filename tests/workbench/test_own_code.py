"""Networks from Python files: none of their code runs unless the server was started for that."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from fullconv.training.status import read_status
from fullconv.workbench.api.problems import problem_of
from fullconv.workbench.application import create_app
from fullconv.workbench.jobs.kinds import KINDS, JobContext
from fullconv.workbench.jobs.launching import environment_of
from fullconv.workbench.jobs.reporting import Reporter
from fullconv.workbench.jobs.worker import CODE
from fullconv.workbench.refusals import Forbidden
from fullconv.workbench.services.plans import start_forecast
from fullconv.workbench.services.retrying import retry_job
from fullconv.workbench.services.run_starting import start_runs
from fullconv.workbench.settings import ServerSettings, Slots
from fullconv.workbench.tables import Job
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from workbench.conftest import BASE, QUICK

RUNS = "/api/v1/runs"
NET = """
from pathlib import Path
from torch import nn

Path({ran!r}).touch()

def build(classes, channels):
    return nn.Conv2d(channels, classes, 3, padding=1)
"""


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A file that is there when the network's code has run."""
    return tmp_path / "it-ran"


@pytest.fixture
def net(tmp_path: Path, ran: Path) -> str:
    path = tmp_path / "nets" / "my_net.py"
    path.parent.mkdir()
    path.write_text(NET.format(ran=str(ran)))
    return f"{path}:build"


@pytest.fixture
def open_bench(home: Workspace, net: str) -> Callable[..., Workbench]:
    """A server on the workspace, with or without `--allow-code`."""

    def made(*, allow_code: bool) -> Workbench:
        roots = (Path(net).parent,)
        bench = Workbench(ServerSettings(home, slots=Slots(cpu=1), roots=roots, allow_code=allow_code))
        opened.append(bench)
        return bench

    opened: list[Workbench] = []
    return made


@pytest.fixture
def trusting(open_bench: Callable[..., Workbench]) -> Iterator[Workbench]:
    bench = open_bench(allow_code=True)
    yield bench
    bench.engine.dispose()


@pytest.fixture
def careful(open_bench: Callable[..., Workbench]) -> Iterator[Workbench]:
    bench = open_bench(allow_code=False)
    yield bench
    bench.engine.dispose()


def plan(net: str, **changes: Any) -> dict[str, Any]:
    return {"dataset": "streets", **QUICK, "network": net} | changes


def do_next(bench: Workbench) -> Job:
    """Do the next job as a worker does that this server started."""
    job = bench.queue.claim(Slots(cpu=1))
    assert job is not None
    number, claim = job.id or 0, job.claim or ""
    bench.queue.begin(number, claim, process=os.getpid(), started=1.0)
    told = environment_of(job, bench.settings, {}, beside=False, cores=1)
    context = JobContext(bench.home, Reporter(bench.queue, number, claim), allow_code=told[CODE] == "1")
    try:
        bench.queue.end(number, claim, "done", result=KINDS[job.kind](job.payload, context))
    except Exception as problem:
        bench.queue.end(number, claim, "failed", error=str(problem))
    return bench.queue.get(number)


def test_runs_and_sweeps_of_code_are_refused_by_rest(careful: Workbench, net: str, ran: Path) -> None:
    client = TestClient(create_app(careful, pages=False), base_url=BASE)
    wishes: list[Any] = [
        plan(net),
        plan(net.removesuffix(":build")),
        plan(net, network=["fcn8s-squeezenet1_1", net]),
        plan(net, seed=[1, 2]),
        yaml.safe_dump(plan(net)),
    ]
    for wish in wishes:
        for path in (RUNS, "/api/v1/plans", "/api/v1/plans/samples", "/api/v1/plans/forecast"):
            answer = client.post(path, json={"experiment": wish})
            assert 400 <= answer.status_code < 500, (path, answer.text)
            assert "--allow-code" in answer.text, (path, answer.text)
    assert client.get("/api/v1/networks/my_net.py:build").status_code == 403
    assert careful.queue.jobs() == []
    assert [path.name for path in careful.home.runs.iterdir()] == ["first"]
    assert not ran.exists()


def test_a_run_of_code_is_resumed_and_repeated_only_where_code_is_allowed(
    trusting: Workbench, careful: Workbench, net: str, ran: Path
) -> None:
    (name,) = start_runs(trusting, plan(net)).runs
    trusting.queue.abort(1)
    assert ran.exists()  # it is tried before the run
    ran.unlink()
    client = TestClient(create_app(careful, pages=False), base_url=BASE)
    for path in (f"{RUNS}/{name}/resume", "/api/v1/jobs/1/retry"):
        answer = client.post(path)
        assert (answer.status_code, "--allow-code" in answer.text) == (403, True), answer.text
    assert "--allow-code" in client.post(f"{RUNS}/{name}/retry").text
    cloned = client.get(f"{RUNS}/{name}/experiment").json()
    assert cloned["experiment"]["network"] == f"{careful.home.run(name)}/network.py:build"  # told, not run
    for wish in (cloned["experiment"], cloned["yaml"]):
        answer = client.post(RUNS, json={"experiment": wish})
        assert (answer.status_code, "--allow-code" in answer.text) == (422, True), answer.text
    assert [job.state for job in careful.queue.jobs()] == ["aborted"]
    assert not ran.exists()
    cloned_here = TestClient(create_app(trusting, pages=False), base_url=BASE).post(f"{RUNS}/{name}/retry")
    assert cloned_here.status_code == 201, cloned_here.text


def test_a_job_that_one_server_took_is_not_done_by_another_that_allows_no_code(
    trusting: Workbench, careful: Workbench, net: str, ran: Path
) -> None:
    (name,) = start_runs(trusting, plan(net)).runs
    ran.unlink()
    job = do_next(careful)
    assert (job.state, "--allow-code" in (job.error or "")) == ("failed", True)
    status = read_status(careful.home.run(name))
    assert (status.state, "--allow-code" in (status.error or "")) == ("failed", True)
    assert not ran.exists()


def test_forecasts_and_summaries_run_no_code_either(
    trusting: Workbench, careful: Workbench, net: str, ran: Path
) -> None:
    start_forecast(trusting, plan(net))
    forecast = do_next(careful) if ran.unlink() is None else None
    assert forecast is not None
    assert "--allow-code" in (forecast.error or "")
    started = start_runs(trusting, plan(net, seed=[1, 2], group="own"))
    for job in started.jobs:
        trusting.queue.abort(job.id)
    ran.unlink()
    closing = do_next(careful)
    assert (closing.kind, closing.state, "--allow-code" in (closing.error or "")) == ("group", "failed", True)
    for job_number in (forecast.id, closing.id):
        with pytest.raises(Forbidden) as caught:
            retry_job(careful, job_number or 0)
        assert problem_of(caught.value).status == 403
    assert not ran.exists()


def test_where_code_is_allowed_it_trains(trusting: Workbench, net: str, ran: Path) -> None:
    (name,) = start_runs(trusting, plan(net, epochs=1)).runs
    ran.unlink()
    job = do_next(trusting)
    assert (job.state, job.error) == ("done", None)
    assert ran.exists()
    assert read_status(trusting.home.run(name)).state == "done"
