"""The page of a run in a real browser: charts that are zoomed and drawn on a log axis, the guard, checkpoints."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from fullconv.evaluation.metrics_table import read_rows
from fullconv.training.guard.finding import Finding
from fullconv.training.status import read_status, write_status
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
LOSS = "[aria-label='Loss over the steps']"
OPTION = f"""(name) => {{
  const drawn = document.querySelector("{LOSS}");
  return getElement(Number(drawn.id.slice(1))).chart?.getOption()[name];
}}"""
CLASSES = "[aria-label='IoU of every class over the steps']"
ROAD = f"""(shares) => {{
  const drawn = document.querySelector("{CLASSES}");
  const road = getElement(Number(drawn.id.slice(1))).chart?.getOption().series.find((one) => one.name === "road");
  return JSON.stringify(road?.data.map((point) => point[1])) === JSON.stringify(shares);
}}"""
"""Whether the curve of the class has these values."""
TOOL = 26.7
"""Pixels from one tool of a chart to the next."""


def option(page: Page, name: str) -> Any:
    return page.evaluate(OPTION, name)


def tool(page: Page, place: int) -> tuple[float, float]:
    """Where a tool of the loss's chart is, counted from the right."""
    box = page.locator(LOSS).bounding_box()
    assert box is not None
    return box["x"] + box["width"] - 23.5 - TOOL * place, box["y"] + 20


def test_a_chart_is_zoomed_and_drawn_on_a_log_axis(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    page.goto(f"{serve(home)}/runs/first")
    expect(page.locator(f"{LOSS} svg")).to_be_visible()
    page.wait_for_function(f"({OPTION})('series')?.[0].data.length > 1")
    page.locator(LOSS).scroll_into_view_if_needed()
    box = page.locator(LOSS).bounding_box()
    assert box is not None
    page.mouse.click(*tool(page, 3))
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 130, steps=6)
    page.mouse.up()
    (found, *_) = option(page, "dataZoom")
    assert 20 < found["start"] < 50 < found["end"] < 80
    page.mouse.click(*tool(page, 1))  # everything
    (found, *_) = option(page, "dataZoom")
    assert (found["start"], found["end"]) == (0, 100)

    assert option(page, "yAxis")[0]["type"] == "value"
    switch = page.get_by_role("switch", name="Logarithmic axis for Loss")
    switch.focus()
    page.keyboard.press("Space")
    page.wait_for_function(f"({OPTION})('yAxis')[0].type === 'log'")
    assert len(option(page, "series")[0]["data"]) > 1
    page.keyboard.press("Space")
    page.wait_for_function(f"({OPTION})('yAxis')[0].type === 'value'")
    levels = page.locator("[aria-label='Mean IoU over the steps'] svg")
    expect(levels.get_by_text("always", exact=False)).to_have_count(1)  # what is to be beaten
    expect(levels.get_by_text("ceiling of the stride")).to_have_count(1)  # above all curves

    rows = read_rows(home.run("first") / "metrics.csv")
    drawn = page.locator(CLASSES)
    drawn.scroll_into_view_if_needed()
    for split, title in (("val", "validation"), ("train", "training")):
        page.get_by_role("button", name=title, exact=True).click()
        shares = [float(row["iou_road"]) for row in rows if row["split"] == split and row["iou_road"]]
        assert len(shares) == 2
        page.wait_for_function(ROAD, arg=shares)


def test_the_guard_is_heard_and_checkpoints_are_taken_away(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    run = home.run("first")
    finding = Finding("still-weights", "the weights do not move", "the learning rate is <b>1e-12", "raise it")
    write_status(run, read_status(run).model_copy(update={"warnings": (str(finding),)}))
    url = serve(home)
    page.goto(f"{url}/runs/first")
    expect(page.get_by_text("The weights do not move.", exact=True)).to_be_visible()
    expect(page.get_by_text("Likely cause: the learning rate is <b>1e-12.", exact=True)).to_be_visible()
    expect(page.get_by_text("What to do: raise it.", exact=True)).to_be_visible()

    page.get_by_role("tab", name="Checkpoints and files").click()
    for name in ("best", "last"):
        size = (run / "checkpoints" / f"{name}.ckpt").stat().st_size
        row = page.get_by_role("listitem").filter(has_text=f"{name}.ckpt")
        expect(row).to_contain_text(f"{size / 2**20:,.1f} MiB")
        with page.expect_download() as taken:
            row.get_by_role("link", name=f"{name}.ckpt").click()
        assert taken.value.suggested_filename == f"first-{name}.ckpt"
        assert taken.value.path().read_bytes() == (run / "checkpoints" / f"{name}.ckpt").read_bytes()
    assert page.request.get(f"{url}/api/v1/runs/first/checkpoints/none").status == 404
    with page.expect_download() as taken:
        page.get_by_role("link", name="Everything but checkpoints, as ZIP").click()
    packed = zipfile.ZipFile(taken.value.path()).namelist()
    assert "first/experiment.yaml" in packed
    assert "first/model/model.safetensors" in packed
    assert not any(name.endswith(".ckpt") for name in packed)
