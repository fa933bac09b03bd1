from __future__ import annotations

from starlette.testclient import TestClient

from fullconv.workbench.services.sparklines import drawn, sparkline
from fullconv.workbench.workbench import Workbench


def test_home_says_what_there_is_and_what_the_machine_does(client: TestClient, bench: Workbench) -> None:
    found = client.get("/api/v1/home").json()
    assert found["counts"] == {"dataset": 1, "run": 1, "model": 0}
    assert found["jobs"] == []
    assert 0 < found["system"]["memory_used"] < found["system"]["memory"]
    bench.queue.add("dataset", title="waits", payload={})
    assert [job["title"] for job in client.get("/api/v1/home").json()["jobs"]] == ["waits"]


def test_a_selection_is_tagged_and_found_by_its_tag(client: TestClient) -> None:
    asked = {"kind": "run", "names": ["first", "nowhere"], "action": "tag", "tag": "paper"}
    outcomes = client.post("/api/v1/selections", json=asked).json()
    assert outcomes[0] == {"name": "first", "problem": None}
    assert "nowhere" in outcomes[1]["problem"]
    assert [entry["name"] for entry in client.get("/api/v1/lists/run?tag=paper").json()["entries"]] == ["first"]
    assert client.get("/api/v1/lists/run/values").json()["tag"] == ["paper"]
    client.post("/api/v1/selections", json=asked | {"action": "untag"})
    assert client.get("/api/v1/lists/run?tag=paper").json()["total"] == 0


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
    assert len(drawn(values).split()) == 2
    assert drawn(values[:1]) == ""
