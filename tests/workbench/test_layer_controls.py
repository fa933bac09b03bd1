"""Controls of Layers and Models in a real browser: what is looked at and how, pages of tiles, names, tags, a copy."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from fullconv.store.stored_weights import keep_weights
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
CONV = "features.features.0"
DEEP = "features.features.12.expand3x3"


def choose(page: Page, field: str, option: str) -> None:
    page.get_by_role("combobox", name=field, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_model_and_image_are_chosen(page: Page, serve: Serve, home: Workspace, scenes: Path) -> None:
    from playwright.sync_api import expect

    shutil.copytree(home.run("first") / "model", home.model("other"))
    page.goto(f"{serve(home)}/layers?model=first")
    expect(page.get_by_text(re.compile(r": 320×240 pixels"))).to_be_visible()
    choose(page, "Model", "other")
    expect(page).to_have_url(re.compile(r"model=other&kind=model&image=shapes"))
    expect(page.get_by_text("Channels 0 to 23 of 64")).to_be_visible()

    choose(page, "Image", "From a dataset")
    page.get_by_role("combobox", name="Its image").fill("00014")
    page.get_by_role("option", name="test/scene_00014").click()
    expect(page).to_have_url(re.compile(r"model=other.*image=dataset%3Astreets%3Atest%2Fscene_00014"))
    expect(page.get_by_text(re.compile(r"^test/scene_00014 of streets: 96×72 pixels"))).to_be_visible()

    choose(page, "Image", "Upload")
    page.locator("input[type=file]").set_input_files(scenes / "test" / "images" / "scene_00014.png")
    expect(page).to_have_url(re.compile(r"model=other.*image=upload%3A"))
    expect(page.get_by_text(re.compile(r"^scene_00014\.png: 96×72 pixels"))).to_be_visible()
    choose(page, "Image", "Simple shapes")
    expect(page.get_by_text(re.compile(r": 320×240 pixels"))).to_be_visible()


def test_tiles_are_scaled_and_paged_and_laid_over_the_image(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.goto(f"{url}/layers?model=first&layer={CONV}&unit=5,30,40")
    expect(page.get_by_text("channel 5, row 30, column 40:")).to_be_visible()
    tiles, photo = page.locator(".tiles img"), page.locator(".layers-picture")
    page.get_by_role("button", name="Its channel").click()
    laid = photo.locator("image")
    expect(laid).to_have_attribute("href", re.compile(rf"/layers/{CONV}/activations/5\?"))
    page.get_by_role("slider", name="Opacity of what is drawn").locator("[tabindex]").focus()
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    expect(laid).to_have_attribute("opacity", "0")
    page.get_by_role("button", name="Its field").click()
    expect(laid).to_have_count(0)

    expect(tiles).to_have_attribute("src", re.compile("scale=channel"))
    page.get_by_role("button", name="All alike").click()
    expect(tiles).to_have_attribute("src", re.compile("scale=layer"))
    expect(page.get_by_text("all from the layer's", exact=False)).to_be_visible()
    page.get_by_label("Pages of channels").get_by_role("button", name="3", exact=True).click()
    expect(page.get_by_text("Channels 48 to 63 of 64")).to_be_visible()
    expect(tiles).to_have_attribute("src", re.compile(r"page=2&"))

    rows = page.locator(".layer-row")
    relu = rows.filter(has=page.get_by_text("features.features.1", exact=True))
    expect(relu).to_be_hidden()
    page.get_by_role("switch", name="Norms, activations and sums, too").click()
    expect(relu).to_be_visible()

    page.goto(f"{url}/layers?model=first&layer={DEEP}")
    page.get_by_role("tab", name="Filters").click()
    filters = page.locator(".tiles img").last
    expect(filters).to_have_attribute("src", re.compile(r"/filters\?.*page=0&"))
    page.get_by_label("Pages of filters").get_by_role("button", name="2", exact=True).click()
    expect(filters).to_have_attribute("src", re.compile(r"/filters\?.*page=1&"))
    page.wait_for_function("[...document.querySelectorAll('.tiles img')].every((one) => one.naturalWidth > 0)")


def test_a_model_is_kept_found_tagged_and_weights_renamed(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    keep_weights(home.model("start"), home.run("first") / "model" / "model.safetensors", source="net.safetensors")
    url = serve(home)
    page.goto(f"{url}/models/first?kind=run")
    page.get_by_role("button", name="Copy into the store").click()
    field = page.get_by_role("dialog").get_by_role("textbox")
    expect(field).to_have_value("first-model")
    field.fill("first")
    field.press("Enter")
    expect(page.get_by_text("a run is named 'first' already", exact=False)).to_be_visible()
    page.get_by_role("button", name="Copy into the store").click()
    field.press("Enter")
    page.wait_for_url("**/models/first-model")
    expect(page.get_by_text("Model of the store", exact=False)).to_be_visible()
    page.get_by_role("combobox", name="Tags").fill("paper")
    page.keyboard.press("Enter")
    page.get_by_label("Note").fill("The one.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    notes = yaml.safe_load((home.model("first-model") / "notes.yaml").read_text())
    assert (notes["tags"], notes["note"]) == (["paper"], "The one.")

    page.goto(f"{url}/models")
    models = page.locator(".model-table tbody a")
    expect(models).to_have_count(2)
    expect(page.locator(".model-table .tag")).to_have_text(["paper"])
    choose(page, "Which", "Of runs")
    expect(models).to_have_text(["first"])
    choose(page, "Which", "In the store")
    expect(models).to_have_text(["first-model"])
    choose(page, "Which", "All")
    expect(models).to_have_count(2)
    page.get_by_label("Name, network, dataset or tag contains").fill("PAPER")
    expect(models).to_have_text(["first-model"])

    page.get_by_role("button", name="Rename").click()
    field.fill("begin")
    field.press("Enter")
    expect(page.get_by_text("begin", exact=True)).to_be_visible()
    expect(page.get_by_text("start", exact=True)).to_have_count(0)
    assert not home.model("start").exists()
