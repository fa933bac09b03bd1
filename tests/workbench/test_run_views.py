"""What REST shows of a run: numbers, charts, classes, files, pictures, words."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from fullconv.data.class_edits import ClassEdits
from fullconv.data.dataset import Dataset
from fullconv.data.pictures import RIGHT, UNDEFINED
from fullconv.evaluation.metrics_table import read_rows
from fullconv.hardware import processor
from fullconv.training.progress_pictures import kept_pictures
from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench.services import system
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from workbench.rest_of_runs import RUNS, get, refused
from workbench.test_home import MANAGEMENT

COMPUTING = """
PROCESS = {process}
def nvmlDeviceGetComputeRunningProcesses(card):
    if card: raise NVMLError("not supported")
    return [Facts(pid=PROCESS, usedGpuMemory=None)]
"""
"""Who computes on these cards."""


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
