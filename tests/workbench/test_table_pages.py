"""Tables of the pages in a real browser: numbers are sorted as numbers, and the keyboard stays where it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from fullconv.workbench.stored import StoredEvaluation, add_stored, now
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
COLUMN = """([name, wanted]) => {
  const heads = (table) => [...table.querySelectorAll("th")].map((head) => head.querySelector("button")?.innerText);
  const table = [...document.querySelectorAll("table")].find((one) => heads(one).includes(name));
  const place = heads(table).indexOf(name);
  const cells = [...table.querySelectorAll("tbody tr")].map((row) => row.cells[place].innerText.trim());
  return cells.filter((cell) => wanted.includes(cell)).join() === wanted.join();
}"""
"""Whether the cells of a column that are asked for stand in this order."""


def scored(home: Workspace, name: str, score: float) -> None:
    """A model of the store like that of the first run, with another mean IoU."""
    shutil.copytree(home.run("first") / "model", home.model(name))
    path = home.model(name) / "model.yaml"
    card = yaml.safe_load(path.read_text())
    for one in card["scores"]:
        one["mean_iou"] = score
    path.write_text(yaml.safe_dump(card))


def evaluated(home: Workspace, score: float) -> str:
    """An evaluation that is done."""
    document = StoredEvaluation(
        model="first", kind="run", created=now(), done=True, dataset="streets", split="test", images=3, mean_iou=score
    )
    return add_stored(home, document, "first-on-streets")


def planned(home: Workspace, name: str, **changes: Any) -> None:
    """A run like the first one, of the group `batches`."""
    run = home.run(name)
    shutil.copytree(home.run("first"), run, copy_function=os.link)
    path = run / "experiment.yaml"
    plan = yaml.safe_load(path.read_text())
    path.unlink()
    path.write_text(yaml.safe_dump(plan | changes | {"group": "batches"}))


def sorts(page: Page, column: str, upwards: list[str]) -> None:
    """Press the head of a column twice."""
    from playwright.sync_api import expect

    head = page.get_by_role("button", name=column, exact=True)
    head.focus()
    page.keyboard.press("Enter")
    expect(page.locator("th.sorted").filter(has=head)).to_have_count(1)
    page.wait_for_function(COLUMN, arg=[column, upwards])
    expect(head).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_function(COLUMN, arg=[column, upwards[::-1]])


def test_shares_of_models_are_sorted_and_the_focus_stays(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    scored(home, "low", 0.098)
    scored(home, "high", 0.641)
    page.goto(f"{serve(home)}/models")
    box = page.get_by_role("checkbox", name="Choose low", exact=True)
    box.focus()
    page.keyboard.press("Space")
    expect(box).to_be_checked()
    expect(box).to_be_focused()
    page.keyboard.press("Space")
    expect(box).not_to_be_checked()
    sorts(page, "Mean IoU", ["9.8 %", "64.1 %"])
    expect(page.get_by_role("button", name="Mean IoU", exact=True)).to_be_focused()
    page.locator("h1").click()
    expect(page.locator("#content")).to_be_focused()  # who leaves a table is not called back


def test_evaluations_are_sorted_and_deleted(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    low, high = evaluated(home, 0.098), evaluated(home, 0.641)
    page.goto(f"{serve(home)}/test?run=first&tab=dataset")
    sorts(page, "Mean IoU", ["9.8 %", "64.1 %"])
    json_link = page.get_by_role("tabpanel").get_by_role("link", name="JSON")
    expect(json_link).to_have_attribute("href", "/api/v1/evaluations")
    page.get_by_role("button", name=f"Delete {low}", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name=f"Delete {low}", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("cell", name="9.8 %")).to_have_count(0)
    expect(page.get_by_role("cell", name="64.1 %")).to_be_visible()
    assert [path.name for path in (home.root / "evaluations").iterdir()] == [high]

    page.goto(f"{serve(home, '--read-only')}/test?run=first&tab=dataset")
    expect(page.get_by_role("cell", name="64.1 %")).to_be_visible()
    expect(page.get_by_role("button", name=f"Delete {high}", exact=True)).to_have_count(0)


def test_settings_of_a_group_are_sorted_as_numbers(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    plan = yaml.safe_load((home.run("first") / "experiment.yaml").read_text())
    for name, batch, rate in (("a", 16, 0.1), ("b", 8, 1e-5)):
        optimization = plan.get("optimization", {}) | {"learning_rate": rate}
        planned(home, name, batch_size=batch, optimization=optimization)
    page.goto(f"{serve(home)}/groups/batches")
    expect(page.get_by_role("link", name="b", exact=True)).to_be_visible()
    sorts(page, "batch_size", ["8", "16"])
    sorts(page, "optimization.learning_rate", ["0.00001", "0.1"])
