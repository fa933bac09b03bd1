"""What happens in a run, as a stream."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from starlette.testclient import TestClient

from fullconv.evaluation.metrics_table import read_rows
from fullconv.workbench.services.run_events import Place
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from workbench.conftest import QUICK

EVENTS = "/api/v1/runs/{}/events"


def events(lines: Iterable[str]) -> Iterator[tuple[str, str, Any]]:
    """(id, kind, data) of a stream."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.strip():
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value
        elif fields:
            if "event" in fields:
                yield fields["id"], fields["event"], json.loads(fields["data"])
            fields = {}


def test_an_ended_run_tells_everything_and_ends(client: TestClient, home: Workspace) -> None:
    answer = client.get(EVENTS.format("first"))
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = list(events(answer.text.splitlines()))
    kinds = [kind for _, kind, _ in found]
    assert kinds[0] == "status"
    assert kinds[-1] == "end"
    assert kinds.count("metrics") == kinds.count("log") == 1
    rows = next(data["rows"] for _, kind, data in found if kind == "metrics")
    assert len(rows) == len(read_rows(home.runs / "first" / "metrics.csv"))
    lines = next(data["lines"] for _, kind, data in found if kind == "log")
    assert lines == (home.runs / "first" / "log.txt").read_text().splitlines()
    assert found[-1][2] == {"state": "done"}


def test_a_listener_goes_on_where_it_was(client: TestClient, home: Workspace) -> None:
    found = list(events(client.get(EVENTS.format("first")).text.splitlines()))
    place = Place.of(found[-1][0])
    again = events(client.get(EVENTS.format("first"), headers={"Last-Event-ID": str(place)}).text.splitlines())
    assert [kind for _, kind, _ in again] == ["status", "end"]
    earlier = place.model_copy(update={"rows": 2})
    again = events(client.get(EVENTS.format("first"), headers={"Last-Event-ID": str(earlier)}).text.splitlines())
    (rows,) = [data["rows"] for _, kind, data in again if kind == "metrics"]
    assert len(rows) == place.rows - 2
    other = place.model_copy(update={"edition": 1})  # of a file that was cut back since
    again = list(events(client.get(EVENTS.format("first"), headers={"Last-Event-ID": str(other)}).text.splitlines()))
    assert [kind for _, kind, _ in again] == ["reset", "status", "metrics", "end"]
    nonsense = events(client.get(EVENTS.format("first"), headers={"Last-Event-ID": "9" * 150}).text.splitlines())
    assert len(list(nonsense)) == len(found)


def test_a_run_is_followed_while_it_learns(home: Workspace, serve: Callable[..., str]) -> None:
    url = serve(home)

    def post(path: str, content: Any = None) -> Any:
        body = json.dumps(content).encode()
        request = urllib.request.Request(f"{url}/api/v1/runs{path}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    (name,) = post("", {"experiment": {"dataset": "streets", **QUICK, "epochs": 400}})["runs"]
    found: list[tuple[str, str, Any]] = []
    with urllib.request.urlopen(url + EVENTS.format(name), timeout=120) as stream:
        for event in events(line.decode() for line in stream):
            found.append(event)
            if event[1] == "metrics" and sum(kind == "metrics" for _, kind, _ in found) == 2:
                post(f"/{name}/abort")
    states = [data["state"] for _, kind, data in found if kind == "status"]
    assert states[0] == "queued"
    assert "running" in states
    assert found[-1][1:] == ("end", {"state": "aborted"})
    rows = [row for _, kind, data in found if kind == "metrics" for row in data["rows"]]
    written = read_rows(home.runs / name / "metrics.csv")
    assert [(row["step"], row["split"]) for row in rows] == [(int(row["step"]), row["split"]) for row in written]


def test_files_are_read_once_for_all_who_look(bench: Workbench) -> None:
    directory = bench.home.runs / "first"
    assert bench.feeds.of(directory) is bench.feeds.of(directory)
    feed = bench.feeds.of(directory)
    feed.look()
    rows = feed.rows
    (directory / "metrics.csv").write_text("step,epoch,split\n1,1,train\n")
    feed.look()
    assert feed.rows is rows  # just now somebody did
    feed.look_again()
    assert len(feed.rows) == 1
