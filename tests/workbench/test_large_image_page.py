"""A large image on the page Test in a real browser: computed piece by piece, seen by tiles that come on demand."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fullconv.prediction.model import Model
from fullconv.workbench.predicting.large import WHOLE_PIXELS
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
SIZE = (4500, 3000)
LEVELS = 5
TILES = 9 * 6
"""Of the finest level."""
TILE = 512


@pytest.fixture
def mosaic(tmp_path: Path, scenes: Path) -> Path:
    """A picture of many scenes, larger than what is predicted in one piece."""
    pictures = [Image.open(path).convert("RGB") for path in sorted(scenes.rglob("images/*.png"))]
    order = np.random.default_rng(0)
    width, height = pictures[0].size
    path = tmp_path / "large" / "mosaic.jpg"
    path.parent.mkdir()
    whole = Image.new("RGB", SIZE)
    for top in range(0, SIZE[1], height):
        for left in range(0, SIZE[0], width):
            whole.paste(pictures[order.integers(len(pictures))], (left, top))
    whole.save(path, quality=90)
    assert SIZE[0] * SIZE[1] > WHOLE_PIXELS
    return path


def settled(page: Page, asked: list[tuple[int, int, int]], begun: Callable[[], bool]) -> None:
    """Wait until what was begun is seen, and nothing more is asked for."""
    for _ in range(600):
        before = len(asked)
        page.wait_for_timeout(500)
        if begun() and len(asked) == before:
            return
    raise AssertionError("nothing is asked for")


def test_a_large_image_is_seen_by_tiles_on_demand(
    page: Page, serve: Callable[..., str], home: Workspace, mosaic: Path
) -> None:
    from playwright.sync_api import expect

    asked: list[tuple[int, int, int]] = []

    def heard(address: str) -> None:
        found = re.search(r"/tiles/labels/(\d+)/(\d+)/(\d+)$", address)
        if found:
            asked.append((int(found[1]), int(found[2]), int(found[3])))

    page.on("request", lambda request: heard(request.url))
    url = serve(home, "--root", str(mosaic.parent))
    page.goto(f"{url}/test?run=first&path={mosaic}", wait_until="commit")
    expect(page.get_by_text("computed piece by piece")).to_be_visible()
    page.get_by_role("heading", name="mosaic.jpg").wait_for(timeout=300_000)
    expect(page.get_by_text("4500×3000 pixels", exact=False)).to_be_visible()
    plane = page.locator('[data-pane="overlay"]')
    expect(plane.locator("canvas").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert {level for level, _, _ in asked} <= {0, 1}, "what is seen small is fetched small"
    trial = str(page.locator("a[href^='/api/v1/trials/']").get_attribute("href"))
    assert page.request.get(trial if trial.startswith("http") else url + trial).json()["levels"] == LEVELS

    plane.focus()
    for _ in range(8):
        page.keyboard.press("+")
        page.wait_for_timeout(60)
    settled(page, asked, lambda: any(level == LEVELS - 1 for level, _, _ in asked))
    near = {place for place in asked if place[0] == LEVELS - 1}
    assert 0 < len(near) < TILES / 3, "only what is in sight"

    def more() -> bool:
        return len({place for place in asked if place[0] == LEVELS - 1}) > len(near)

    for _ in range(200):  # keys that are pressed while the view still moves are not heard
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(60)
        if more():
            break
    settled(page, asked, more)
    further = {place for place in asked if place[0] == LEVELS - 1} - near
    assert further, "what comes into sight is fetched"
    assert max(column for _, column, _ in further) > max(column for _, column, _ in near)
    assert len(asked) == len(set(asked)), "and nothing twice"

    reading = page.locator(".viewer-reading")
    expect(reading).to_contain_text(re.compile(r"x \d+, y \d+"))
    said = reading.inner_text()
    x, y = (int(number) for number in re.findall(r"x (\d+), y (\d+)", said)[0])
    answer = page.request.get(f"{url}{trial}/tiles/labels/{LEVELS - 1}/{x // TILE}/{y // TILE}").body()
    frame = page.request.get(url + trial).json()["frame"]
    index = np.asarray(Image.open(io.BytesIO(answer)))[y % TILE + frame, x % TILE + frame, 0]
    assert Model.load("first", workspace=home).classes.names[index] in said

    box = plane.bounding_box()
    assert box is not None
    before = len(asked)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10, steps=5)
    page.mouse.up()
    page.mouse.wheel(0, 2000)
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Whole image").click()
    page.wait_for_timeout(300)
    assert len(asked) - before < TILES, "what was fetched once is kept"
    expect(plane.locator("canvas").first).to_be_visible()
