from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench.jobs.logs import log_path
from fullconv.workbench.services import system
from fullconv.workbench.services.jobs import end_of_log
from fullconv.workbench.services.sparklines import drawn, sparkline
from fullconv.workbench.settings import Slots
from fullconv.workbench.workbench import Workbench


def test_home_says_what_there_is_and_what_the_machine_does(client: TestClient, bench: Workbench) -> None:
    found = client.get("/api/v1/home").json()
    assert found["counts"] == {"dataset": 1, "run": 1, "model": 1, "group": 0}, "the run's model is one"
    assert found["jobs"] == []
    assert 0 < found["system"]["memory_used"] < found["system"]["memory"]
    bench.queue.add("dataset", title="waits", payload={})
    assert [job["title"] for job in client.get("/api/v1/home").json()["jobs"]] == ["waits"]


def ended(bench: Workbench, state: str, **job: Any) -> int:
    """A job that has ended."""
    made = bench.queue.add("dataset", payload={}, device="aside", **{"title": state, **job})
    claimed = bench.queue.claim(Slots(cpu=0, aside=1))
    assert claimed is not None
    assert claimed.id == made.id
    bench.queue.end(claimed.id or 0, claimed.claim or "", state, error="it broke" if state == "failed" else None)
    return claimed.id or 0


def test_home_has_the_jobs_that_ended_and_those_that_want_something_done(client: TestClient, bench: Workbench) -> None:
    ended(bench, "done")
    failed, repeated = ended(bench, "failed"), ended(bench, "failed", subject="dataset:new")
    found = client.get("/api/v1/home").json()
    assert [(job["id"], job["error"]) for job in found["ended"][:2]] == [(repeated, "it broke"), (failed, "it broke")]
    assert found["repeatable"] == [repeated, failed]
    again = client.post(f"/api/v1/jobs/{repeated}/retry").json()
    assert again["retry_of"] == repeated
    assert client.get("/api/v1/home").json()["repeatable"] == [failed]
    assert client.delete(f"/api/v1/jobs/{failed}").status_code == 204
    assert client.get("/api/v1/home").json()["repeatable"] == []


def test_a_job_that_ended_lately_is_shown_though_hundreds_came_after_it(client: TestClient, bench: Workbench) -> None:
    failed = ended(bench, "failed", subject="run:gone")
    with bench.queue.adding() as step:
        for number in range(250):
            step.job("train", title="t", payload={}, subject=f"run:{number}")
    found = client.get("/api/v1/home").json()
    assert ([job["id"] for job in found["ended"]], found["repeatable"]) == ([failed], [failed])
    with bench.queue.adding() as step:
        step.job("train", title="t", payload={}, subject="run:gone")
    assert client.get("/api/v1/home").json()["repeatable"] == []


def test_a_training_that_is_done_again_goes_on_with_its_run(client: TestClient, bench: Workbench) -> None:
    directory = bench.home.run("first")
    write_status(directory, Status.now("failed", read_status(directory), error="no memory"))
    first = ended(bench, "failed", subject="run:first")
    again = client.post(f"/api/v1/jobs/{first}/retry").json()
    assert (again["kind"], again["subject"], again["state"]) == ("train", "run:first", "queued")
    assert read_status(directory).shown == "queued"
    assert client.get("/api/v1/home").json()["repeatable"] == []
    shutil.rmtree(directory)
    second = ended(bench, "failed", subject="run:gone")
    assert client.post(f"/api/v1/jobs/{second}/retry").status_code == 404


def test_the_end_of_a_log_begins_with_a_whole_line(bench: Workbench) -> None:
    job = ended(bench, "done")
    path = log_path(bench.home, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"line {number}\n" for number in range(100)))
    found = end_of_log(bench, job, most=20)
    assert (found.text, found.offset) == ("line 98\nline 99\n", path.stat().st_size)
    assert end_of_log(bench, job).text.startswith("line 0\n")
    assert end_of_log(bench, ended(bench, "done")).text == ""


def test_what_waits_is_put_in_another_order_and_aborted(client: TestClient, bench: Workbench) -> None:
    def listed(state: str) -> list[int]:
        return [job["id"] for job in client.get("/api/v1/jobs", params={"state": state}).json()]

    done = ended(bench, "done")
    one, two, three = (bench.queue.add("dataset", title="waits", payload={}).id for _ in range(3))
    moved = client.post(f"/api/v1/jobs/{three}/move", json={"before": one})
    assert (moved.status_code, moved.json()["id"], moved.json()["state"]) == (200, three, "queued")
    assert listed("queued") == [three, one, two]
    assert client.post(f"/api/v1/jobs/{three}/move", json={}).json()["id"] == three
    assert listed("queued") == [one, two, three]

    aborted = client.post(f"/api/v1/jobs/{two}/abort")
    assert (aborted.status_code, aborted.json()["id"], aborted.json()["state"]) == (200, two, "aborted")
    assert aborted.json()["ended"] >= aborted.json()["created"]
    assert (listed("queued"), listed("aborted"), listed("done")) == ([one, three], [two], [done])
    several = client.get("/api/v1/jobs", params={"state": ["queued", "done"]}).json()
    assert [job["id"] for job in several] == [three, one, done], "the latest first"
    assert client.post(f"/api/v1/jobs/{two}/move", json={"before": one}).status_code == 409


def test_a_selection_is_tagged_and_found_by_its_tag(client: TestClient) -> None:
    asked = {"kind": "run", "names": ["first", "nowhere"], "action": "tag", "tag": "paper"}
    outcomes = client.post("/api/v1/selections", json=asked).json()
    assert outcomes[0] == {"name": "first", "problem": None}
    assert outcomes[1]["problem"] == "runs: there is no run 'nowhere'; look at the list again."
    assert [entry["name"] for entry in client.get("/api/v1/lists/run?tag=paper").json()["entries"]] == ["first"]
    assert client.get("/api/v1/lists/run/values").json()["tag"] == ["paper"]
    client.post("/api/v1/selections", json=asked | {"action": "untag"})
    assert client.get("/api/v1/lists/run?tag=paper").json()["total"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/selections", r'{"kind": "run", "names": ["\ud800"], "action": "abort"}'),
        ("POST", "/selections", r'{"kind": "run", "names": ["first"], "action": "tag", "tag": "\udc00"}'),
        ("PUT", "/runs/first/annotations", r'{"tags": ["\ud800"]}'),
        ("PUT", "/runs/first/annotations", r'{"note": "\ud800"}'),
        ("POST", "/plans", r'{"experiment": {"dataset": "streets", "epochs": "\ud800"}}'),
        ("POST", "/plans", r'{"experiment": "dataset: streets\nepochs: \"\\ud800\""}'),
        ("POST", "/plans", r'{"experiment": {"dataset": "streets", "folds": 2, "group_by": "\ud800?(.)"}}'),
    ],
)
def test_half_characters_are_refused(client: TestClient, bench: Workbench, method: str, path: str, body: str) -> None:
    files = [bench.home.datasets / "streets" / "dataset.yaml", bench.home.runs / "first" / "status.json"]
    before = [file.read_bytes() for file in files]
    answer = client.request(method, f"/api/v1{path}", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert [file.read_bytes() for file in files] == before
    assert not (bench.home.runs / "first" / "notes.yaml").exists()


@pytest.mark.parametrize("kind", ["dataset", "run", "model"])
@pytest.mark.parametrize("name", ["nowhere", "../../evil", ".", ""])
def test_what_is_not_there_cannot_be_tagged(client: TestClient, bench: Workbench, kind: str, name: str) -> None:
    asked = {"kind": kind, "names": [name], "action": "tag", "tag": "paper"}
    (outcome,) = client.post("/api/v1/selections", json=asked).json()
    assert f"there is no {kind} {name!r}" in outcome["problem"]
    assert str(bench.home.root) not in outcome["problem"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"kind": "dataset", "action": "abort"}, "action: datasets cannot be aborted; choose runs."),
        ({"kind": "model", "action": "abort"}, "action: models cannot be aborted; choose runs."),
        ({"kind": "run", "action": "tag"}, "tag: is missing; say which."),
        ({"kind": "run", "action": "untag", "tag": " "}, "tag: is missing; say which."),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    client: TestClient, asked: dict[str, str], sentence: str
) -> None:
    answer = client.post("/api/v1/selections", json={"names": ["streets"], **asked})
    assert (answer.status_code, answer.json()["detail"]) == (422, sentence)


def test_the_model_of_a_run_is_not_deleted_as_a_model(client: TestClient, bench: Workbench) -> None:
    asked = {"kind": "model", "names": ["first"], "action": "delete"}
    (outcome,) = client.post("/api/v1/selections", json=asked).json()
    assert "is the model of a run" in outcome["problem"]
    assert (bench.home.run("first") / "model").is_dir()


def test_what_is_needed_is_not_deleted_with_the_rest(client: TestClient, bench: Workbench) -> None:
    asked = {"kind": "dataset", "names": ["streets"], "action": "delete"}
    (outcome,) = client.post("/api/v1/selections", json=asked).json()
    assert "first" in outcome["problem"]
    assert bench.home.dataset("streets").is_dir()
    assert (
        client.post("/api/v1/selections", json=asked | {"kind": "run", "names": ["first"]}).json()[0]["problem"] is None
    )
    assert client.post("/api/v1/selections", json=asked).json()[0]["problem"] is None
    assert not bench.home.dataset("streets").exists()


def test_a_finished_run_has_a_line_of_its_scores(bench: Workbench) -> None:
    values = sparkline(bench, "first")
    assert len(values) == 2
    assert values[-1] == pytest.approx(bench.catalogue.entries("run")[0].facts["last_mean_iou"])
    assert len(drawn(values).split()) == 2
    assert drawn(values[:1]) == ""


MANAGEMENT = """
from types import SimpleNamespace as Facts
class NVMLError(Exception): ...
def nvmlInit(): ...
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetName(card): return b"Old card" if card else "New card"
def nvmlDeviceGetMemoryInfo(card): return Facts(total=100, used=25)
def nvmlDeviceGetUtilizationRates(card):
    if card: raise NVMLError("not supported")
    return Facts(gpu=37)
"""
"""What the package nvidia-ml-py says on a machine with two cards."""


def test_graphics_cards_are_asked_for_load_and_memory(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pynvml.py").write_text(MANAGEMENT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    system._management.cache_clear()
    try:
        cards = client.get("/api/v1/system").json()["cards"]
    finally:
        system._management.cache_clear()
        sys.modules.pop("pynvml", None)
    memory = {"memory": 100, "memory_used": 25}
    assert cards == [{"name": "New card", **memory, "load": 0.37}, {"name": "Old card", **memory, "load": None}]
