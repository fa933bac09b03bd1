"""Pages of models in a real browser: what is uploaded, renamed, licensed, deleted, taken away, used and tried."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fullconv.store.package import read_card
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]


@pytest.fixture
def package(home: Workspace, tmp_path: Path) -> Path:
    """The run's model as a zip."""
    path = tmp_path / "street model.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for file in (home.run("first") / "model").iterdir():
            packed.write(file, f"first/{file.name}")
    return path


def test_a_model_is_uploaded_renamed_and_deleted(
    page: Page, serve: Serve, home: Workspace, package: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.goto(f"{url}/models")
    expect(page.get_by_role("link", name="first", exact=True)).to_be_visible()
    page.get_by_role("button", name="Upload", exact=True).click()
    page.get_by_label("Name", exact=True).fill("avenue")
    page.locator("input[type=file]").set_input_files(package)
    page.get_by_role("link", name="avenue", exact=True).click()

    expect(page.get_by_role("heading", name="avenue")).to_be_visible()
    expect(page.get_by_text("Model of the store", exact=False)).to_be_visible()
    expect(page.locator(".iou").get_by_text("road", exact=True)).to_be_visible()
    for name, address in (
        ("Test now", "/test?model=avenue"),
        ("Layers", "/layers?model=avenue&kind=model"),
        ("Use as pretrained", "/runs/new?weights=avenue"),
        ("Compare", "/compare?models=avenue"),
        ("Download", "/api/v1/models/avenue/package?kind=model"),
    ):
        assert page.locator("main, [role=main]").get_by_role("link", name=name).get_attribute("href") == address

    page.get_by_role("button", name="Change the licence").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("CC-BY-4.0")
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_text("CC-BY-4.0", exact=True)).to_be_visible()
    assert read_card(home.model("avenue")).licence == "CC-BY-4.0"

    page.get_by_role("button", name="Rename").click()
    field = page.get_by_role("dialog").get_by_role("textbox")
    field.fill("no name")
    field.press("Enter")
    expect(page.get_by_text("Use letters, digits, dot, dash and underscore.")).to_be_visible()
    field.fill("boulevard")
    field.press("Enter")
    page.wait_for_url("**/models/boulevard")
    expect(page.get_by_text("Renamed from avenue")).to_be_visible()

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/models")
    expect(page.get_by_role("link", name="first", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="boulevard", exact=True)).to_have_count(0)
    assert not home.model("boulevard").exists()


def test_weights_and_what_is_no_package(page: Page, serve: Serve, home: Workspace, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(broken, "w") as packed:
        packed.writestr("readme.txt", "<img src=x onerror=alert(1)>")
    page.goto(f"{url}/models")
    page.get_by_role("button", name="Upload", exact=True).click()
    chooser = page.locator("input[type=file]")
    chooser.set_input_files(broken)
    expect(page.get_by_text("holds no model package", exact=False)).to_be_visible()
    assert not home.models.exists() or not list(home.models.iterdir())

    weights = tmp_path / "start <b>here.safetensors"
    weights.write_bytes((home.run("first") / "model" / "model.safetensors").read_bytes())
    chooser.set_input_files(weights)
    expect(page.get_by_text("start-b-here", exact=True)).to_be_visible()
    expect(page.get_by_text("start <b>here.safetensors", exact=False).first).to_be_visible()
    use = page.get_by_role("link", name="Use for a run")
    assert use.get_attribute("href") == "/runs/new?weights=start-b-here"
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("start-b-here", exact=True)).to_have_count(0)


def test_a_workbench_to_look_at_has_no_buttons_that_change(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home, "--read-only")
    page.goto(f"{url}/models/first")
    expect(page.get_by_role("heading", name="first")).to_be_visible()
    for name in ("Copy into the store", "Rename", "Delete", "Save", "Change the licence"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.goto(f"{url}/models")
    expect(page.get_by_role("link", name="first", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Upload", exact=True)).to_have_count(0)
    page.goto(f"{url}/models/nothing")
    expect(page.get_by_text("no model or run has that name", exact=False)).to_be_visible()


def test_a_model_is_taken_away_brought_back_used_and_tried(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home, "--cpu-jobs", "0")
    page.goto(f"{url}/models/first?kind=run")
    with page.expect_download() as taken:
        page.get_by_role("link", name="Download").click()
    assert zipfile.is_zipfile(taken.value.path())
    package = taken.value.path().with_name("first.zip")
    taken.value.save_as(package)

    page.goto(f"{url}/models")
    page.get_by_role("button", name="Upload", exact=True).click()
    page.get_by_label("Name", exact=True).fill("again")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(package)
    page.get_by_role("link", name="again", exact=True).click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert read_card(home.model("again")).network == read_card(home.run("first") / "model").network

    page.get_by_role("link", name="Use as pretrained").click()
    expect(page.get_by_label("weights", exact=True)).to_have_value("again")
    expect(page.get_by_text("weights: again", exact=False).first).to_be_visible()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    page.go_back()
    page.get_by_role("link", name="Test now").click()
    expect(page.get_by_role("combobox", name="Model")).to_have_value(re.compile(r"^again \("))
    page.locator(".strip button").first.click()
    expect(page.locator('[data-pane="truth"] canvas').first).to_be_visible()
    assert "model=again" in page.url
