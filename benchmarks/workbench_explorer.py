"""How soon does the explorer of a large dataset show something? Content, thumbnails, filters and pages in Chromium.

Run: python benchmarks/workbench_explorer.py [IMAGES]   (10,000 images: about 10 minutes on two cores)
writes benchmarks/results/workbench_explorer.md for 10,000 images, and prints it for any number. Beside the explorer
stands what the browser needs for a page of the same server that shows nothing: the floor.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.data.stored_index import index_folder, keep_examined
from fullconv.workbench.folders import FolderRequest
from fullconv.workspace import Workspace
from provenance import provenance

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RESULT = Path(__file__).parent / "results" / "workbench_explorer.md"
TARGET = 1000.0
"""Milliseconds until the first content."""
IMAGES, SCENES, SIZE, ROUNDS = 10_000, 200, (160, 120), 5
WATCH = """
window.marks = {};
const seen = () => {
  if (!marks.content && document.querySelector('.thumbs button')) marks.content = performance.now();
};
new MutationObserver(seen).observe(document, {childList: true, subtree: true});
document.addEventListener('load', (event) => {
  if (!event.target.matches?.('.thumb .photo, .thumb .labels')) return;
  const inView = [...document.querySelectorAll('.thumb .photo, .thumb .labels')].filter((image) => {
    const box = image.getBoundingClientRect();
    return box.top < innerHeight && box.bottom > 0;
  });
  if (inView.every((image) => image.complete && image.naturalWidth)) marks.pictures = performance.now();
}, true);
"""
"""When, in milliseconds since the page was asked for, the first thumbnail stood there, and all in view had pictures."""


def many(root: Path, count: int) -> Path:
    """As many images as wanted, made of fewer scenes: each copy differs in one pixel, so that none is a duplicate."""
    scenes = write_scenes(root / "scenes", count=min(count, SCENES), size=SIZE, splits=False)
    target = root / "many"
    for part in ("images", "labels"):
        (target / part).mkdir(parents=True)
    shutil.copyfile(scenes / "classes.txt", target / "classes.txt")
    pictures = [Image.open(path).convert("RGB") for path in sorted((scenes / "images").iterdir())]
    labels = sorted((scenes / "labels").iterdir())
    for number in range(count):
        picture = pictures[number % len(pictures)].copy()
        picture.putpixel((0, 0), (number % 256, number // 256 % 256, number // 65536))
        picture.save(target / "images" / f"{number:06}.jpg", quality=90)
        shutil.copyfile(labels[number % len(labels)], target / "labels" / f"{number:06}.png")
    return target


def serve(home: Workspace) -> tuple[subprocess.Popen[bytes], str]:
    """A server of the workspace that answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "fullconv", "serve", "--workspace", str(home.root), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return server, url
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                raise SystemExit("the server did not start") from None
            time.sleep(0.2)


def opened(browser: Browser, address: str) -> tuple[Page, dict[str, float]]:
    """A page in a browser window of its own, with nothing cached, and its marks."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(WATCH)
    page.goto(address)
    page.wait_for_function("marks.pictures")
    page.wait_for_timeout(300)
    return page, page.evaluate("marks")


def floor(browser: Browser, url: str) -> float:
    """Milliseconds until a page that shows nothing stands there."""
    page = browser.new_context().new_page()
    page.goto(f"{url}/datasets/new")
    page.wait_for_selector("h1")
    time_of = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    found = float(page.evaluate(time_of))
    page.context.close()
    return found


def after(page: Page, act: Callable[[], object], done: str) -> float:
    """Milliseconds from an action until a condition holds in the page."""
    began = time.perf_counter()
    act()
    page.wait_for_function(done, polling=10)
    return 1000 * (time.perf_counter() - began)


def measure(browser: Browser, url: str, home: Workspace, count: int) -> list[str]:
    """The verdict, then one row per thing that a person waits for."""
    address = f"{url}/datasets/many"
    floors = [floor(browser, url) for _ in range(ROUNDS)]
    page, cold = opened(browser, address)
    rows = [f"| empty page (the floor) | {statistics.median(floors):.0f} | |"]
    rows.append(f"| first visit after the start of the server | {cold['content']:.0f} | {cold['pictures']:.0f} |")
    page.context.close()
    warm = []
    for _ in range(ROUNDS):
        page, marks = opened(browser, address)
        warm.append(marks)
        page.context.close()
    contents, pictures = (statistics.median(marks[name] for marks in warm) for name in ("content", "pictures"))
    rows.append(f"| later visits, median of {ROUNDS} | {contents:.0f} | {pictures:.0f} |")
    rows.insert(0, verdict(cold["content"], contents))
    page, _ = opened(browser, address)
    loaded = (
        "[...document.querySelectorAll('.thumb .photo')].slice(0, 12).every((i) => i.complete && i.naturalWidth)"
        " && document.querySelector('.thumbs button .name').innerText !== window.before"
    )
    remember = "window.before = document.querySelector('.thumbs button .name').innerText"
    turns = []
    for number in range(2, 2 + min(ROUNDS, count // 48)):
        page.evaluate(remember)
        button = page.get_by_role("button", name=str(number), exact=True)
        turns.append(after(page, button.click, loaded))
    if turns:
        rows.append(f"| another page of 48 thumbnails, never drawn before | | {statistics.median(turns):.0f} |")
    search = page.get_by_label("Name contains")
    fitting = f"{sum('77' in f'{number:06}' for number in range(count)):,} of {count:,} images"
    took = after(page, lambda: search.fill("77"), f"document.body.innerText.includes({fitting!r})")
    rows.append(f"| filter by name, with 300 ms for typing | {took:.0f} | |")
    page.context.close()
    began = time.perf_counter()
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}?class=bicyclist&sort=-share")
    page.wait_for_selector(".thumbs button")
    rows.append(f"| filter by class, by its address | {1000 * (time.perf_counter() - began):.0f} | |")
    context.close()
    return rows


def verdict(first: float, later: float) -> str:
    """Whether the first visit and later ones have content in time."""
    found = (
        f"{name} {'reached' if took < TARGET else 'NOT reached'} ({took:.0f} ms)"
        for name, took in (("at the first visit", first), ("at later ones", later))
    )
    return f"Target, first content in less than {TARGET:.0f} ms: {', '.join(found)}."


def main() -> None:
    """Make the set, start a server, look at it."""
    from playwright.sync_api import sync_playwright

    count = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder:
        home = Workspace(Path(folder) / "workspace")
        root = many(Path(folder), count)
        began = time.monotonic()
        examination = FolderRequest(images=str(root), group_by="none").examined()
        dataset = Dataset.from_examination(examination, name="many")
        dataset.save(home)
        keep_examined(home, dataset, examination)
        made = time.monotonic() - began
        load = os.getloadavg()[0]
        with sync_playwright() as engine:
            flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            browser = engine.chromium.launch(executable_path=chromium, args=flags)
            server, url = serve(home)
            try:
                told, *rows = measure(browser, url, home, count)
            finally:
                server.terminate()
                server.wait()
            shutil.rmtree(index_folder(home, "many"))
            server, url = serve(home)
            try:
                page, marks = opened(browser, f"{url}/datasets/many")
                rows.append(f"| first visit without the index | {marks['content']:.0f} | {marks['pictures']:.0f} |")
                page.context.close()
            finally:
                server.terminate()
                server.wait()
            browser.close()
    text = (
        f"# Explorer of {count:,} images\n\n"
        f"{count:,} images of {SIZE[0]}×{SIZE[1]} pixels; checked, counted and written in {made:.0f} s. Milliseconds "
        "in Chromium on the same machine, from the request until the first thumbnail's frame and name stand there, and "
        f"until all pictures in view (1280×900) are drawn. Load of the machine before: {load:.1f}.\n\n{told}\n\n"
        "| what | first content, ms | pictures, ms |\n|---|---:|---:|\n"
        + "\n".join(rows)
        + f"\n\n{provenance('nicegui', 'starlette', 'pillow')}. Command: `python benchmarks/workbench_explorer.py`.\n"
    )
    print(text)
    if count == IMAGES:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
