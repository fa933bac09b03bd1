"""One person's way through the workbench, on a real small training: from folders of images to a unit of a network."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import yaml
from PIL import Image

from fullconv.workspace import Workspace
from workbench.conftest import QUICK

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
EPOCHS = 30
DEEP = "features.features.6.squeeze"
TRAINING_WAIT = 240_000
"""Milliseconds that a training may take where other work goes on beside it."""
COUNTED = """() => {
  window.lengths = [];
  setInterval(() => {
    const chart = document.querySelector(".run-charts .nicegui-echart");
    const drawn = chart && getElement(Number(chart.id.slice(1)))?.chart?.getOption();
    const length = drawn?.series[0]?.data.length ?? 0;
    if (length !== window.lengths.at(-1)) window.lengths.push(length);
  }, 50);
}"""
"""Keeps how many points the curve of the loss has, whenever there are more."""
FILE = """([content, name]) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  return transfer;
}"""
"""What a person holds who drags a file."""
SHOWS = """([pane, width, height, expected]) => {
  const canvas = document.querySelector(`[data-pane="${pane}"] canvas`);
  if (!canvas || canvas.width < width) return false;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  return expected.every((value, place) => Math.abs(data[place + Math.floor(place / 3)] - value) <= 1);
}"""
"""Whether a pane shows an image, which fits into one tile."""
SEEN = """(css) => [...document.querySelectorAll(css)].every((image) => (
  getComputedStyle(image).display === "none" || (image.complete && image.naturalWidth > 0)))"""
LOADED = "(css) => [...document.querySelectorAll(css)].every((image) => image.complete && image.naturalWidth > 0)"


@pytest.fixture
def spotless(page: Page) -> Iterator[Page]:
    """A page on which neither the console nor the server may complain."""
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("response", lambda got: complaints.append(f"{got.status} {got.url}") if got.status >= 400 else None)
    yield page
    assert complaints == []


def test_from_folders_of_images_to_a_unit_of_a_network(
    spotless: Page, serve: Serve, home: Workspace, scenes: Path
) -> None:
    url = serve(home, "--root", str(scenes.parent))
    spotless.goto(url)
    make_a_dataset(spotless, scenes)
    run = train(spotless)
    watch(spotless, url, run)
    try_an_image(spotless, url, run, scenes / "test" / "images" / "scene_00014.png")
    compare(spotless, run, "first")
    look_inside(spotless, url, run)


def make_a_dataset(page: Page, scenes: Path) -> None:
    """From Home to the page of a dataset named `mine`."""
    from playwright.sync_api import expect

    page.get_by_role("navigation", name="Sections").get_by_role("link", name="Datasets").click()
    page.get_by_role("link", name="New dataset").click()
    page.get_by_role("button", name="Browse").first.click()
    browser = page.get_by_role("dialog")
    browser.get_by_text(str(scenes.parent), exact=True).click()
    browser.get_by_text(scenes.name, exact=True).click()
    expect(browser.get_by_text(str(scenes), exact=True)).to_be_visible()
    page.get_by_role("button", name="Use this folder").click()
    expect(page.get_by_text("16 images with labels")).to_be_visible()
    expect(page.locator(".thumb .labels")).to_have_count(12)
    page.get_by_label("Name of the dataset").fill("mine")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("link", name="Open mine").click()
    expect(page.get_by_role("heading", name="mine")).to_be_visible()
    page.wait_for_function(LOADED, arg=".thumbs .photo")


def train(page: Page) -> str:
    """Start a run on it; returns the run's name."""
    from playwright.sync_api import expect

    page.get_by_role("link", name="Train on this").click()
    editor = page.locator(".cm-content")
    expect(editor).to_contain_text("dataset: mine")
    editor.fill(yaml.safe_dump({"dataset": "mine", **QUICK}))
    expect(page.get_by_label("network", exact=True)).to_have_value(QUICK["network"])
    page.get_by_label("epochs", exact=True).fill(str(EPOCHS))
    expect(editor).to_contain_text(f"epochs: {EPOCHS}")
    expect(page.get_by_text("64×64 pixels, batch 4, fp32")).to_be_visible()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(r"/runs/2\d+"))
    return page.url.rsplit("/", 1)[-1]


def watch(page: Page, url: str, run: str) -> None:
    """See its chart grow until it is done."""
    from playwright.sync_api import expect

    page.evaluate(COUNTED)
    expect(page.get_by_text("It is done.")).to_be_visible(timeout=TRAINING_WAIT)
    expect(page.get_by_text(f"epoch {EPOCHS} of {EPOCHS}")).to_be_visible()
    page.locator(".progress-pictures img").first.wait_for()
    page.wait_for_function(LOADED, arg=".progress-pictures img")
    rows = httpx.get(f"{url}/api/v1/runs/{run}/metrics", timeout=60).json()["rows"]
    steps = sum(row.get("learning_rate") is not None for row in rows)
    page.wait_for_function(f"window.lengths.at(-1) === {steps}")
    lengths = page.evaluate("window.lengths")
    assert len(lengths) > 3, lengths
    assert lengths == sorted(lengths)


def try_an_image(page: Page, url: str, run: str, file: Path) -> None:
    """Drop an image, make its colours stronger and weaker, and read the class of pixels."""
    from playwright.sync_api import expect

    page.get_by_role("link", name="Test", exact=True).last.click()
    page.wait_for_url(f"**/test?run={run}")
    page.wait_for_function(LOADED, arg=".strip img")
    held = page.evaluate_handle(FILE, [base64.b64encode(file.read_bytes()).decode(), file.name])
    box = page.locator(".drop .q-uploader")
    box.dispatch_event("dragover", {"dataTransfer": held})
    box.locator(".q-uploader__dnd").dispatch_event("drop", {"dataTransfer": held})
    expect(page.get_by_role("heading", name=file.name)).to_be_visible()

    answer = httpx.post(f"{url}/api/v1/models/{run}/predict", content=file.read_bytes(), timeout=60)
    ids = np.asarray(Image.open(io.BytesIO(answer.raise_for_status().content)))
    classes = httpx.get(f"{url}/api/v1/models/{run}/classes", timeout=60).json()["classes"]
    image = np.asarray(Image.open(file).convert("RGB")).astype(np.int64)
    colors = np.zeros_like(image)
    for entry in classes:
        colors[ids == entry["value"]] = entry["color"]

    page.get_by_role("slider", name="Width of the classes' outlines").locator("[tabindex]").press("PageDown")
    slider = page.get_by_role("slider", name="Opacity of the classes' colours")
    slider.scroll_into_view_if_needed()
    place = slider.bounding_box()
    assert place is not None
    middle = place["y"] + place["height"] / 2
    page.mouse.move(place["x"] + place["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(place["x"] - 20, middle, steps=5)
    wait_for_colors(page, image)
    page.mouse.move(place["x"] + place["width"] + 20, middle, steps=5)
    wait_for_colors(page, colors)
    page.mouse.up()

    reading = page.locator(".viewer-reading")
    for entry in classes:
        found = np.argwhere(ids == entry["value"])
        if not len(found):
            continue
        y, x = (int(part) for part in found[len(found) // 2])
        point(page, (x, y), ids.shape)
        expect(reading).to_contain_text(f"x {x}, y {y}")
        expect(reading.locator("b")).to_have_text(entry["name"])


def wait_for_colors(page: Page, expected: npt.NDArray[Any]) -> None:
    """Until the picture of the prediction shows these colours, (H, W, 3)."""
    page.wait_for_function(SHOWS, arg=["overlay", expected.shape[1], expected.shape[0], expected.ravel().tolist()])


def point(page: Page, place: tuple[int, int], size: tuple[int, ...]) -> None:
    """Hold the pointer over a pixel, (x, y) of an image of that (H, W), of the picture of the prediction."""
    plane = page.locator('[data-pane="overlay"]')
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    assert box is not None
    page.mouse.move(
        box["x"] + (place[0] + 0.5) / size[1] * box["width"], box["y"] + (place[1] + 0.5) / size[0] * box["height"]
    )


def compare(page: Page, run: str, other: str) -> None:
    """Two models side by side, with the line between them moved."""
    from playwright.sync_api import expect

    page.get_by_role("navigation", name="Sections").get_by_role("link", name="Models").click()
    for name in (run, other):
        page.get_by_role("checkbox", name=f"Choose {name}").click()
    page.get_by_role("button", name="Compare 2").click()
    page.wait_for_url("**/compare?models=*")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("the models differ on")).to_be_visible()
    expect(page.locator(".panes figure")).to_have_count(5)
    names = {"Input", run, other, "Difference", "Truth"}
    assert set(page.locator(".panes .name").all_inner_texts()) == names
    page.wait_for_function(SEEN, arg=".panes img, .swipe img")
    expect(page.get_by_role("row", name="Mean IoU")).to_be_visible()
    frame = page.locator(".swipe")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 40, steps=5)
    page.mouse.up()
    expect(frame.locator(".swipe-side").first).to_have_css("clip-path", "inset(0px 75% 0px 0px)")


def look_inside(page: Page, url: str, run: str) -> None:
    """Click a unit, and see what it reads drawn on the image."""
    from playwright.sync_api import expect

    page.get_by_role("navigation", name="Sections").get_by_role("link", name="Layers").click()
    expect(page.get_by_text("Channels 0 to 23 of 64")).to_be_visible()
    row = page.locator(".layer-row", has_text=DEEP)
    row.get_by_text(DEEP, exact=True).click()
    tiles = row.locator(".tiles img")
    tiles.scroll_into_view_if_needed()
    page.wait_for_function(LOADED, arg=".tiles img, .layers-picture img")
    box = tiles.bounding_box()
    assert box is not None
    tiles.click(position={"x": box["width"] / 12, "y": box["width"] / 20})  # of the first of six tiles in a row
    page.wait_for_url(f"**layer={DEEP}&unit=*")
    channel, y, x = re.split("%2C|,", page.url.rsplit("unit=", 1)[-1])
    expect(page.get_by_text(f"channel {channel}, row {y}, column {x}:")).to_be_visible()
    address = f"{url}/api/v1/models/{run}/layers/{DEEP}/units/{y}/{x}"
    told = httpx.get(address, params={"channel": channel}, timeout=60).raise_for_status().json()
    expect(page.get_by_text(told["says"])).to_be_visible()
    field = page.locator(".layers-picture rect.unit-field")
    for name, side in (("x", told["columns"]), ("y", told["rows"])):
        expect(field).to_have_attribute(name, str(side["first"]))
        expect(field).to_have_attribute({"x": "width", "y": "height"}[name], str(side["last"] - side["first"] + 1))
