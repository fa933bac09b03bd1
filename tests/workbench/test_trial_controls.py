"""Controls of Test and Compare in a browser: panes, heads, a path, folders, galleries, scores, what is cancelled."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fullconv.data.classes import ClassTable
from fullconv.store.package import load_package, save_package
from fullconv.store.recipe import NetworkRecipe
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
KNOWS = "(name) => document.querySelector('.trial-side')?.innerText.includes(name)"
"""Whether the classes beside an image, found or not, have one of that name; undefined before they are there."""


def choose(page: Page, field: str, option: str | re.Pattern[str]) -> None:
    page.get_by_role("combobox", name=field, exact=True).click()
    page.get_by_role("option", name=option).click()


def many(folder: Path, scenes: Path, count: int) -> Path:
    """A folder with one image, many times."""
    folder.mkdir()
    source = scenes / "test" / "images" / "scene_00014.png"
    for number in range(count):
        os.link(source, folder / f"photo_{number:04}.png")
    return folder


def two_headed(home: Workspace) -> str:
    """The model `two` of the store: one head knows all classes, one the first two; the name of the third."""
    _, card = load_package(home.run("first") / "model")
    assert isinstance(card.classes, ClassTable)
    few = ClassTable(classes=card.classes.classes[:2])
    counts = {"things": len(card.classes), "ground": 2}
    recipe = NetworkRecipe(name="fcn8s-squeezenet1_1", classes=counts, channels=3)
    both = card.model_copy(update={"network": recipe, "classes": {"things": card.classes, "ground": few}, "scores": ()})
    save_package(home.model("two"), recipe.build().eval(), both)
    return card.classes.names[2]


def test_a_path_leads_to_panes_and_heads(page: Page, serve: Serve, home: Workspace, scenes: Path) -> None:
    from playwright.sync_api import expect

    third = two_headed(home)
    url = serve(home, "--root", str(scenes))
    page.goto(f"{url}/test?model=two")
    page.get_by_label("Or its path on the server").fill(str(scenes / "test" / "images" / "scene_00014.png"))
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.get_by_role("heading", name="scene_00014")).to_be_visible()
    assert "head=things" in page.url
    assert "path=" in page.url
    panes = page.locator("[data-pane]")
    shown = lambda: panes.evaluate_all("(all) => all.map((one) => one.dataset.pane)")  # noqa: E731
    expect(panes).to_have_count(2)
    assert shown() == ["image", "overlay"]
    group = page.get_by_role("group", name="What is shown")
    for name in ("Label map", "How sure"):
        group.get_by_role("checkbox", name=name).click()
    expect(panes).to_have_count(4)
    assert shown() == ["image", "overlay", "labels", "sure"]
    page.wait_for_function("document.querySelector('[data-pane=sure] canvas')?.width > 0")
    group.get_by_role("checkbox", name="Image", exact=True).click()
    expect(panes).to_have_count(3)

    page.wait_for_function(f"(name) => ({KNOWS})(name) === true", arg=third)
    choose(page, "Head", "ground")
    expect(page).to_have_url(re.compile("head=ground"))
    page.wait_for_function(f"(name) => ({KNOWS})(name) === false", arg=third)
    expect(panes).to_have_count(3)  # what was chosen is kept
    page.reload()
    expect(page).to_have_url(re.compile("head=ground"))
    expect(page.get_by_role("heading", name="scene_00014")).to_be_visible()
    choose(page, "Model", re.compile(r"^first \("))
    expect(page).to_have_url(re.compile(r"run=first&path="))
    expect(page.get_by_role("combobox", name="Head")).to_be_hidden()


def test_a_folder_becomes_a_gallery_with_pages_that_is_deleted(
    page: Page, serve: Serve, home: Workspace, scenes: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    folder = many(tmp_path / "photos", scenes, 30)
    url = serve(home, "--root", str(tmp_path / "photos"))
    page.goto(f"{url}/test?run=first&tab=many")
    page.get_by_label("Or a folder on the server").fill("/etc")
    page.get_by_role("button", name="Predict all").click()
    expect(page.get_by_text("outside the allowed folders")).to_be_visible()
    page.get_by_role("button", name="Choose a folder").click()
    chooser = page.get_by_role("dialog", name="Choose a folder")
    chooser.get_by_text(str(folder), exact=True).click()
    chooser.get_by_role("button", name="Use this folder").click()
    expect(page.get_by_label("Or a folder on the server")).to_have_value(str(folder))
    page.get_by_role("checkbox", name="Write the probabilities of all classes too").click()
    page.get_by_role("button", name="Predict all").click()
    page.wait_for_url("**/predictions/**")
    expect(page.get_by_text("30 images")).to_be_visible()
    name = page.url.rsplit("/", 1)[-1]
    assert len(list((home.root / "predictions" / name).rglob("*_probabilities.npy"))) == 30
    expect(page.locator(".thumb")).to_have_count(24)
    page.get_by_role("button", name="2", exact=True).click()
    expect(page.locator(".thumb")).to_have_count(6)
    expect(page.get_by_text("photo_0029")).to_be_visible()
    page.wait_for_function("[...document.querySelectorAll('.thumb img')].every((i) => i.naturalWidth > 0)")

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/test?tab=many")
    expect(page.get_by_role("button", name="Predict all")).to_be_visible()
    assert not (home.root / "predictions" / name).exists()


def test_a_model_is_scored_on_a_whole_dataset(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.goto(f"{url}/test?run=first&tab=dataset")
    choose(page, "Split", "val")
    page.get_by_role("button", name="Score the model").click()
    scores = page.get_by_role("row", name="streets, val")
    expect(scores).to_be_visible()
    expect(page.get_by_role("button", name="Abort")).to_have_count(0)
    (told,) = page.request.get(f"{url}/api/v1/evaluations").json()
    expect(scores).to_contain_text(f"{100 * told['mean_iou']:.1f} %")
    expect(scores.get_by_role("link")).to_have_attribute("href", f"/api/v1/evaluations/{told['name']}/report")


def test_a_comparison_of_some_images_and_of_a_folder(
    page: Page, serve: Serve, home: Workspace, scenes: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    folder = many(tmp_path / "photos", scenes, 2000)
    shutil.copytree(home.run("first") / "model", home.model("other"))
    page.goto(f"{serve(home, '--root', str(folder))}/compare?models=first,other")
    choose(page, "Dataset", "streets")
    choose(page, "Which", "Training images")
    page.get_by_label("At most, drawn at random").fill("2")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("2 images (streets, train): the models differ on")).to_be_visible()
    expect(page).to_have_url(re.compile(r"split=train.*sample=2"))
    page.get_by_role("button", name="Next image").click()
    expect(page.get_by_text("· 2 of 2", exact=False)).to_be_visible()
    page.get_by_role("button", name="Previous image").click()
    expect(page.get_by_text("· 1 of 2", exact=False)).to_be_visible()

    choose(page, "Images from", "Files on the server")
    page.get_by_role("button", name="Browse").click()
    chooser = page.get_by_role("dialog", name="Choose a folder")
    chooser.get_by_text(str(folder), exact=True).click()
    chooser.get_by_role("button", name="Use this folder").click()
    expect(page.get_by_label("Folder or image on the server")).to_have_value(str(folder))
    page.get_by_label("At most, drawn at random").fill("")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text(re.compile(r"^[1-9]\d* of 2,000 images \(files\)"))).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_text("It was cancelled.")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
    expect(page.locator(".panes .name").first).to_have_text("Input")


def test_of_models_with_one_name_the_page_says_which_is_meant(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    for name in ("first", "other"):
        shutil.copytree(home.run("first") / "model", home.model(name))
    url = serve(home)
    page.goto(f"{url}/compare?models=first,other")
    expect(page.get_by_text("A run has the name first, too; the model of the store is taken.")).to_be_visible()
    page.goto(f"{url}/models/first?kind=run")
    expect(page.get_by_text("A model of the store has this name too", exact=False)).to_be_visible()
    links = page.locator("#content").get_by_role("link")
    for name, address in (
        ("Test now", "/test?run=first"),
        ("Layers", "/layers?model=first&kind=run"),
        ("Download", "/api/v1/models/first/package?kind=run"),
        ("JSON", "/api/v1/models/first?kind=run"),
    ):
        assert links.filter(has_text=name).get_attribute("href") == address
    expect(links.filter(has_text="Compare")).to_have_count(0)
    page.get_by_label("Note").fill("of the run")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert (home.run("first") / "notes.yaml").is_file()
    assert not (home.model("first") / "notes.yaml").exists()

    links.filter(has_text="Layers").click()
    expect(page.get_by_role("combobox", name="Model")).to_have_value("first (of the run)")
