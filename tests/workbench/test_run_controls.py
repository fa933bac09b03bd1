"""Controls of New run, Run and Group in a browser: networks, the largest batch, training again, views, a spread."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from fullconv.training.group_summary import sum_up
from fullconv.workspace import Workspace
from workbench.conftest import QUICK

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
OPACITY = "Number(getComputedStyle(document.querySelector('.progress-pictures .labels')).opacity)"


def row(place: Locator, name: str) -> Locator:
    return place.get_by_role("row").filter(has=place.page.get_by_role("cell", name=name, exact=True))


def text_of_plan(page: Page) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load("\n".join(page.locator(".cm-line").all_inner_texts()))
    return found


def test_networks_are_chosen_from_the_catalogue(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    page.goto(f"{serve(home, '--cpu-jobs', '0')}/runs/new?clone=first")
    network = page.get_by_label("network", exact=True)
    expect(network).to_have_value(str(QUICK["network"]))
    page.get_by_label("Choose from the catalogue").click()
    dialog = page.get_by_role("dialog", name="Choose a network")
    expect(dialog.get_by_text(f"Chosen: {QUICK['network']}")).to_be_visible()
    dialog.get_by_role("button", name="What does it take here?").click()
    expect(dialog.get_by_text(re.compile(r"MiB of .* GiB with batch 4"))).to_be_visible()

    inexact = dialog.get_by_role("cell", name="fcn8s-mobilenet_v3_small", exact=True)
    dialog.get_by_label("Search").fill("fcn8s-mobilenet_v3_small")
    expect(inexact).to_be_visible()
    dialog.get_by_role("switch", name="Exact tiles only").click()
    expect(inexact).to_have_count(0)
    dialog.get_by_label("Search").fill("fcn8s-squeezenet")
    expect(dialog.locator("tbody tr").first).to_be_visible()
    dialog.get_by_role("switch", name="Exact tiles only").click()

    dialog.get_by_role("switch", name="Several networks, a run of each").click()
    dialog.get_by_label("Search").fill("squeezenet1_1 features")
    row(dialog, "fcn8s-squeezenet1_1-features").get_by_role("checkbox").click()
    expect(dialog.get_by_role("button", name="Use these 2")).to_be_visible()
    expect(dialog.get_by_role("button", name="What does it take here?")).to_be_hidden()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect(network).to_have_value(str(QUICK["network"]))

    page.get_by_label("Choose from the catalogue").click()
    dialog.get_by_role("switch", name="Several networks, a run of each").click()
    row(dialog, "fcn8s-squeezenet1_1-features").get_by_role("checkbox").click()
    dialog.get_by_role("button", name="Use these 2").click()
    expect(network).to_have_value(f"{QUICK['network']}, fcn8s-squeezenet1_1-features")
    expect(page.get_by_role("button", name="Start 2 runs")).to_be_enabled()


def test_the_largest_batch_that_fits_is_taken(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    page.goto(f"{serve(home, '--cpu-jobs', '0')}/runs/new?clone=first")
    take = page.get_by_role("button", name="Take the largest batch that fits")
    expect(take).to_be_enabled()
    largest = int(take.inner_text().rsplit(" ", 1)[-1])
    assert largest > 4
    take.click()
    expect(page.get_by_label("batch size", exact=True)).to_have_value(str(largest))
    expect(page.get_by_text(re.compile(rf"GiB with batch {largest}$"))).to_be_visible()
    expect(take).to_be_disabled()
    assert text_of_plan(page)["batch_size"] == largest


def test_a_run_is_trained_again_changed_and_seen_in_other_ways(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home, "--cpu-jobs", "0")
    page.goto(f"{url}/runs/first")
    said = page.locator(".progress-pictures .labels").first
    expect(said).to_have_attribute("src", re.compile("view=colors"))
    page.get_by_role("button", name="Errors", exact=True).click()
    expect(said).to_have_attribute("src", re.compile("view=errors"))
    page.wait_for_function(f"{OPACITY} === 1")
    page.get_by_role("button", name="Labels alone").click()
    expect(said).to_have_attribute("src", re.compile("view=colors"))
    page.wait_for_function(f"{OPACITY} === 1")
    page.get_by_role("button", name="Over the image").click()
    page.wait_for_function(f"{OPACITY} < 1")
    page.get_by_role("slider", name="Opacity of the labels in percent").locator("[tabindex]").focus()
    before = 1.0
    while (after := page.evaluate(OPACITY)) > 0:
        assert after < before
        before = after
        page.keyboard.press("PageDown")
        page.wait_for_function(f"{OPACITY} < {before}")

    page.get_by_role("tab", name="Notes").click()
    page.get_by_role("combobox", name="Tags").fill("paper")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert yaml.safe_load((home.run("first") / "notes.yaml").read_text())["tags"] == ["paper"]

    page.get_by_role("link", name="Change and train").click()
    expect(page.get_by_text("As first was planned; change what you like.")).to_be_visible()
    assert text_of_plan(page)["network"] == QUICK["network"]
    page.goto(f"{url}/runs/first")
    page.get_by_role("button", name="Train again").click()
    page.get_by_role("dialog").get_by_role("button", name="No").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Train again").click()
    page.get_by_role("dialog").get_by_role("button", name="Train again").click()
    page.wait_for_url(re.compile(r"/runs/2\d+"))
    expect(page.get_by_text("It waits for its turn.")).to_be_visible()


def grouped(home: Workspace, name: str, seed: int) -> Path:
    """A run of the group `seeds` like the first one."""
    run = home.run(name)
    shutil.copytree(home.run("first"), run, copy_function=os.link)
    plan = re.sub(r"(?m)^(seed|group): .*\n", "", (run / "experiment.yaml").read_text())
    (run / "experiment.yaml").unlink()
    (run / "experiment.yaml").write_text(f"{plan}seed: {seed}\ngroup: seeds\n")
    return run


def test_a_group_shows_its_spread_and_compares_its_runs(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    runs = [grouped(home, f"run-{seed}", seed) for seed in range(2)]
    summary = sum_up("seeds", {"seed": [0, 1]}, runs, workspace=home, quiet=True).directory / "summary.json"
    told = json.loads(summary.read_text())
    shutil.copytree(home.run("first") / "model", home.model("voted"))
    summary.write_text(json.dumps(told | {"ensemble": str(home.model("voted"))}))
    page.goto(f"{serve(home)}/groups/seeds")
    expect(page.get_by_text("2 runs, all of them summed up.")).to_be_visible()
    score = page.locator(".spreads div").filter(has=page.get_by_text("Mean IoU", exact=True)).locator("dd")
    expect(score).to_have_text(re.compile(r"^0\.\d{3} ± 0\.000$"))
    shown = page.get_by_role("row").filter(has=page.get_by_role("link", name="run-0")).get_by_role("cell").nth(2)
    assert score.inner_text().startswith(shown.inner_text())
    expect(page.get_by_role("link", name="voted")).to_have_attribute("href", "/models/voted")
    for name in ("run-0", "run-1"):
        page.get_by_role("checkbox", name=f"Choose {name}", exact=True).click()
    page.get_by_role("button", name="Compare 2").click()
    page.wait_for_url(re.compile(r"/compare\?models=run-0,run-1"))
    expect(page.locator(".panes .name")).to_have_text(["Input", "run-0", "run-1", "Difference", "Truth"])
