"""The page Compare in a real browser: two models, a line between them, numbers, and the next image."""

from __future__ import annotations

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

    expect(page.get_by_role("row", name="Mean IoU")).to_be_visible()
    expect(page.get_by_role("img", name="Difference of the IoU per class")).to_be_visible()
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


def test_what_is_missing_is_said(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.goto(f"{url}/compare?models=first&dataset=streets")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("Choose two to 4 models.")).to_be_visible()
    page.goto(f"{url}/compare?models=first,other&dataset=streets&keys=nowhere")
    expect(page.get_by_text("has no image 'nowhere'")).to_be_visible()
