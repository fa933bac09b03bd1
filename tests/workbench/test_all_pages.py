"""Every page in a real browser: it fits, has contrast, is read out, is reached by keyboard, says what is missing."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from fullconv.workbench.pages.register import register_pages
from fullconv.workspace import Workspace
from served import start_server
from usable_pages import faults, keyboard_faults, overflow, stand_still

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
IMAGE = "dataset=streets&image=test%2Fscene_00014"
PAGES = {
    "/": ("/", ".q-select:has-text('Group') >> visible=true"),
    "/datasets": ("/datasets", "a[href='/datasets/streets']"),
    "/datasets/new": ("/datasets/new", "input"),
    "/datasets/{name}": ("/datasets/streets", ".thumbs button"),
    "/layers": ("/layers?model=first", ".tiles img[src]"),
    "/test": (f"/test?run=first&{IMAGE}", ".legend button"),
    "/predictions/{name}": ("/predictions/PREDICTION", ".thumb img"),
    "/runs/new": ("/runs/new", "text=/MiB of/"),
    "/runs/{name}": ("/runs/first", ".run-charts svg"),
    "/groups/{name}": ("/groups/seeds", "tbody a[href='/runs/seed-0']"),
    "/compare": ("/compare?models=first,other&dataset=streets&sample=2", ".swipe"),
    "/models": ("/models", "tbody a[href='/models/other']"),
    "/models/{name}": ("/models/other", "text=Use as pretrained"),
}
"""By the pattern of their address: an address, and what is there when the page is."""
NOTHING = {
    "/": ("Nothing here yet. It begins with a dataset.", "/datasets/new"),
    "/datasets": ("No dataset yet", "/datasets/new"),
    "/datasets/new": ("Images and labels", None),
    "/layers": ("There is no model yet.", "/runs/new"),
    "/test": ("There is no model yet. A run makes one when it is done.", "/runs/new"),
    "/runs/new": ("There is no dataset to train on yet.", "/datasets/new"),
    "/compare": ("Comparing takes two models, and there is no model yet.", "/runs/new"),
    "/models": ("No model yet. A run makes one when it is done.", "/runs/new"),
}
"""What pages of an empty workspace say, and where they lead."""
UNKNOWN = {
    "/nowhere": "There is no such page",
    "/datasets/absent": "there is no dataset 'absent'",
    "/runs/absent": "there is no run 'absent'",
    "/groups/absent": "there is no group 'absent'",
    "/models/absent": "no model or run has that name",
    "/predictions/absent": "absent",
}
ARRIVED = "() => [...document.images].every((image) => image.complete || image.loading === 'lazy')"
Look = tuple[str, int]


def in_group(home: Workspace, name: str, seed: int) -> None:
    """A run like the first one, of the group `seeds`."""
    run = home.run(name)
    shutil.copytree(home.run("first"), run, copy_function=os.link)
    plan = (run / "experiment.yaml").read_text()
    (run / "experiment.yaml").unlink()
    (run / "experiment.yaml").write_text(re.sub(r"(?m)^(seed|group): .*\n", "", plan) + f"seed: {seed}\ngroup: seeds\n")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, trained: Path, scenes: Path) -> Iterator[tuple[str, str]]:
    """A server on a workspace that has something for every page; its address, and the name of a prediction."""
    place = tmp_path_factory.mktemp("everything")
    shutil.copytree(trained, place / "home")
    home = Workspace(place / "home")
    shutil.copytree(home.run("first") / "model", home.model("other"))
    for seed in range(2):
        in_group(home, f"seed-{seed}", seed)
    server, url = start_server(home, place / "server.log", "--root", str(scenes.parent), "--cpu-jobs", "1")
    wish = {"model": "first", "folder": str(scenes / "test" / "images")}
    job = httpx.post(f"{url}/api/v1/predictions", json=wish, timeout=60).raise_for_status().json()
    end = time.monotonic() + 240
    while httpx.get(f"{url}/api/v1/jobs/{job['id']}", timeout=60).json()["state"] != "done":
        assert time.monotonic() < end
        time.sleep(0.3)
    yield url, job["subject"].partition(":")[2]
    server.terminate()
    server.wait(timeout=60)


@pytest.fixture
def said(page: Page) -> list[str]:
    """Errors that the console of the page tells, and answers that are none."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("response", lambda answer: found.append(answer.url) if answer.status >= 400 else None)
    return found


def dress(page: Page, scheme: str, width: int) -> None:
    """Another theme and width of the window."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    dark = "true" if scheme == "dark" else "false"
    page.wait_for_function(f"document.body.classList.contains('body--dark') === {dark} && innerWidth === {width}")


def test_the_list_of_pages_is_whole() -> None:
    assert set(PAGES) == set(re.findall(r'ui\.page\("([^"]+)"', inspect.getsource(register_pages)))
    assert set(NOTHING) == {pattern for pattern in PAGES if "{" not in pattern}


@pytest.mark.parametrize("pattern", PAGES)
def test_everybody_can_use_it(page: Page, everything: tuple[str, str], said: list[str], pattern: str) -> None:
    from playwright.sync_api import expect

    url, prediction = everything
    address, sign = PAGES[pattern]
    page.goto(url + address.replace("PREDICTION", prediction))
    page.locator(sign).first.wait_for()
    page.wait_for_function(ARRIVED)
    stand_still(page)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    twin = page.get_by_role("link", name="JSON", exact=True).first
    expect(twin).to_be_visible()
    answer = httpx.get(url + str(twin.get_attribute("href")), timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    found: dict[Look, list[str]] = {}
    for look in (("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)):
        dress(page, *look)
        found[look] = [] if overflow(page) <= 0 else [f"{overflow(page)} pixels too wide"]
        if look in (("light", 1280), ("dark", 400)):
            found[look] += faults(page)
    for tab in page.get_by_role("tab").all():
        if tab.is_visible() and tab.get_attribute("aria-selected") == "false":
            tab.click()
            page.wait_for_timeout(300)
            tabs = found["dark", 400]
            tabs += faults(page, "main") + ([] if overflow(page) <= 0 else [f"too wide: {tab.inner_text()}"])
    assert found == {look: [] for look in found}
    assert said == []


@pytest.mark.parametrize("pattern", PAGES)
def test_the_keyboard_reaches_everything(page: Page, everything: tuple[str, str], pattern: str) -> None:
    url, prediction = everything
    address, sign = PAGES[pattern]
    page.goto(url + address.replace("PREDICTION", prediction))
    page.locator(sign).first.wait_for()
    page.wait_for_timeout(300)
    assert keyboard_faults(page) == []


def test_pages_without_anything_say_what_to_do(page: Page, serve: Callable[..., str], tmp_path: Path) -> None:
    from playwright.sync_api import expect

    url = serve(Workspace(tmp_path / "empty"))
    page.set_viewport_size({"width": 400, "height": 800})
    for address, (sentence, start) in NOTHING.items():
        page.goto(url + address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        content = page.locator("#content")
        expect(content.get_by_text(sentence).first).to_be_visible()
        if start is not None:
            expect(content.locator(f"a[href='{start}']").last).to_be_visible()
        assert overflow(page) <= 0, address


def test_names_that_nothing_has_are_told(page: Page, everything: tuple[str, str]) -> None:
    from playwright.sync_api import expect

    url, _ = everything
    page.set_viewport_size({"width": 400, "height": 800})
    for address, sentence in UNKNOWN.items():
        answer = page.goto(url + address)
        assert answer is not None
        assert answer.status == 404, address
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator("#content").get_by_text(sentence).first).to_be_visible()
        assert page.locator("#content a").count() >= 1, address
        assert overflow(page) <= 0
    assert faults(page) == []
    for address in ("/test?model=absent", "/layers?model=absent"):
        page.goto(url + address)
        expect(page.locator("#content").get_by_text("absent").first).to_be_visible()
