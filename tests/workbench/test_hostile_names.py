"""Names and texts that would be markup: every page shows them as they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from fullconv.data.dataset import Dataset
from fullconv.training.fit import train_as
from fullconv.workbench.annotations import Annotations, write_annotations
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page

pytestmark = pytest.mark.browser
IMAGE = "<img src=x onerror='window.hacked=1'>"
SCRIPT = "<script>window.hacked=1</script>"
TEMPLATE = "{{constructor.constructor('window.hacked=1')()}}"
LINK = "javascript:window.hacked=1"
PAGES = {
    "/": ("streets", "first"),
    "/datasets": ("streets",),
    "/datasets/new": (),
    "/datasets/streets": (IMAGE, SCRIPT),
    "/runs/new?dataset=streets": (),
    "/runs/first": (IMAGE,),
    "/models": ("first",),
    "/models/first": (IMAGE,),
    "/test?model=first": (),
    "/compare": (),
    "/layers?model=first": (),
    f"/datasets/{IMAGE}": (),
    f"/runs/{SCRIPT}": (),
    f"/models/{IMAGE}": (),
    f"/layers?model={SCRIPT}&image={IMAGE}": (),
    f"/test?model={IMAGE}&image={SCRIPT}": (),
    f"/compare?models={IMAGE}": (),
}
"""Addresses, and texts that must be seen on them."""


@pytest.fixture
def hostile(tmp_path: Path, scenes: Path) -> Workspace:
    """A workspace in which every text that people write is markup."""
    home = Workspace(tmp_path / "hostile")
    shutil.copytree(scenes, tmp_path / "scenes")
    for path in sorted((tmp_path / "scenes").rglob("scene_00000*")):
        path.rename(path.with_name(path.name.replace("scene_00000", "<img src=x onerror=window.hacked=1>")))
    dataset = Dataset.from_folders(
        tmp_path / "scenes", name="streets", rename={"road": IMAGE, "sky": SCRIPT, "car": TEMPLATE}
    )
    dataset.save(home)
    settings = {"network": "fcn8s-squeezenet1_1", "weights": "random", "epochs": 1, "views": 1, "batch_size": 4}
    quick = {"crop": [64, 64], "workers": 0, "precision": "fp32", "device": "cpu"}
    train_as("first", "streets", settings | quick, workspace=home, quiet=True)
    shutil.copytree(home.run("first") / "model", home.model("first"))
    notes = Annotations(tags=(IMAGE, SCRIPT), note=f"{IMAGE}\n{SCRIPT}\n{TEMPLATE}\n{LINK}")
    for folder in (home.dataset("streets"), home.run("first"), home.model("first")):
        write_annotations(folder, notes)
    shutil.copytree(home.dataset("streets"), home.datasets / IMAGE.replace("/", ""))
    (home.datasets / "broken").mkdir()
    (home.datasets / "broken" / "dataset.yaml").write_text(f"name: {IMAGE!r}\nroot: {SCRIPT}\n")
    return home


def test_no_page_takes_a_name_for_markup(page: Page, serve: Callable[..., str], hostile: Workspace) -> None:
    url = serve(hostile)
    said: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            said.append(message.text)

    page.on("console", heard)
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on(
        "request",
        lambda request: said.append(request.url) if not request.url.startswith((url, "data:", "blob:")) else None,
    )
    for address, texts in PAGES.items():
        page.goto(url + quote(address, safe="/?=&"))
        page.locator("#content, h1, .nicegui-content, body").first.wait_for()
        seen = _read(page, texts)
        assert all(text in seen for text in texts), (address, seen)
        assert page.evaluate("window.hacked") is None, address
        assert page.locator("img[src='x']").count() == 0, address
    assert said == []


def _read(page: Page, texts: tuple[str, ...]) -> str:
    """What can be read on a page and behind each of its tabs, as soon as some texts are there."""
    page.wait_for_timeout(1000)
    seen = page.inner_text("body")
    for tab in page.get_by_role("tab").all():
        if tab.is_visible() and tab.is_enabled():
            tab.click()
            page.wait_for_timeout(700)
            seen += page.inner_text("body")
    for _ in range(60):
        if all(text in seen for text in texts):
            break
        page.wait_for_timeout(500)
        seen += page.inner_text("body")
    return seen
