"""Controls of the pages of datasets in a real browser: how folders are read and split, filters, order, pages, notes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from folders import NAMES, write_set
from fullconv.data.dataset import Dataset
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
FOLDER = "Folder of images, or one folder with everything"
OUTLINE = "getComputedStyle(document.querySelector('.thumb .outline')).display"


def names(page: Page) -> list[str]:
    """Of the images whose thumbnails are shown."""
    return [text.strip("\u200e") for text in page.locator(".thumbs button .name").all_inner_texts()]


def choose(page: Page, field: str, option: str) -> None:
    page.get_by_role("combobox", name=field, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_datasets_are_searched_and_ordered(page: Page, serve: Serve, home: Workspace, scenes: Path) -> None:
    from playwright.sync_api import expect

    Dataset.from_folders(scenes, name="tracks").save(home)
    page.goto(f"{serve(home)}/datasets")
    cards = page.locator(".dataset-card .text-weight-medium")
    expect(cards).to_have_text(["tracks", "streets"])
    choose(page, "Order", "Name")
    expect(cards).to_have_text(["streets", "tracks"])
    page.get_by_label("Name or tag contains").fill("TRACK")
    expect(cards).to_have_text(["tracks"])
    expect(page.get_by_text("1 dataset", exact=True)).to_be_visible()


def test_folders_are_read_as_one_says(page: Page, serve: Serve, home: Workspace, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    root = write_set(tmp_path / "data" / "set", 24, names=False)
    (root / "labels" / "003.png").unlink()
    (tmp_path / "data" / "names.txt").write_text("\n".join(NAMES) + "\n")
    for split, first, last in (("train", 0, 20), ("test", 20, 24)):
        (tmp_path / "data" / f"{split}.txt").write_text("".join(f"{number:03}\n" for number in range(first, last)))
    page.goto(f"{serve(home, '--root', str(tmp_path / 'data'))}/datasets/new")

    page.get_by_role("button", name="Browse").first.click()
    chooser = page.get_by_role("dialog", name="Choose a folder")
    chooser.get_by_text(str(tmp_path / "data"), exact=True).click()
    chooser.get_by_role("button", name="Cancel").click()
    expect(chooser).to_be_hidden()
    expect(page.get_by_label(FOLDER)).to_have_value("")

    page.get_by_label(FOLDER).fill(str(root))
    expect(page.get_by_text("23 images with labels, 1 file without partner")).to_be_visible()
    page.get_by_role("button", name='Expand "How to read them"').click()
    choose(page, "Images without label", "are all background")
    expect(page.get_by_text("24 images with labels", exact=True)).to_be_visible()
    page.get_by_label("Class file, if not beside the labels").fill(str(tmp_path / "data" / "names.txt"))
    expect(page.get_by_label("Name of rider")).to_be_visible()
    page.get_by_label("Classes to ignore, by name, id or #rrggbb; commas between").fill("rider")
    expect(page.get_by_role("switch", name="rider counts")).not_to_be_checked()
    expect(page.get_by_role("switch", name="road counts")).to_be_checked()
    page.get_by_label("List of test images (text file)").fill(str(tmp_path / "data" / "test.txt"))
    expect(page.get_by_text(re.compile("^4 images: 4 test$"))).to_be_visible()
    expect(page.get_by_role("button", name="Create")).to_be_disabled()
    page.get_by_label("List of training images (text file)").fill(str(tmp_path / "data" / "train.txt"))
    expect(page.get_by_text(re.compile(r"^24 images: \d+ train.*, 4 test$"))).to_be_visible()
    sky = page.get_by_role("row").filter(has=page.get_by_role("cell", name="sky"))
    expect(sky).to_have_count(1)
    page.get_by_label("Codes that mean another class, as 7=road, #102030=ignore").fill("2=road")
    expect(sky).to_have_count(0)
    choose(page, "Label format", "colors")
    expect(page.get_by_role("button", name="Create")).to_be_hidden()
    expect(page.get_by_text("there is no class 'rider' to ignore", exact=False)).to_be_visible()
    choose(page, "Label format", "ids")
    expect(page.get_by_role("button", name="Create")).to_be_enabled()


def test_splits_follow_seed_and_groups(page: Page, serve: Serve, home: Workspace, scenes: Path) -> None:
    from playwright.sync_api import expect

    page.goto(f"{serve(home, '--root', str(scenes.parent))}/datasets/new")
    page.get_by_label(FOLDER).fill(str(scenes))
    pairs = page.locator(".thumb .name")
    expect(pairs).to_have_count(12)
    keys = [text.strip("\u200e").split(" · ")[0] for text in pairs.all_inner_texts()]

    def split_as(pattern: str | None, seed: int) -> list[str]:
        found = Dataset.from_folders(scenes, split="50/50", seed=seed, group_by=pattern)
        splits = {sample.key: sample.split for sample in found}
        return [f"\u200e{key} · {splits[key]}" for key in keys]

    page.get_by_text("By shares").click()
    page.get_by_label("Training / validation / test, percent").fill("50/50")
    first, other = split_as(None, 0), split_as(None, 3)
    assert first != other
    expect(pairs).to_have_text(first)
    page.get_by_label("Seed", exact=True).fill("3")
    expect(pairs).to_have_text(other)
    group = page.get_by_label("Keep together what this finds in names")
    group.fill(r"scene_000(\d)")
    together = split_as(r"scene_000(\d)", 3)
    for group_name in ("scene_0000", "scene_0001"):
        assert len({text.rsplit(" · ")[-1] for text in together if group_name in text}) == 1
    expect(pairs).to_have_text(together)
    group.fill("(")
    expect(page.get_by_role("button", name="Create")).to_be_disabled()


def test_a_look_at_many_folders_is_cancelled(page: Page, serve: Serve, home: Workspace, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    root = write_set(tmp_path / "data" / "many", 1)
    for part in ("images", "labels"):
        for number in range(1, 5000):
            os.link(root / part / "000.png", root / part / f"{number:05}.png")
    page.goto(f"{serve(home, '--root', str(tmp_path / 'data'))}/datasets/new")
    page.get_by_label(FOLDER).fill(str(root))
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    expect(page.get_by_role("button", name="Create")).to_be_hidden()


def test_images_are_filtered_ordered_and_paged(page: Page, serve: Serve, home: Workspace, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    root = write_set(tmp_path / "set", 60)
    for part in ("images", "labels"):
        shutil.copyfile(root / part / "007.png", root / part / "050.png")
    dataset = Dataset.from_folders(root, name="set")
    dataset.save(home)
    keys = [sample.key for sample in dataset]
    page.goto(f"{serve(home)}/datasets/set")
    expect(page.get_by_text("60 images", exact=True)).to_be_visible()
    assert names(page) == keys[:48]
    page.get_by_role("button", name="2", exact=True).click()
    expect(page.locator(".thumbs button")).to_have_count(12)
    assert names(page) == keys[48:]
    expect(page).to_have_url(re.compile(r"page=2"))
    page.reload()
    expect(page.locator(".thumbs button")).to_have_count(12)
    choose(page, "Order", "Name, from the end")
    expect(page.locator(".thumbs button .name").first).to_have_text(f"\u200e{keys[-1]}")
    assert names(page) == keys[:-49:-1]
    expect(page).to_have_url(re.compile(r"/set\?sort=-name$"))

    assert page.evaluate(OUTLINE) == "none"
    page.get_by_role("switch", name="Outline").click()
    page.wait_for_function(f"{OUTLINE} === 'block'")
    page.locator(".thumbs button").first.click()
    shown = page.get_by_role("dialog", name="Image")
    expect(shown.get_by_role("button", name="Previous image")).to_be_disabled()
    shown.get_by_role("button", name="Next image").click()
    expect(shown.get_by_text(keys[-2], exact=True)).to_be_visible()
    shown.get_by_role("button", name="Previous image").click()
    expect(shown.get_by_text(keys[-1], exact=True)).to_be_visible()
    shown.get_by_role("button", name="Close").click()
    expect(shown).to_be_hidden()

    page.get_by_role("combobox", name="Classes, all in the image").click()
    page.get_by_role("option", name="sky", exact=True).click()
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(r"class=sky"))
    page.get_by_label("Name contains").fill("nowhere")
    expect(page.get_by_text("No image fits all of these.")).to_be_visible()
    page.get_by_role("button", name="Show all images").click()
    expect(page.get_by_text("60 images", exact=True)).to_be_visible()
    expect(page.get_by_label("Name contains")).to_have_value("")
    page.get_by_role("combobox", name="Problem").click()
    page.get_by_role("option", name="same-picture-twice (2)").click()
    expect(page.locator(".thumbs button")).to_have_count(2)
    assert sorted(names(page)) == [keys[7], keys[50]]
    expect(page).to_have_url(re.compile(r"problem=same-picture-twice"))

    page.get_by_role("tab", name="Problems").click()
    link = page.locator("li", has_text="same picture twice").get_by_role("link", name="Show the images")
    assert link.get_attribute("href") == "/datasets/set?problem=same-picture-twice"
    link.click()
    expect(page.get_by_text("2 of 60 images")).to_be_visible()
    expect(page.locator(".thumbs button")).to_have_count(2)


def test_a_dataset_is_tagged_and_noted(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.goto(f"{url}/datasets/streets")
    page.get_by_role("tab", name="Notes").click()
    page.get_by_role("combobox", name="Tags").fill("paper")
    page.keyboard.press("Enter")
    page.get_by_label("Note").fill("From the car.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert "paper" in (home.dataset("streets") / "notes.yaml").read_text()
    page.goto(f"{url}/datasets")
    page.get_by_label("Name or tag contains").fill("paper")
    expect(page.locator(".dataset-card .tag")).to_have_text(["paper"])
