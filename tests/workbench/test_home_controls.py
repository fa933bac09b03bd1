"""Controls of Home in a real browser: the order of jobs, filters, choosing all, a tag taken away, light and dark."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]


def failed(home: Workspace, name: str, dataset: str) -> None:
    """A run like the first one, which failed on another dataset."""
    run, plan = home.run(name), home.run("first") / "experiment.yaml"
    shutil.copytree(home.run("first"), run, copy_function=os.link)
    write_status(run, Status.now("failed", read_status(run), error="no memory"))
    (run / "experiment.yaml").unlink()
    (run / "experiment.yaml").write_text(re.sub(r"(?m)^dataset: .*$", f"dataset: {dataset}", plan.read_text()))


def test_waiting_jobs_are_put_in_another_order(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    queue = Workbench(ServerSettings(home)).queue
    numbers = [queue.add("dataset", title=title, payload={}, device="cpu").id for title in ("One", "Two", "Three")]
    page.goto(serve(home, "--cpu-jobs", "0"))
    jobs = page.get_by_role("list", name="Jobs", exact=True)
    expect(jobs.locator(".name")).to_have_text(["One", "Two", "Three"])
    expect(jobs.get_by_role("button", name="Earlier: One")).to_have_count(0)
    jobs.get_by_role("button", name="Earlier: Three").click()
    expect(jobs.locator(".name")).to_have_text(["One", "Three", "Two"])
    jobs.get_by_role("button", name="Earlier: Three").click()
    expect(jobs.locator(".name")).to_have_text(["Three", "One", "Two"])
    assert [job.id for job in queue.jobs(states=["queued"])] == [numbers[2], numbers[0], numbers[1]]
    queue.engine.dispose()


def test_rows_are_filtered_chosen_together_and_lose_a_tag(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    failed(home, "second", "streets")
    failed(home, "third", "avenues")
    page.goto(serve(home))
    rows = page.locator("tbody a[href^='/runs/']")
    expect(rows).to_have_count(3)
    every = page.get_by_role("checkbox", name="Choose all on this page")
    for button, tags in (("Add", 3), ("Take away", 0)):
        every.click()
        expect(page.get_by_text("3 chosen", exact=True)).to_be_visible()
        page.get_by_role("button", name="Tag", exact=True).click()
        question = page.get_by_role("dialog")
        question.get_by_label("Tag").fill("paper")
        question.get_by_role("button", name=button).click()
        expect(page.locator("tbody .tag")).to_have_count(tags)
        expect(page.get_by_text("3 chosen", exact=True)).to_be_hidden()
    assert "paper" not in (home.run("second") / "notes.yaml").read_text()

    page.get_by_role("combobox", name="State").click()
    page.get_by_role("option", name="failed").click()
    expect(rows).to_have_count(2)
    page.get_by_role("combobox", name="Dataset").click()
    page.get_by_role("option", name="avenues").click()
    expect(rows).to_have_text(["third"])
    every.click()
    expect(page.get_by_text("1 chosen", exact=True)).to_be_visible()


@pytest.mark.parametrize("system", ["light", "dark"])
def test_light_and_dark_are_switched_and_kept(page: Page, serve: Serve, home: Workspace, system: str) -> None:
    from playwright.sync_api import expect

    page.emulate_media(color_scheme="light" if system == "light" else "dark")
    page.goto(serve(home, "--read-only"))
    body, switch = page.locator("body"), page.get_by_role("button", name="Light or dark")
    other = "dark" if system == "light" else "light"
    expect(body).to_have_class(re.compile(f"body--{system}"))
    switch.click()
    expect(body).to_have_class(re.compile(f"body--{other}"))
    page.reload()
    expect(body).to_have_class(re.compile(f"body--{other}"))
    switch.click()
    expect(body).to_have_class(re.compile(f"body--{system}"))
