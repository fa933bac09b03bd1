"""Home in a real browser: what runs, grows and ends; tables sorted, searched, tagged, compared and deleted from."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fullconv.training.status import read_status, write_status
from fullconv.workbench.settings import ServerSettings, Slots
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from workbench.conftest import QUICK

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
EPOCH = "Number(document.querySelector('.job .said').innerText.match(/epoch (\\d+) of/)?.[1] ?? 0)"
POINTS = "(document.querySelector('.spark polyline')?.getAttribute('points') ?? '').split(' ').filter(Boolean).length"


def ask(url: str, path: str, document: Any = None) -> Any:
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(f"{url}/api/v1{path}", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def copied(home: Workspace, name: str, score: float) -> Path:
    """A run like the first one, with another best score."""
    run = home.run(name)
    shutil.copytree(home.run("first"), run, copy_function=os.link)
    write_status(run, read_status(run).model_copy(update={"best_mean_iou": score}))
    return run


def failed(home: Workspace) -> None:
    """A job that failed."""
    queue = Workbench(ServerSettings(home)).queue
    queue.add("dataset", title="Dataset new", payload={}, subject="dataset:new", device="aside")
    claimed = queue.claim(Slots(cpu=0, aside=1))
    assert claimed is not None
    queue.end(claimed.id or 0, claimed.claim or "", "failed", error="images: no such folder.")
    queue.engine.dispose()


def names(page: Page) -> list[str]:
    return page.locator("tbody td a[href^='/runs/']").all_inner_texts()


def chosen(page: Page, name: str) -> Locator:
    return page.get_by_role("checkbox", name=f"Choose {name}", exact=True)


def act(page: Page, action: str) -> None:
    page.get_by_role("button", name=action, exact=True).locator("visible=true").click()


def test_a_running_job_is_watched_aborted_done_again_and_forgotten(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    failed(home)
    url = serve(home)
    page.goto(url)
    expect(page.get_by_text("Nothing runs.")).to_be_visible()
    ended = page.get_by_role("list", name="Jobs that ended lately")
    expect(page.get_by_text("Ended lately: 1, 1 failed")).to_be_visible()
    expect(ended.locator(".bad")).to_have_text(
        "failed just now: images: no such folder."
    )  # it is open, since one failed
    expect(ended.get_by_role("button", name="Retry Dataset new")).to_be_visible()
    ended.get_by_role("button", name="Forget Dataset new").click()
    expect(ended).to_be_hidden()
    name = ask(url, "/runs", {"experiment": {"dataset": "streets", **QUICK, "epochs": 400}})["runs"][0]
    jobs = page.get_by_role("list", name="Jobs", exact=True)
    expect(jobs.get_by_role("link", name="fcn8s-squeezenet1_1 on streets")).to_have_attribute("href", f"/runs/{name}")
    page.wait_for_function(f"{POINTS} > 2 && {EPOCH} > 2")
    before = page.evaluate(f"[{POINTS}, {EPOCH}]")
    stop = jobs.get_by_role("button", name="Abort fcn8s-squeezenet1_1 on streets")
    stop.focus()
    page.wait_for_function(f"{POINTS} > {before[0]} && {EPOCH} > {before[1]}")
    expect(stop).to_be_focused()  # what goes on around it does not take the focus away
    row = page.get_by_role("row", name=name)
    expect(row).to_contain_text(re.compile(r"running\D+[1-9]\d*/400"))
    chosen(page, name).focus()
    epoch = re.findall(r"(\d+)/400", row.inner_text())[0]
    expect(row).not_to_contain_text(f"{epoch}/400")
    expect(chosen(page, name)).to_be_focused()  # not the row's own news, either

    jobs.get_by_role("button", name="Log of fcn8s-squeezenet1_1 on streets").click()
    log = page.get_by_role("log", name="Log of the job")
    expect(log).to_contain_text("Training fcn8s-squeezenet1_1")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(log).to_have_count(0)
    stop.press("Enter")
    expect(page.get_by_text("Nothing runs.")).to_be_visible()
    expect(page.get_by_text("Ended lately: 1", exact=True)).to_be_visible()
    expect(ended).to_contain_text("aborted just now")
    ended.get_by_role("button", name="Retry fcn8s-squeezenet1_1 on streets").click()
    expect(jobs.get_by_role("listitem")).to_have_count(1)
    expect(ended.get_by_role("button", name="Retry fcn8s-squeezenet1_1 on streets")).to_have_count(0)
    ask(url, f"/runs/{name}/abort", {})


def test_tables_are_sorted_searched_and_acted_on(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    copied(home, "second", 0.9)
    copied(home, "third", 0.0)
    shutil.copytree(home.run("first") / "model", home.model("stored"))
    url = serve(home)
    page.goto(url)
    expect(chosen(page, "third")).to_be_visible()

    page.get_by_role("combobox", name="Columns").click()
    page.get_by_role("option", name="Last validation pixel accuracy").click()
    page.keyboard.press("Escape")
    column = page.get_by_role("columnheader", name="Last validation pixel accuracy")
    expect(column).to_be_visible()
    page.reload()
    expect(column).to_be_visible()
    expect(page.locator(".q-select", has_text="Columns")).to_be_visible()
    page.get_by_role("columnheader", name="Best validation mean IoU").click()
    page.wait_for_function("document.querySelector('tbody td a').innerText === 'third'")
    page.get_by_role("columnheader", name="Best validation mean IoU").click()
    page.wait_for_function("document.querySelector('tbody td a').innerText === 'second'")
    assert names(page) == ["second", "first", "third"]

    chosen(page, "first").focus()
    page.keyboard.press("Space")
    expect(chosen(page, "first")).to_be_focused()  # its row is drawn anew
    chosen(page, "second").click()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    chosen(page, "first").focus()
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.innerText") == "Tag":
            break
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_label("Tag").fill("paper")
    page.keyboard.press("Enter")
    expect(page.locator("tbody .tag")).to_have_text(["paper", "paper"])
    page.get_by_role("combobox", name="Tag").click()
    page.get_by_role("option", name="paper").click()
    expect(chosen(page, "third")).to_be_hidden()
    expect(chosen(page, "first")).to_be_visible()
    page.get_by_label("Search").locator("visible=true").fill("SECON")
    expect(chosen(page, "first")).to_be_hidden()
    assert names(page) == ["second"]
    page.get_by_label("Search").locator("visible=true").fill("")
    expect(chosen(page, "first")).to_be_visible()

    chosen(page, "second").click()
    act(page, "Delete")
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert home.run("second").is_dir()
    act(page, "Delete")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("tab", name="Runs (2)")).to_be_visible()
    assert not home.run("second").exists()

    page.get_by_role("tab", name="Datasets").click()
    chosen(page, "streets").click()
    act(page, "Delete")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("needs it", exact=False)).to_be_visible()
    assert home.dataset("streets").is_dir()

    page.get_by_role("tab", name="Models (3)").click()
    models = page.get_by_role("tabpanel")
    expect(models.get_by_role("link", name="first", exact=True)).to_have_attribute("href", "/models/first?kind=run")
    chosen(page, "first").click()
    act(page, "Delete")
    expect(page.get_by_role("dialog")).to_contain_text("first belongs to its run, and is deleted with it under Runs.")
    expect(page.get_by_role("dialog").get_by_role("button", name="Delete")).to_be_disabled()
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    chosen(page, "stored").click()
    act(page, "Compare")
    page.wait_for_url(re.compile(r"/compare\?models=(first,stored|stored,first)"))

    page.set_viewport_size({"width": 400, "height": 800})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(url)
        expect(chosen(page, "third")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        dark = page.evaluate("document.body.classList.contains('body--dark')")
        assert dark == (scheme == "dark")


def test_an_empty_workspace_says_how_it_begins(page: Page, serve: Serve, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page.goto(serve(Workspace(tmp_path / "empty")))
    expect(page.get_by_text("Nothing here yet. It begins with a dataset.")).to_be_visible()
    start = page.get_by_role("link", name="Make a dataset of a folder of images and labels")
    expect(start).to_have_attribute("href", "/datasets/new")


def test_who_may_only_look_can_compare(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    copied(home, "second", 0.9)
    page.goto(serve(home, "--read-only"))
    chosen(page, "first").click()
    expect(page.get_by_role("button", name="Compare: choose 2 to 4")).to_be_disabled()
    chosen(page, "second").click()
    for action in ("Tag", "Abort", "Delete"):
        expect(page.get_by_role("button", name=action, exact=True)).to_have_count(0)
    act(page, "Compare")
    page.wait_for_url(re.compile(r"/compare\?models="))
