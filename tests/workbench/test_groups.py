from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fullconv.training.group_summary import sum_up
from fullconv.workbench.workbench import Workbench


def seeded(bench: Workbench, name: str, seed: int) -> Path:
    """A run of the group `seeds` like the one that there is."""
    run = bench.home.run(name)
    shutil.copytree(bench.home.run("first"), run, copy_function=os.link)
    plan = (run / "experiment.yaml").read_text()
    (run / "experiment.yaml").unlink()
    (run / "experiment.yaml").write_text(re.sub(r"(?m)^(seed|group): .*\n", "", plan) + f"seed: {seed}\ngroup: seeds\n")
    return run


@pytest.fixture
def group(bench: Workbench) -> Path:
    """A group of two runs that are done and one that failed, summed up."""
    runs = [seeded(bench, f"run-{seed}", seed) for seed in range(3)]
    status = json.loads((runs[2] / "status.json").read_text()) | {"state": "failed", "error": "no memory"}
    (runs[2] / "status.json").unlink()
    (runs[2] / "status.json").write_text(json.dumps(status))
    bench.catalogue.refresh()
    return sum_up("seeds", {"seed": [0, 1, 2]}, runs, workspace=bench.home, quiet=True).directory


def test_a_group_shows_settings_scores_spread_and_what_is_missing(client: TestClient, group: Path) -> None:
    found = client.get("/api/v1/groups/seeds").json()
    assert [(run["run"], run["settings"], run["state"]) for run in found["runs"]] == [
        ("run-0", {"seed": 0}, "done"),
        ("run-1", {"seed": 1}, "done"),
        ("run-2", {}, "failed"),
    ]
    assert found["missing"] == ["run-2"]
    assert found["runs"][2]["error"] == "no memory"
    assert found["runs"][0]["mean_iou"] == found["spread"]["mean_iou"]["mean"]
    assert found["spread"]["mean_iou"]["deviation"] == 0
    assert client.get("/api/v1/groups").json() == [{"name": "seeds", "runs": 3, "done": 2, "summed_up": True}]
    assert client.get("/api/v1/home").json()["counts"]["group"] == 1


def test_a_group_follows_its_runs_after_it_was_summed_up(client: TestClient, bench: Workbench, group: Path) -> None:
    shutil.rmtree(bench.home.run("run-1"))
    seeded(bench, "run-3", 3)
    bench.catalogue.refresh()
    runs = {run["run"]: run for run in client.get("/api/v1/groups/seeds").json()["runs"]}
    assert runs["run-1"]["state"] is None
    assert runs["run-1"]["mean_iou"] is not None, "the summary knows it"
    assert runs["run-3"]["state"] == "done"


def test_a_group_without_a_summary_has_its_runs(client: TestClient, bench: Workbench, group: Path) -> None:
    shutil.rmtree(group)
    found = client.get("/api/v1/groups/seeds").json()
    assert (found["summed_up"], found["spread"], len(found["runs"])) == (False, {}, 3)
    assert found["runs"][0]["mean_iou"] is not None


@pytest.mark.parametrize("wrong", [{"runs": [{"run": "run-0", "scores": {"mean_iou": float("nan")}}]}, {"axes": {}}])
def test_a_summary_with_numbers_that_are_none_can_be_read(
    client: TestClient, group: Path, wrong: dict[str, Any]
) -> None:
    (group / "summary.json").write_text(json.dumps(wrong))
    assert client.get("/api/v1/groups/seeds").json()["runs"][0]["run"] == "run-0"


@pytest.mark.parametrize("text", ["{", "[]", '{"runs": 3}', "\ufeff"])
def test_a_damaged_summary_is_told(client: TestClient, group: Path, text: str) -> None:
    (group / "summary.json").write_text(text)
    answer = client.get("/api/v1/groups/seeds")
    assert (answer.status_code, "groups/seeds/summary.json: is damaged" in answer.json()["detail"]) == (409, True)


@pytest.mark.parametrize("name", ["nowhere", "..", "a b", "x" * 150])
def test_a_group_that_is_not_there_is_not_found(client: TestClient, name: str) -> None:
    assert client.get(f"/api/v1/groups/{name.replace('..', '%2e%2e')}").status_code == 404
