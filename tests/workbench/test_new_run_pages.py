"""The page New run in a real browser: the curve, wrong text, the time, a group of runs, networks of one's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from fullconv.workspace import Workspace
from workbench.conftest import QUICK

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
JOB_WAIT = 240_000
"""Milliseconds that a job may take where other work goes on beside it."""
CURVE = """() => {
  const drawn = document.querySelector("[aria-label='Learning rate over the steps of the run']");
  return getElement(Number(drawn.id.slice(1))).chart?.getOption().series[0]?.data ?? [];
}"""
HEIGHT = """() => {
  const lines = [...document.querySelectorAll("[aria-label^='Learning rate over'] path[stroke-width='2']")];
  return Math.max(...lines.map((line) => line.getBoundingClientRect().height));
}"""
"""Pixels that the line of the curve goes up and down."""
NET = """
from pathlib import Path
from torch import nn

Path({ran!r}).touch()


def build(classes, channels):
    return nn.Conv2d(channels, classes, 3, padding=1)
"""


def wrong(page: Page) -> Locator:
    """The fields that are marked."""
    return page.locator(".q-field--error input")


def chosen(page: Page, field: str, option: str) -> None:
    page.get_by_role("combobox", name=field, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_a_plan_shows_its_curve_and_where_its_text_is_wrong(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home, "--cpu-jobs", "0")
    page.goto(f"{url}/runs/new?dataset=streets")
    start = page.get_by_role("button", name="Start", exact=True)
    editor = page.get_by_role("textbox", name="The plan as YAML")
    rate = {"optimization": {"learning_rate": 0.01}}
    editor.fill(yaml.safe_dump({"dataset": "streets", **QUICK, **rate, "epochs": 40}))
    page.wait_for_function(f"Math.abs(Math.max(...({CURVE})().map((point) => point[1])) - 0.01) < 1e-9")
    curve = page.evaluate(CURVE)
    assert min(point[1] for point in curve) == curve[-1][1] < 0.001  # up along a cosine, then down
    page.wait_for_function(f"({HEIGHT})() > 60")
    chosen(page, "policy", "fixed")
    page.wait_for_function(f"({CURVE})().every((point) => point[1] === 0.01)")

    editor.fill("dataset: streets\nbatch_size: 4\nepochs: -3\n")
    expect(page.get_by_text("Input should be greater than or equal to 1")).to_be_visible()
    expect(page.locator(".wrong-line")).to_have_text(["epochs: -3"])
    expect(wrong(page)).to_have_attribute("aria-label", "epochs")
    expect(start).to_be_disabled()
    editor.fill("dataset: [streets")
    expect(page.get_by_role("alert").get_by_text("YAML").first).to_be_visible()
    expect(start).to_be_disabled()
    editor.fill("dataset: streets\nnetwork: fcn8s-nothing\n")
    expect(page.get_by_text("fcn8s-nothing", exact=False).last).to_be_visible()
    expect(wrong(page)).to_have_attribute("aria-label", "network")

    editor.press("Tab")  # the editor does not keep the keyboard
    expect(editor).not_to_be_focused()


def test_the_time_of_a_plan_is_measured(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home, "--cpu-jobs", "0")
    page.goto(f"{url}/runs/new?dataset=streets")
    editor = page.get_by_role("textbox", name="The plan as YAML")
    editor.fill(yaml.safe_dump({"dataset": "streets", **QUICK, "crop": [32, 32], "batch_size": 2}))
    expect(page.get_by_label("crop", exact=True)).to_have_value("32 × 32")
    page.get_by_role("button", name="How long does it take here?").click()
    expect(page.get_by_text("Time of fcn8s-squeezenet1_1 on streets")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^about .* as this machine is now$"))).to_be_visible(timeout=JOB_WAIT)
    expect(page.get_by_text(re.compile(r", and .* for a validation$"))).to_be_visible()

    page.get_by_label("Choose from the catalogue").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Search").fill("squeezenet1_1 features")
    dialog.get_by_role("row", name="fcn8s-squeezenet1_1-features").get_by_role("checkbox").click()
    dialog.get_by_role("button", name="What does it take here?").click()
    expect(dialog.get_by_text(re.compile(r"MiB of .* GiB with batch 2"))).to_be_visible()
    dialog.get_by_role("button", name="How long does it take here?").click()
    expect(dialog.get_by_text("Time of fcn8s-squeezenet1_1-features on streets")).to_be_visible()
    dialog.get_by_role("row", name="fcn4s-squeezenet1_1-features").get_by_role("checkbox").click()
    expect(dialog.get_by_text("Time of", exact=False)).to_have_count(0)  # that was another one


def test_what_is_wrong_can_be_neither_started_nor_timed(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    page.goto(f"{serve(home, '--cpu-jobs', '0')}/runs/new?dataset=streets")
    expect(page.get_by_role("link", name="JSON")).to_have_attribute("href", "/api/v1/plans/fields")
    start = page.get_by_role("button", name="Start", exact=True)
    time = page.get_by_role("button", name="How long does it take here?")
    editor = page.get_by_role("textbox", name="The plan as YAML")
    right = {"dataset": "streets", **QUICK, "network": "fcn8s-mobilenet_v3_small"}
    warning = page.get_by_text("The scores of this network read the whole image", exact=False)
    editor.fill(yaml.safe_dump(right))
    expect(warning).to_be_visible()
    expect(start).to_be_enabled()
    expect(time).to_be_enabled()
    editor.fill(yaml.safe_dump(right | {"epochs": -3}))
    expect(page.get_by_text("Input should be greater than or equal to 1")).to_be_visible()
    expect(start).to_be_disabled()
    expect(time).to_be_disabled()
    expect(warning).to_have_count(0)
    editor.fill(yaml.safe_dump(right | {"weights": "first"}))
    expect(page.get_by_text(re.compile(r"MiB of .* GiB"))).to_be_visible()
    expect(start).to_be_enabled()
    expect(time).to_be_enabled()

    (home.run("first") / "model").rename(home.root / "away")  # behind the page's back
    start.click()
    expect(wrong(page)).to_have_attribute("aria-label", "weights")
    expect(start).not_to_have_class(re.compile("loading"))
    expect(start).to_be_disabled()


def test_lists_make_a_group_that_is_followed_tagged_and_aborted(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home, "--cpu-jobs", "0")
    page.goto(f"{url}/runs/new?clone=first")
    page.get_by_label("seed", exact=True).fill("5, 6, 7")
    page.get_by_role("button", name="Start 3 runs").click()
    told = page.get_by_text("3 runs of the group", exact=False)
    expect(told).to_be_visible()
    group = re.findall(r"group (\S+) wait", told.inner_text())[0]
    names = page.locator(".notice a").all_inner_texts()
    assert len(names) == 3

    page.goto(url)
    page.get_by_role("tab", name="Groups (1)").click()
    page.get_by_role("link", name=group, exact=True).click()
    expect(page.get_by_role("heading", name=f"Group {group}")).to_be_visible()
    expect(page.get_by_text("3 runs. They are summed up when all have ended.")).to_be_visible()
    expect(page.get_by_role("columnheader", name="seed", exact=True)).to_be_visible()
    for name, seed in zip(names, (5, 6, 7), strict=True):
        cells = page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True)).get_by_role("cell")
        expect(cells.nth(3)).to_have_text(str(seed))
        expect(cells.nth(4)).to_have_text("queued")
    for name in names[:2]:
        page.get_by_role("checkbox", name=f"Choose {name}", exact=True).click()
    page.get_by_role("button", name="Compare 2").click()
    expect(page.get_by_text("has no model yet; a run has one when it is done.")).to_be_visible()

    page.goto(url)
    page.get_by_role("combobox", name="Group").click()
    page.get_by_role("option", name=group).click()
    expect(page.locator("tbody a[href='/runs/first']")).to_have_count(0)
    for name in names[:2]:
        page.get_by_role("checkbox", name=f"Choose {name}", exact=True).click()
    page.get_by_role("button", name="Abort", exact=True).locator("visible=true").last.click()
    question = page.get_by_role("dialog")
    expect(question.get_by_role("heading", name="Abort 2 chosen?")).to_be_visible()
    question.get_by_role("button", name="Abort").click()
    expect(page.locator("tbody tr").filter(has_text="aborted")).to_have_count(2)
    expect(page.locator("tbody tr").filter(has_text="queued")).to_have_count(1)
    page.goto(f"{url}/groups/{group}")
    expect(page.locator("tbody tr").filter(has_text="aborted")).to_have_count(2)
    page.set_viewport_size({"width": 400, "height": 800})
    expect(page.get_by_role("columnheader", name="Mean IoU", exact=True)).to_be_in_viewport(ratio=1)


def test_a_network_of_ones_own_is_taken_only_where_code_is_allowed(
    page: Page, serve: Serve, home: Workspace, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    folder, ran = tmp_path / "nets", tmp_path / "it-ran"
    folder.mkdir()
    (folder / "my_net.py").write_text(NET.format(ran=str(ran)))
    text = yaml.safe_dump({"dataset": "streets", **QUICK, "network": f"{folder}/my_net.py:build"})
    options = ("--root", str(folder), "--cpu-jobs", "0")

    page.goto(f"{serve(home, *options)}/runs/new")
    expect(page.get_by_text("needs a workbench that was started with --allow-code", exact=False)).to_be_visible()
    page.get_by_role("textbox", name="The plan as YAML").fill(text)
    expect(page.get_by_text("networks from Python files are not allowed here", exact=False)).to_be_visible()
    expect(page.get_by_text("start the workbench with --allow-code", exact=False)).to_be_visible()
    expect(wrong(page)).to_have_attribute("aria-label", "network")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    assert not ran.exists()

    page.goto(f"{serve(home, *options, '--allow-code')}/runs/new")
    expect(page.get_by_text("Or a Python file, as /nets/my_net.py:build.", exact=False)).to_be_visible()
    page.get_by_role("textbox", name="The plan as YAML").fill(text)
    expect(page.get_by_text("output stride 1", exact=False)).to_be_visible(timeout=JOB_WAIT)
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(r"/runs/2\d+"))
    expect(page.get_by_text("It waits for its turn.")).to_be_visible()
    assert ran.exists()
