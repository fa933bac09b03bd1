"""The page Compare in a real browser: two models, a line between them, numbers, and the next image."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from safetensors.torch import load_file, save_file

from fullconv.data.dataset import Dataset
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
CLIP = "() => [...document.querySelectorAll('.swipe-side')].map((side) => getComputedStyle(side).clipPath)"

COLORS = """(name) => {
  const panes = [...document.querySelectorAll(".panes figure")];
  const pane = panes.find((one) => one.querySelector(".name").innerText === name);
  const picture = pane.querySelector("img.labels");
  const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const found = new Map();
  for (let place = 0; place < data.length; place += 4)
    if (data[place + 3] === 255) found.set(data.slice(place, place + 3).join(), [...data.slice(place, place + 3)]);
  return [...found.values()];
}"""
"""Colours of a pane's labels."""


@pytest.fixture
def home(home: Workspace) -> Workspace:
    """With a second model, whose scores are turned round."""
    package = home.model("other")
    shutil.copytree(home.run("first") / "model", package)
    path = package / "model.safetensors"
    save_file({name: -value if "scores" in name else value for name, value in load_file(path).items()}, path)
    return home


def test_two_models_are_compared_under_a_line(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    total = len(Dataset.load("streets", home).test)
    url = serve(home)
    page.goto(f"{url}/models")
    for name in ("first", "other"):
        page.get_by_role("checkbox", name=f"Choose {name}").click()
    page.get_by_role("button", name="Compare 2").click()
    page.wait_for_url("**/compare?models=*")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text(f"{total} images (streets, test): the models differ on")).to_be_visible()
    assert "dataset=streets" in page.url

    panes = page.locator(".panes figure")
    expect(panes).to_have_count(5)
    expect(page.locator(".panes .name")).to_have_text(["Input", "first", "other", "Difference", "Truth"])
    arrived = "() => [...document.querySelectorAll('.panes img, .swipe img')]"
    arrived += ".every((i) => getComputedStyle(i).display === 'none' || (i.complete && i.naturalWidth > 0))"
    page.wait_for_function(arrived)

    line = page.get_by_role("slider", name="Line between first on the left and other on the right")
    line.focus()
    assert page.evaluate(CLIP) == ["inset(0px 50% 0px 0px)", "inset(0px 0px 0px 50%)"]
    page.keyboard.press("ArrowRight")
    assert page.evaluate(CLIP) == ["inset(0px 49% 0px 0px)", "inset(0px 0px 0px 51%)"]
    page.keyboard.press("Home")
    assert page.evaluate(CLIP) == ["inset(0px 100% 0px 0px)", "inset(0px 0px 0px 0%)"]
    frame = page.locator(".swipe")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 60, steps=5)
    page.mouse.up()
    assert page.evaluate(CLIP) == ["inset(0px 25% 0px 0px)", "inset(0px 0px 0px 75%)"]

    _, first, other, difference = page.get_by_role("row", name="Mean IoU").get_by_role("cell").all_inner_texts()
    told = page.request.get(url + str(page.get_by_role("link", name="JSON").get_attribute("href"))).json()
    scores = [model["mean_iou"] for model in told["models"]]
    assert [first, other] == [f"{100 * score:.1f} %" for score in scores]
    assert float(re.findall(r"[\d.]+", difference)[0]) == pytest.approx(100 * abs(scores[1] - scores[0]), abs=0.11)
    road = next(entry for entry in told["classes"] if entry["name"] == "road")
    cells = page.get_by_role("row", name="road", exact=False).last.get_by_role("cell").all_inner_texts()
    assert cells[1:3] == [f"{100 * iou:.1f} %" for iou in road["iou"]]
    expect(page.get_by_role("img", name="Difference of the IoU per class")).to_be_visible()
    key = {tuple(entry["color"]) for entry in told["key"]}
    colors = {tuple(color) for color in page.evaluate(COLORS, "Difference")}
    assert len(colors) > 1
    assert colors <= key
    keys = page.locator(".image-key")
    expect(keys).to_have_count(total)
    second = keys.nth(1).inner_text()
    before = page.locator(".panes img.photo").first.get_attribute("src")
    page.get_by_role("button", name="Next image").click()
    expect(page.get_by_text(f"{second} · 2 of {total}", exact=False)).to_be_visible()
    assert page.locator(".panes img.photo").first.get_attribute("src") != before
    keys.first.click()
    expect(page.get_by_text(f"· 1 of {total}", exact=False)).to_be_visible()

    page.get_by_label("Left of the line").click()
    page.get_by_role("option", name="Truth", exact=True).click()
    expect(page.get_by_role("slider", name="Line between Truth on the left")).to_have_count(1)
    page.reload()
    expect(page.locator(".panes figure")).to_have_count(5)


def test_more_than_two_models_are_compared_by_keyboard_alone(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    shutil.copytree(home.model("other"), home.model("third"))
    page.goto(f"{serve(home)}/compare?models=first,other,third&dataset=streets&sample=2")
    expect(page.locator(".panes .name")).to_have_text(["Input", "first", "other", "third", "Differences", "Truth"])
    expect(page.get_by_role("img", name="IoU per class and model")).to_be_visible()
    expect(page.get_by_role("columnheader", name="third", exact=True).first).to_be_visible()
    title = page.get_by_text("· 1 of 2", exact=False)
    expect(title).to_be_visible()
    page.get_by_role("button", name="Next image").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("· 2 of 2", exact=False)).to_be_visible()
    page.get_by_role("combobox", name="Right of the line").focus()
    page.keyboard.press("Enter")
    page.get_by_role("option", name="Errors of third").wait_for()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    line = page.get_by_role("slider", name="Line between first on the left and Errors of third on the right")
    line.focus()
    page.keyboard.press("End")
    assert page.evaluate(CLIP) == ["inset(0px 0% 0px 0px)", "inset(0px 0px 0px 100%)"]


def test_what_is_missing_is_said(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.goto(f"{url}/compare?models=first&dataset=streets")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("Choose two to 4 models.")).to_be_visible()
    page.goto(f"{url}/compare?models=first,other&dataset=streets&keys=nowhere")
    expect(page.get_by_text("has no image 'nowhere'")).to_be_visible()
