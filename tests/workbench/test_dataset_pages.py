"""Pages of datasets in a real browser: a dataset is made of folders, looked through, and its classes are changed."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from folders import write_set
from fullconv.data.dataset import Dataset
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]


def opacity(page: Page) -> float:
    """Of the labels on the first thumbnail, as the browser draws it."""
    return float(page.evaluate("getComputedStyle(document.querySelector('.thumb .labels')).opacity"))


def names(page: Page) -> list[str]:
    """Of the images whose thumbnails are shown."""
    return [text.strip("\u200e") for text in page.locator(".thumbs button .name").all_inner_texts()]


def test_a_dataset_is_made_of_folders(page: Page, serve: Serve, home: Workspace, scenes: Path) -> None:
    from playwright.sync_api import expect

    url = serve(home, "--root", str(scenes.parent))
    page.goto(f"{url}/datasets")
    page.get_by_role("link", name="New dataset").click()

    page.get_by_role("button", name="Browse").first.click()
    page.get_by_role("dialog").get_by_text(str(scenes.parent), exact=True).click()
    page.get_by_role("dialog").get_by_text("streets", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text(str(scenes), exact=True)).to_be_visible()
    page.get_by_role("button", name="Use this folder").click()

    expect(page.get_by_text("16 images with labels")).to_be_visible()
    expect(page.get_by_text("The labels are palette images", exact=False)).to_be_visible()
    found = Dataset.from_folders(scenes)
    counts = f"{len(found.train)} train, {len(found.val)} val, {len(found.test)} test"
    expect(page.get_by_text(f"16 images: {counts}")).to_be_visible()
    expect(page.locator(".thumb .labels")).to_have_count(12)
    page.wait_for_function("document.querySelector('.thumb .labels').naturalWidth > 0")
    before = page.locator(".thumb .labels").first.get_attribute("src")

    page.get_by_label("Name of road").fill("way")
    page.get_by_label("Merge sidewalk into").click()
    page.get_by_role("option", name="into road", exact=True).click()
    expect(page.get_by_text("part of road")).to_be_visible()
    page.get_by_label("sky counts").click()
    page.get_by_label("Colour of car").evaluate(
        "(e) => { e.value = '#010203'; e.dispatchEvent(new Event('change', {bubbles: true})) }"
    )
    page.get_by_text("By shares").click()
    page.get_by_label("Training / validation / test, percent").fill("50/50")
    expect(page.get_by_text("16 images: 8 train, 8 val")).to_be_visible()
    expect(page.locator(".thumb .labels").first).not_to_have_attribute("src", before or "")

    page.get_by_label("Name of the dataset").fill("streets")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("a dataset named 'streets' exists already", exact=False)).to_be_visible()
    page.get_by_label("Name of the dataset").fill("made-here")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("link", name="Open made-here").click()
    expect(page.get_by_role("heading", name="made-here")).to_be_visible()
    expect(page.get_by_text("16 images (8 train, 8 val)", exact=False)).to_be_visible()

    dataset = Dataset.load("made-here", home)
    assert dataset.edits.merge == {"way": ("way", "sidewalk")}
    assert dataset.edits.rename == {"road": "way"}
    assert dataset.edits.drop == ("sky",)
    assert dataset.edits.recolor == {"car": "#010203"}
    assert "sky" not in dataset.classes.names


def test_a_dataset_is_made_of_an_archive(
    page: Page, serve: Serve, home: Workspace, scenes: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    good, evil = tmp_path / "my streets.zip", tmp_path / "evil.zip"
    with zipfile.ZipFile(good, "w") as archive:
        for path in sorted(path for path in scenes.rglob("*") if path.is_file()):
            archive.write(path, f"streets/{path.relative_to(scenes)}")
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("images/../../up.png", b"up")
    page.goto(f"{serve(home)}/datasets/new")
    page.get_by_role("button", name='Expand "Upload an archive instead"').click()
    chooser = page.locator("input[type=file]")
    chooser.set_input_files(evil)
    expect(page.get_by_text("up.png", exact=False)).to_be_visible()
    assert not list(home.root.rglob("up.png"))

    chooser.set_input_files(good)
    expect(page.get_by_text("16 images with labels")).to_be_visible()
    expect(page.get_by_label("Name of the dataset")).to_have_value("my-streets")
    page.get_by_text("By shares").click()
    shares = page.get_by_role("row", name="road").first
    before = shares.inner_text()
    page.get_by_label("Training / validation / test, percent").fill("25/25/50")
    expect(page.get_by_text("16 images: 4 train, 4 val, 8 test")).to_be_visible()
    assert shares.inner_text() != before  # of the class in each split
    page.get_by_label("Training / validation / test, percent").fill("a lot")
    expect(page.get_by_role("alert").filter(has_text="split").first).to_be_visible()
    expect(page.get_by_role("button", name="Create")).to_be_disabled()
    page.get_by_label("Training / validation / test, percent").fill("25/25/50")
    expect(page.get_by_role("button", name="Create")).to_be_enabled()
    page.get_by_role("button", name="Create").click()
    page.get_by_role("link", name="Open my-streets").click(timeout=240_000)
    expect(page.get_by_role("heading", name="my-streets")).to_be_visible()
    dataset = Dataset.load("my-streets", home)
    assert dataset.root.is_relative_to(home.root)
    assert [len(dataset.split(name)) for name in ("train", "val", "test")] == [4, 4, 8]
    assert dataset.classes.names == Dataset.from_folders(scenes).classes.names


def test_errors_are_shown_with_what_to_do_and_may_be_let_pass(
    page: Page, serve: Serve, home: Workspace, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    root = write_set(tmp_path / "data" / "rough", 24)
    (root / "images" / "000.png").write_bytes(b"")
    url = serve(home, "--root", str(tmp_path / "data"))
    page.goto(f"{url}/datasets/new")
    field = page.get_by_label("Folder of images, or one folder with everything")
    field.fill("/etc")
    expect(page.get_by_text("outside the allowed folders", exact=False)).to_be_visible()
    field.fill(str(root))
    expect(page.get_by_text("Errors (1)")).to_be_visible()
    expect(page.get_by_text("is empty (0 bytes)")).to_be_visible()
    expect(page.get_by_role("button", name="Create")).to_be_disabled()
    page.get_by_text("Let it pass").click()
    expect(page.get_by_text("Warnings (1)", exact=False)).to_be_visible()
    expect(page.get_by_role("button", name="Create")).to_be_enabled()


def test_images_are_found_and_stepped_through(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    dataset = Dataset.load("streets", home)
    url = serve(home)
    page.goto(f"{url}/datasets/streets")
    expect(page.get_by_text("16 images", exact=True)).to_be_visible()
    assert names(page) == [sample.key for sample in dataset]
    page.wait_for_function("document.querySelector('.thumb .photo').naturalWidth > 0")

    page.get_by_label("Name contains").fill(dataset.samples[5].key[-5:])
    expect(page.get_by_text("1 of 16 images")).to_be_visible()
    assert names(page) == [dataset.samples[5].key]
    page.get_by_label("Name contains").fill("")
    expect(page.get_by_text("16 images", exact=True)).to_be_visible()

    page.get_by_label("Split").click()
    page.get_by_role("option", name="val").click()
    validation = [sample.key for sample in dataset.val]
    expect(page.get_by_text(f"{len(validation)} of 16 images")).to_be_visible()
    assert names(page) == validation
    expect(page).to_have_url(re.compile(r"split=val"))
    page.reload()
    expect(page.get_by_text(f"{len(validation)} of 16 images")).to_be_visible()

    before = opacity(page)
    page.locator("[role=slider] [tabindex]").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "(b) => Number(getComputedStyle(document.querySelector('.thumb .labels')).opacity) > b", arg=before
    )
    page.get_by_text("Labels alone").click()
    page.wait_for_function("getComputedStyle(document.querySelector('.thumb .photo')).visibility === 'hidden'")
    page.get_by_text("Labels alone").click()

    page.locator(".thumbs button").first.focus()
    page.keyboard.press("Enter")
    shown = page.get_by_role("dialog")
    expect(shown.get_by_text(validation[0], exact=True)).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(shown.get_by_text(validation[1], exact=True)).to_be_visible()
    expect(shown.get_by_text(f"2 of {len(validation)}", exact=False)).to_be_visible()
    page.wait_for_function("document.querySelector('[role=dialog] .labels').naturalWidth === 96")
    page.keyboard.press("ArrowLeft")
    expect(shown.get_by_text(validation[0], exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(shown).to_be_hidden()


def test_images_are_found_by_class_once_they_are_counted(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    dataset = Dataset.load("streets", home)
    splits = dataset.statistics.splits.values()
    counts = {name: sum(found.images_with[name] for found in splits) for name in dataset.classes.names}
    rare = min(counts, key=lambda name: counts[name])
    count = counts[rare]
    assert 0 < count < 16
    url = serve(home)
    page.goto(f"{url}/datasets/streets?class={rare}")
    expect(page.get_by_text(f"{count} of 16 images")).to_be_visible()
    page.get_by_role("tab", name="Classes").click()
    expect(page.locator("[aria-label='Share of each class by split'] svg")).to_be_visible()
    page.get_by_text("Logarithmic axis").click()
    page.get_by_role("tab", name="Stride ceiling").click()
    expect(page.get_by_text("Dashed: always saying", exact=False)).to_be_visible()


def test_classes_are_changed_by_a_job(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.goto(f"{url}/datasets/streets")
    page.get_by_role("tab", name="Classes").click()
    page.get_by_text("Change classes").click()
    expect(page.get_by_text("Models that are finished keep the classes", exact=False)).to_be_visible()
    page.get_by_label("Merge sidewalk into").click()
    page.get_by_role("option", name="into road", exact=True).click()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text(f"{len(Dataset.load('streets', home).classes) - 1} classes", exact=False)).to_be_visible()
    assert Dataset.load("streets", home).edits.merge == {"road": ("road", "sidewalk")}


def test_names_of_any_kind_are_shown_as_they_are(page: Page, serve: Serve, home: Workspace, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    root = tmp_path / "odd"
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    for number in range(4):
        name = f"<img src=x onerror=alert({number})> {{{{ 7*7 }}}}"
        Image.new("RGB", (32, 24), (number, 0, 0)).save(root / "images" / f"{name}.png")
        label = Image.new("L", (32, 24), 0)
        label.paste(1, (0, 0, 8 + number, 12))
        label.save(root / "labels" / f"{name}.png")
    names_of_any_kind = {"class_0": "<b>ground</b>", "class_1": "{{constructor.name}}"}
    Dataset.from_folders(root, name="odd", rename=names_of_any_kind).save(home)
    url = serve(home)
    page.goto(f"{url}/datasets/odd")
    expect(page.locator(".thumbs button")).to_have_count(4)
    assert names(page)[0] == "<img src=x onerror=alert(0)> {{ 7*7 }}"
    page.get_by_role("tab", name="Classes").click()
    expect(page.get_by_role("cell", name="{{constructor.name}}")).to_be_visible()
    expect(page.get_by_role("cell", name="<b>ground</b>")).to_be_visible()
    assert page.locator("img[src='x']").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_narrow_screen(page: Page, serve: Serve, home: Workspace, scheme: str) -> None:
    from playwright.sync_api import expect

    url = serve(home, "--read-only")
    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme=scheme)
    for address in ("/datasets", "/datasets/streets", "/datasets/new", "/datasets/none"):
        page.goto(f"{url}{address}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, address
    expect(page.get_by_text("there is no dataset 'none'", exact=False)).to_be_visible()
    page.goto(f"{url}/datasets/streets")
    expect(page.get_by_text("This workbench can only be looked at.")).to_be_visible()
    assert page.get_by_label("Delete this dataset").count() == 0
