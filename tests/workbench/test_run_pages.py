"""Pages of runs in a real browser: planned as form and as text, started, watched, stopped, gone on with."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from fullconv.workspace import Workspace
from workbench.conftest import QUICK

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
POINTS = """() => {
  const charts = [...document.querySelectorAll('.run-charts .nicegui-echart')];
  return charts.map((chart) => getElement(Number(chart.id.slice(1))).chart?.getOption().series[0]?.data.length ?? 0);
}"""
"""How many points the first curve of every chart has."""


def ask(url: str, path: str, method: str = "GET") -> Any:
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/v1{path}", method=method), timeout=60) as answer:
        return json.load(answer)


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def text_of_plan(page: Page) -> Any:
    return yaml.safe_load("\n".join(page.locator(".cm-line").all_inner_texts()))


def test_a_run_is_planned_started_watched_stopped_and_gone_on_with(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.goto(f"{url}/runs/new?dataset=streets")
    start = page.get_by_role("button", name="Start", exact=True)
    editor = page.locator(".cm-content")
    editor.fill(yaml.safe_dump({"dataset": "streets", **QUICK, "epochs": 400}))
    expect(page.get_by_label("crop", exact=True)).to_have_value("64 × 64")
    expect(page.get_by_label("network", exact=True)).to_have_value(QUICK["network"])
    page.get_by_label("batch size", exact=True).fill("many")
    expect(page.get_by_text("give a whole number, not 'many'")).to_be_visible()
    expect(start).to_be_disabled()
    page.get_by_label("batch size", exact=True).fill("4")
    expect(page.get_by_text("give a whole number")).to_be_hidden()
    expect(page.get_by_text("64×64 pixels, batch 4, fp32")).to_be_visible()
    expect(page.get_by_text(re.compile(r"MiB of .* GiB"))).to_be_visible()
    assert text_of_plan(page)["batch_size"] == 4
    start.click()

    page.wait_for_url(re.compile(r"/runs/2\d+"))
    name = page.url.rsplit("/", 1)[-1]
    expect(page.get_by_text("It is learning.")).to_be_visible()
    page.wait_for_function(f"Math.min(...({POINTS})()) > 1")
    before = page.evaluate(POINTS)
    page.wait_for_function(f"({POINTS})()[0] > {before[0] + 5}")
    page.wait_for_function(
        "[...document.querySelectorAll('.progress-pictures img')].length && "
        "[...document.querySelectorAll('.progress-pictures img')].every((i) => i.complete && i.naturalWidth > 0)"
    )
    expect(page.get_by_text(re.compile(r"epoch \d+/400  val pixel accuracy")).first).to_be_visible()

    page.get_by_role("button", name="Abort").click()
    page.get_by_role("dialog").get_by_role("button", name="Abort").click()
    expect(page.get_by_text("It was aborted.")).to_be_visible()
    stopped = ask(url, f"/runs/{name}")
    assert (stopped["state"], stopped["job"]["state"]) == ("aborted", "aborted")
    page.reload()
    page.wait_for_function(f"({POINTS})()[0] > {before[0]}")  # the charts of an ended run stay

    page.get_by_role("button", name="Go on").click()
    page.get_by_role("dialog").get_by_label("Another learning rate from here on").fill("0.001")
    page.get_by_role("dialog").get_by_role("button", name="Go on").click()
    expect(page.get_by_text("It is learning.")).to_be_visible()
    expect(page.get_by_text("The learning rate was changed from", exact=False)).to_be_visible()
    page.get_by_role("tab", name="States and hardware").click()
    expect(page.locator(".states dd")).to_have_text(["queued", "running", "aborted", "queued", "running"])
    ask(url, f"/runs/{name}/abort", "POST")
    end = time.monotonic() + 60
    while ask(url, f"/runs/{name}")["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_plan_shows_its_curve_its_samples_and_how_many_runs_it_makes(
    page: Page, serve: Serve, home: Workspace
) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.goto(f"{url}/runs/new?clone=first")
    expect(page.get_by_text("As first was planned; change what you like.")).to_be_visible()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()

    page.get_by_label("Choose from the catalogue").click()
    page.get_by_label("Search").fill("squeezenet1_1 features")
    page.get_by_role("row", name="fcn8s-squeezenet1_1-features").get_by_role("checkbox").click()
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_label("network", exact=True)).to_have_value("fcn8s-squeezenet1_1-features")

    page.get_by_role("combobox", name="policy").click()
    page.get_by_role("option", name="step", exact=True).click()
    expect(page.get_by_label("gamma", exact=True)).to_be_visible()
    assert text_of_plan(page)["optimization"]["policy"] == {"kind": "step"}
    page.get_by_label("learning rate", exact=True).fill("1e-3, 1e-2")
    page.get_by_label("seed", exact=True).fill("0, 1, 2")
    expect(page.get_by_role("button", name="Start 6 runs")).to_be_enabled()
    assert text_of_plan(page)["seed"] == [0, 1, 2]
    page.get_by_role("tab", name="As it would run").click()
    expect(page.get_by_text(re.compile(r"learning_rate: 0\.001"))).to_be_visible()

    page.get_by_role("button", name='Expand "Augmentation"').click()
    page.get_by_role("button", name="Show real samples").click()
    expect(page.locator(".samples img")).to_have_count(8)
    first = page.locator(".samples img").first.get_attribute("src")
    page.get_by_role("button", name="Next ones").click()
    expect(page.get_by_text("Samples 9 to 12 of epoch 1 with seed 0", exact=False)).to_be_visible()
    assert page.locator(".samples img").first.get_attribute("src") != first

    page.get_by_label("hue", exact=True).fill("7")
    expect(page.get_by_text("Input should be less than or equal to 0.5")).to_be_visible()
    expect(page.get_by_text("1 field is marked as wrong.")).to_be_visible()


def test_an_ended_run_can_be_looked_at(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.goto(f"{url}/runs/first")
    expect(page.get_by_text("It is done.")).to_be_visible()
    page.wait_for_function(f"Math.min(...({POINTS})()) > 0")
    expect(page.get_by_text("epoch 2", exact=True)).to_be_visible()
    after = page.locator(".progress-pictures .labels").first.get_attribute("src")
    page.get_by_role("slider", name="Epoch").locator(".q-slider__track-container").press("ArrowLeft")
    expect(page.get_by_text("epoch 1", exact=True)).to_be_visible()
    assert page.locator(".progress-pictures .labels").first.get_attribute("src") != after
    page.get_by_role("tab", name="Notes").click()
    page.get_by_label("Note").fill("<b>kept</b>")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert "<b>kept</b>" in (home.runs / "first" / "notes.yaml").read_text()
    report = page.get_by_role("link", name="Report").get_attribute("href")
    assert report == "/api/v1/runs/first/report/report.html"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": 400, "height": 800})
        for path in ("/runs/first", "/runs/new"):
            page.goto(f"{url}{path}")
            page.get_by_role("heading", level=1).wait_for()
            assert fits(page)
    page.goto(f"{url}/runs/nowhere")
    expect(page.get_by_text("there is no run 'nowhere'", exact=False)).to_be_visible()
    page.goto(f"{url}/runs/first")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url(f"{url}/")
    assert not (home.runs / "first").exists()
