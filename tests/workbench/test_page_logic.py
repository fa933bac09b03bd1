"""What pages do when something fails or takes long, looked at without a browser."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nicegui import Client, app, core, ui
from nicegui.page import page
from nicegui.persistence.pseudo_persistent_dict import PseudoPersistentDict
from nicegui.storage import request_contextvar
from starlette.datastructures import QueryParams
from starlette.requests import Request

from fullconv.workbench.feeds import Row
from fullconv.workbench.folders import FolderRequest
from fullconv.workbench.pages import explorer as explorer_page
from fullconv.workbench.pages import job_progress, prediction
from fullconv.workbench.pages.explorer import PER_PAGE, Explorer, first_page
from fullconv.workbench.pages.job_progress import JobProgress
from fullconv.workbench.pages.layers import LayersPage
from fullconv.workbench.pages.new_dataset import NewDataset
from fullconv.workbench.pages.run_charts import RunCharts
from fullconv.workbench.refusals import Busy, NotThere
from fullconv.workbench.services.dataset_images import ImageQuery, list_images
from fullconv.workbench.services.folder_predictions import prediction_of
from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.services.layers import Asked
from fullconv.workbench.services.predictable import predictable_models
from fullconv.workbench.services.runs import ChartFacts, ClassColor
from fullconv.workbench.settings import Slots
from fullconv.workbench.stored import StoredPrediction, add_stored, now
from fullconv.workbench.tables import Job
from fullconv.workbench.workbench import Workbench


@asynccontextmanager
async def somebodys_page(bench: Workbench) -> AsyncIterator[Client]:
    """A page as the server knows it; no browser has come for it yet."""
    core.loop = asyncio.get_running_loop()
    app.state.bench = bench
    request_contextvar.set(Request({"type": "http", "session": {"id": "somebody"}}))
    app.storage._users["somebody"] = PseudoPersistentDict()
    client = Client(page("/somewhere"))
    try:
        with client:
            yield client
    finally:
        if client.id in Client.instances:
            client.delete()
        del app.storage._users["somebody"]
        core.loop = None


def on_a_page(bench: Workbench, act: Callable[[Client], Awaitable[None]]) -> None:
    async def acts() -> None:
        async with somebodys_page(bench) as client:
            await act(client)

    asyncio.run(acts())


def running_prediction(bench: Workbench) -> tuple[str, Job]:
    """A prediction whose job has said how far it is."""
    asked = StoredPrediction(model="first", kind="run", source=str(bench.home.root), created=now())
    name = add_stored(bench.home, asked, "first")
    bench.queue.add("predict", title="t", payload={"name": name}, subject=f"prediction:{name}")
    job = bench.queue.claim(Slots(cpu=1))
    assert job is not None
    begun = bench.queue.begin(job.id or 0, job.claim or "", process=1, started=1.0)
    assert begun is not None
    bench.queue.beat(job.id or 0, job.claim or "", message="predicting: 12 of 100")
    return name, begun


@pytest.mark.parametrize(("state", "error"), [("aborted", None), ("failed", "the disk is full.")])
def test_a_prediction_that_has_ended_is_not_shown_as_going_on(bench: Workbench, state: str, error: str | None) -> None:
    name, job = running_prediction(bench)

    async def act(client: Client) -> None:
        found, said = prediction._looked_at(name)
        gallery = prediction._Gallery(found)
        gallery.build(said)
        assert gallery.said.text.endswith(", predicting: 12 of 100")
        bench.queue.end(job.id or 0, job.claim or "", state, error=error)
        await gallery._look()  # no image came since
        assert gallery.said.text.endswith(f", {error or state}")
        assert prediction_of(bench, name) == gallery.found

    on_a_page(bench, act)


def test_one_look_at_a_job_that_fails_does_not_end_the_looking(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.queue.add("dataset", title="Dataset streets", payload={})
    real, refusals = job_progress.job_of, [Busy("cannot be used just now"), NotThere("there is no job 1")]

    def job_of(bench: Workbench, number: int) -> JobView:
        raise refusals.pop(0)

    async def act(client: Client) -> None:
        made = JobProgress(job.id or 0, on_done=print)
        monkeypatch.setattr(job_progress, "job_of", job_of)
        await made._look()
        assert made.timer.active
        monkeypatch.setattr(job_progress, "job_of", real)
        await made._look()
        assert made.message.text == "waiting for its turn"
        monkeypatch.setattr(job_progress, "job_of", job_of)
        await made._look()
        assert not made.timer.active

    on_a_page(bench, act)


def test_a_lost_connection_does_not_end_a_check_and_a_closed_page_does(bench: Workbench, scenes: Path) -> None:
    async def act(client: Client) -> None:
        made = NewDataset(ui.link())
        made.build()
        check = bench.checks.begin(FolderRequest(images=str(scenes)))
        made.check = check.id
        made.timer.activate()
        for handler in client.disconnect_handlers:
            client.safe_invoke(handler)
        await asyncio.sleep(0)
        assert bench.checks.get(check.id) is check
        client.delete()
        with pytest.raises(NotThere):
            bench.checks.get(check.id)
        check._thread.join(60)

    on_a_page(bench, act)


def test_thumbnails_stay_while_classes_are_counted(bench: Workbench) -> None:
    """A click on one that is drawn anew would be lost."""

    async def act(client: Client) -> None:
        found = list_images(bench, "streets", ImageQuery())
        uncounted = [image.model_copy(update={"classes": None, "ignored": None}) for image in found.images]
        explorer = Explorer(bench.datasets.open("streets"), QueryParams())
        explorer.build(found.model_copy(update={"images": tuple(uncounted), "counted": 0}))
        drawn = list(explorer.grid)
        assert len(drawn) == found.total
        explorer._show(found)
        assert list(explorer.grid) == drawn
        explorer._show(found.model_copy(update={"images": found.images[1:]}))
        assert not {one.id for one in drawn} & {one.id for one in explorer.grid}
        explorer.timer.deactivate()

    on_a_page(bench, act)


@pytest.mark.parametrize("address", ["class=gone", "problem=unknown", "page=7", "class=gone&page=9"])
def test_what_an_address_asks_for_and_is_not_there_is_left_out(bench: Workbench, address: str) -> None:
    async def act(client: Client) -> None:
        opened, asked = bench.datasets.open("streets"), QueryParams(address)
        first = list_images(bench, "streets", first_page(opened, asked))
        explorer = Explorer(opened, asked)
        explorer.build(first)
        explorer.timer.deactivate()
        assert first.images
        assert explorer.page == 1
        assert explorer.query.problem is None
        assert explorer.query.classes == ()
        assert len(explorer._numbers()) == first.total

    on_a_page(bench, act)


def test_an_older_answer_does_not_take_the_place_of_a_newer(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[int, asyncio.Event] = {}

    async def asked(work: Any, bench: Workbench, name: str, query: ImageQuery) -> Any:
        answers[query.offset or 0] = asyncio.Event()
        await answers[query.offset or 0].wait()
        return list_images(bench, name, query)

    async def act(client: Client) -> None:
        explorer = Explorer(bench.datasets.open("streets"), QueryParams())
        explorer.build(list_images(bench, "streets", ImageQuery(limit=4)))
        explorer.timer.deactivate()
        shown: list[int] = []
        monkeypatch.setattr(explorer, "_show", lambda found: shown.append(found.images[0].number))

        async def load(number: int) -> None:
            with client:
                explorer.page = number
                await explorer._load()

        both = [asyncio.ensure_future(load(number)) for number in (2, 1)]
        await asyncio.sleep(0)
        for offset in (0, PER_PAGE):  # the newer one's answer comes first
            answers[offset].set()
            await asyncio.sleep(0.01)
        await asyncio.gather(*both)
        assert shown == [0]

    monkeypatch.setattr(explorer_page, "asked", asked)
    on_a_page(bench, act)


def test_layers_are_shown_where_a_browser_does_not_say_how_wide_it_is(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent() -> None:
        raise TimeoutError("JavaScript did not respond within 10.0 s")

    async def act(client: Client) -> None:
        made = LayersPage(Asked(model="first"), predictable_models(bench), None, None)
        made.begin()
        monkeypatch.setattr(ui, "run_javascript", lambda *given, **named: silent())
        await made._load()
        assert made.waiting.is_deleted
        assert made.list.rows

    on_a_page(bench, act)


def test_charts_of_a_run_keep_the_classes_that_its_rows_tell_of(bench: Workbench) -> None:
    facts = ChartFacts(classes=[ClassColor(name="sky", color=(1, 2, 3))], baselines={}, commonest=None, ceiling=None)
    rows: list[Row] = [{"step": 4, "epoch": 1, "split": "val", "iou_road": 0.5, "iou_sky": 0.25}]

    async def act(client: Client) -> None:
        options = RunCharts(facts, rows).charts[-1].chart.options
        assert {curve["name"]: curve["data"] for curve in options["series"]} == {
            "sky": [[4.0, 0.25]],
            "road": [[4.0, 0.5]],
        }

    on_a_page(bench, act)


LOOKS = """
import asyncio, sys
from pathlib import Path
from typing import Any
from starlette.testclient import TestClient
from fullconv.workbench.application import create_app
from fullconv.workbench.catalogue import Catalogue
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

def told(kind: Any, name: str) -> None:
    real = getattr(kind, name)
    def looks(self: Any, *given: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            print(name, "beside")
        else:
            print(name, "in the way of all others")
        return real(self, *given)
    setattr(kind, name, looks)

told(Catalogue, "entries")
told(Queue, "get")
app = create_app(Workbench(ServerSettings(Workspace(Path(sys.argv[1])), read_only=True)))
with TestClient(app, base_url="http://127.0.0.1:8460") as client:
    for path in sys.argv[2:]:
        assert client.get(path).status_code == 200, path
"""


def test_pages_look_at_the_database_beside_the_loop(bench: Workbench) -> None:
    name, _ = running_prediction(bench)
    command: list[Any] = [sys.executable, "-c", LOOKS, bench.home.root, "/runs/new", f"/predictions/{name}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    assert set(said.splitlines()) == {"entries beside", "get beside"}
