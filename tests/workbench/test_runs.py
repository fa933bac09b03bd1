"""Runs by REST: begun, followed, stopped, gone on with, cloned, deleted."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from starlette.testclient import TestClient

from fullconv.data.class_edits import ClassEdits
from fullconv.data.dataset import Dataset
from fullconv.data.pictures import RIGHT, UNDEFINED
from fullconv.evaluation.metrics_table import read_rows
from fullconv.hardware import processor
from fullconv.training.progress_pictures import kept_pictures
from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench.api.problems import MEDIA_TYPE
from fullconv.workbench.jobs.kinds import KINDS, JobContext
from fullconv.workbench.jobs.reporting import Reporter
from fullconv.workbench.services import system
from fullconv.workbench.settings import Slots
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from workbench.conftest import QUICK
from workbench.test_home import MANAGEMENT

COMPUTING = """
PROCESS = {process}
def nvmlDeviceGetComputeRunningProcesses(card):
    if card: raise NVMLError("not supported")
    return [Facts(pid=PROCESS, usedGpuMemory=None)]
"""
"""Who computes on these cards."""
QUICK_PLAN = {"dataset": "streets", **QUICK}
RUNS = "/api/v1/runs"


def get(client: TestClient, path: str, **query: Any) -> Any:
    answer = client.get(f"{RUNS}/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def start(client: TestClient, **changes: Any) -> Any:
    answer = client.post(RUNS, json={"experiment": QUICK_PLAN | changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


def refused(answer: Any, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert words in answer.json()["detail"]


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


def test_a_finished_run_is_shown_with_all_that_is_known(client: TestClient) -> None:
    found = get(client, "first")
    assert (found["state"], found["epoch"], found["epochs"], found["progress"]) == ("done", 2, 2, 1.0)
    assert found["scores"]["split"] == "test"
    assert 0 < found["scores"]["pixel_accuracy"] <= 1
    assert [change["state"] for change in found["history"]] == ["queued", "running", "done"]
    assert (found["resumable"], found["can_abort"], found["has_report"], found["has_model"]) == (
        False,
        False,
        True,
        True,
    )
    assert found["hardware"]["computed_on"] == processor()
    assert found["job"] is None
    listed = client.get(RUNS, params={"state": "done", "search": "squeezenet", "sort": "mean_iou"}).json()
    assert [entry["name"] for entry in listed["entries"]] == ["first"]
    assert client.get(RUNS, params={"state": "running"}).json()["total"] == 0


def test_what_is_not_there_is_told(client: TestClient) -> None:
    for path in (
        "nowhere",
        "nowhere/metrics",
        "nowhere/events",
        "first/progress/9/0",
        "first/report/x.png",
    ):
        answer = client.get(f"{RUNS}/{path}")
        refused(answer, 404, "there is no")
    for path in ("nowhere/abort", "nowhere/resume", "nowhere/retry"):
        refused(client.post(f"{RUNS}/{path}"), 404, "there is no run 'nowhere'")
    refused(client.delete(f"{RUNS}/nowhere"), 404, "there is no run")


def test_metrics_are_the_rows_of_the_file(client: TestClient, home: Workspace) -> None:
    rows = read_rows(home.runs / "first" / "metrics.csv")
    found = get(client, "first/metrics")
    assert found["total"] == len(rows) == len(found["rows"])
    for row, expected in zip(found["rows"], rows, strict=True):
        assert {name: str(value) for name, value in row.items() if name in ("step", "epoch", "split")} == {
            name: expected[name] for name in ("step", "epoch", "split")
        }
        assert {name for name, text in expected.items() if text} == set(row)
        assert all(float(expected[name]) == value for name, value in row.items() if name != "split")
    later = get(client, "first/metrics", after_step=3)
    assert later["rows"] == [row for row in found["rows"] if row["step"] > 3]
    assert get(client, "first/metrics", after_row=2)["rows"] == found["rows"][2:]
    assert {row["split"] for row in get(client, "first/metrics", split="val")["rows"]} == {"val"}


def test_rows_that_a_resumed_run_cuts_back_are_noticed(bench: Workbench) -> None:
    path = bench.home.runs / "first" / "metrics.csv"
    feed = bench.feeds.of(path.parent)
    feed.look()
    before, edition = len(feed.rows), feed.edition
    with path.open("a") as stream:
        stream.write("99,9,train,1.5")
    feed.look_again()
    assert len(feed.rows) == before  # half a line is no row yet
    with path.open("a") as stream:
        stream.write("\n")
    feed.look_again()
    assert feed.rows[-1] == {"step": 99, "epoch": 9, "split": "train", "loss": 1.5}
    shorter = path.with_name("new.csv")
    shorter.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    shorter.replace(path)
    feed.look_again()
    assert len(feed.rows) == 2
    assert feed.edition != edition


def test_charts_have_colours_and_levels(client: TestClient, home: Workspace) -> None:
    found = get(client, "first/charts")
    data = Dataset.load("streets", home)
    assert [entry["name"] for entry in found["classes"]] == list(data.classes.names)
    assert tuple(found["classes"][0]["color"]) == data.classes.classes[0].color
    assert set(found["baselines"]) == {"pixel_accuracy", "mean_iou"}
    assert found["ceiling"] == data.statistics.stride_ceiling[8]
    (home.datasets / "streets" / "dataset.yaml").unlink()
    gone = get(client, "first/charts")
    assert (gone["classes"], gone["baselines"]) == (found["classes"], {})


def test_a_run_keeps_the_classes_that_it_learned(client: TestClient, home: Workspace) -> None:
    def picture(view: str) -> np.ndarray[Any, Any]:
        answer = client.get(f"{RUNS}/first/progress/2/0", params={"view": view})
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content)))

    data = Dataset.load("streets", home)
    before, ids, errors = get(client, "first/charts")["classes"], picture("labels"), picture("errors")
    names = [entry.name for entry in data.classes.classes if entry.value in np.unique(ids)]
    merged = [*names[:1], *[name for name in data.classes.names if name != names[0]][:1]]
    edits = ClassEdits(merge={"both": tuple(merged)}, recolor={"both": "#010203"}, drop=tuple(names[1:2]))
    Dataset.change_classes(home.datasets / "streets", edits, home)
    assert get(client, "first/charts")["classes"] == before
    colors = {entry.value: entry.color for entry in data.classes.classes}
    drawn = picture("colors")
    for value in np.unique(ids):
        assert (drawn[ids == value] == colors[value]).all()
    key = get(client, "first/progress")["images"][0]
    index = next(index for index, one in enumerate(data.samples) if one.key == key)
    truth = data.classes.own_ids(data.read(index)[1])
    numbers = {entry.name: entry.value for entry in data.classes.classes}
    alike = np.isin(truth, [numbers[name] for name in merged]) & np.isin(ids, [numbers[name] for name in merged])
    now = picture("errors")
    assert alike.any()
    assert (now[alike] == RIGHT).all()
    dropped = np.isin(truth, [numbers[name] for name in names[1:2]]) | np.isin(ids, [numbers[n] for n in names[1:2]])
    assert (now[dropped] == UNDEFINED).all()
    same = ~dropped & ~np.isin(truth, [numbers[n] for n in merged]) & ~np.isin(ids, [numbers[n] for n in merged])
    assert (now[same] == errors[same]).all()


@pytest.mark.parametrize("content", ["[]", '{"split": "test", "scores": 7, "facts": []}'])
def test_a_run_is_shown_whatever_its_report_holds(client: TestClient, home: Workspace, content: str) -> None:
    (home.run("first") / "report" / "scores.json").write_text(content)
    found = get(client, "first")
    assert (found["scores"], found["hardware"]["computed_on"]) == (None, None)


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


def test_files_of_a_run_can_be_taken_away(client: TestClient, home: Workspace) -> None:
    answer = client.get(f"{RUNS}/first/download")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    names = set(archive.namelist())
    assert {f"first/{name}" for name in ("experiment.yaml", "metrics.csv", "log.txt")} <= names
    assert {"first/model/model.safetensors", "first/model/model.yaml", "first/report/report.html"} <= names
    weights = home.runs / "first" / "model" / "model.safetensors"
    assert archive.read("first/model/model.safetensors") == weights.read_bytes()
    assert not any("checkpoints" in name for name in names)
    assert 'filename="first.zip"' in answer.headers["content-disposition"]
    assert {entry["name"] for entry in get(client, "first/checkpoints")} == {"last", "best"}


def test_a_report_is_shown_and_can_do_nothing(client: TestClient, home: Workspace) -> None:
    answer = client.get(f"{RUNS}/first/report/report.html")
    assert answer.headers["content-type"].startswith("text/html")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert client.get(f"{RUNS}/first/report/scores.json").json()["split"] == "test"
    (home.runs / "first" / "report" / "run.sh").write_text("true")
    (home.runs / "first" / "report" / "out.json").symlink_to(home.runs / "first" / "status.json")
    for file in ("run.sh", "out.json", "../status.json", "%2e%2e/status.json", "..%2f..%2ffirst%2fstatus.json", ""):
        refused(client.get(f"{RUNS}/first/report/{file}"), 404, "")


def test_predictions_can_be_looked_at_as_they_changed(client: TestClient, home: Workspace) -> None:
    found = get(client, "first/progress")
    assert found["epochs"] == [1, 2]
    assert found["images"] == kept_pictures(home.runs / "first")[2]
    data = Dataset.load("streets", home)

    def picture(path: str, **query: Any) -> np.ndarray[Any, Any]:
        answer = client.get(f"{RUNS}/first/progress/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content)))

    for place, key in enumerate(found["images"]):
        index = next(index for index, sample in enumerate(data.samples) if sample.key == key)
        image, truth = data.read(index)
        assert (picture(f"truth/{place}") == data.classes.own_ids(truth)).all()
        assert np.abs(picture(f"truth/{place}", view="image").astype(int) - image).mean() < 6
        said = picture(f"2/{place}")
        assert set(np.unique(said)) <= {entry.value for entry in data.classes.classes}
        errors = picture(f"2/{place}", view="errors")
        wrong = (errors == (255, 152, 0)).all(-1)
        assert (wrong == ((said != data.classes.own_ids(truth)) & (truth < len(data.classes)))).all()
        assert picture(f"2/{place}", view="overlay", opacity=0.3).shape == image.shape
    refused(client.get(f"{RUNS}/first/progress/2/77"), 404, "there is no picture 77")
    assert client.get(f"{RUNS}/first/progress/2/0", params={"opacity": "nan"}).status_code == 422


def test_what_was_said_is_read_on(client: TestClient, home: Workspace) -> None:
    log = get(client, "first/log")
    assert "Training fcn8s-squeezenet1_1 on streets" in log["text"]
    assert get(client, "first/log", offset=log["offset"])["text"] == ""
    with (home.runs / "first" / "log.txt").open("a") as stream:
        stream.write("one more line\nand half of")
    assert get(client, "first/log", offset=log["offset"])["text"] == "one more line\n"


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


def test_graphics_cards_of_a_run_that_learns_are_shown(
    client: TestClient, home: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = home.run("first")
    plan = (directory / "experiment.yaml").read_text()
    (directory / "experiment.yaml").write_text(plan.replace("device: cpu", "device: cuda"))
    write_status(directory, Status.now("running", read_status(directory)))  # by this process
    own = COMPUTING.format(process=os.getpid())
    (tmp_path / "pynvml.py").write_text(MANAGEMENT + own)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    system._management.cache_clear()
    try:
        shown = get(client, "first")["hardware"]
        (card,) = shown["cards"]
        assert card == {"name": "New card", "memory": 100, "memory_used": 25, "load": 0.37}
        monkeypatch.setattr(sys.modules["pynvml"], "PROCESS", -1)  # as in a container
        assert [card["name"] for card in get(client, "first")["hardware"]["cards"]] == ["New card", "Old card"]
        write_status(directory, Status.now("done", read_status(directory)))
        assert get(client, "first")["hardware"]["cards"] == []
    finally:
        system._management.cache_clear()
        sys.modules.pop("pynvml", None)


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
