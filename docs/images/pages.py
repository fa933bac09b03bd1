"""Take a picture of every page of the workbench: 1280 and 400 pixels wide, light and dark, into docs/images/workbench/.

Run: python docs/images/pages.py [--out FOLDER] [--only home run …]

FOLDER is where `make demo` wrote; without one, a smaller demo is made there first. Chromium is needed.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from fullconv.cli.demo import NETWORK, NEW_SEED, SEED, SETTINGS, SIZE
from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.training.fit import train_as
from fullconv.workspace import Workspace

HERE = Path(__file__).parent / "workbench"
LONGEST = {1280: 1300, 400: 1700}
"""Width of a window → the most that is shown of a page's height."""
WAIT = 600_000
"""Milliseconds for whatever a page computes; it goes on as soon as that is there."""
QUALITY = 72
SCENES, EPOCHS = 240, 12
COARSE = "streets-stride-8"
SMALL = {"crop": [120, 160], "batch_size": 4, "epochs": 4, "validate_every": 1}
COMPLETE = """() => {
  const seen = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && box.top < innerHeight && element.checkVisibility();
  };
  const all = (css) => [...document.querySelectorAll(css)].filter(seen);
  return document.fonts.status === "loaded"
    && all("img").every((image) => image.complete && image.naturalWidth > 0)
    && all(".nicegui-echart").every((chart) => chart.querySelector("svg path"))
    && all(".viewer-plane").every((plane) => plane.querySelector("canvas")?.width > 300)
    && !all(".q-spinner, .q-inner-loading").length;
}"""
"""Whether all that is in the window has arrived."""


@dataclass(frozen=True)
class Shot:
    """A page to be pictured.

    Args:
        name: of the picture.
        address: of the page.
        ready: what is on it when it is complete, as a locator.
        then: done there before the picture is taken.
        longest: height of the window, where it is to be less than usual.
    """

    name: str
    address: str
    ready: str
    then: Callable[[Page], object] = field(default=lambda page: None)
    longest: int = 10_000


@dataclass(frozen=True)
class Made:
    """What the pages show.

    Args:
        root: folder of it all. url: of the server.
        fine, coarse: finished runs. learning: one that learns. group: of two runs.
        prediction: of a folder.
    """

    root: Path
    url: str
    fine: str
    coarse: str
    learning: str
    group: str
    prediction: str


def main() -> None:
    """Make what is missing, serve it, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the demo")
    parser.add_argument("--only", nargs="*", default=[], help="names of pictures")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    root = given.out.absolute()
    fine, coarse = prepare(root)
    HERE.mkdir(exist_ok=True)
    with server(root, given.port) as url:
        made = fill(root, url, fine, coarse)
        try:
            take([shot for shot in shots(made) if not given.only or shot.name in given.only], url)
        finally:
            ask(url, f"/runs/{made.learning}/abort", {})
            wait_for(lambda: ask(url, f"/runs/{made.learning}")["state"] == "aborted", "the end of the run that learns")
            ask(url, f"/runs/{made.learning}", method="DELETE")


def prepare(root: Path) -> tuple[str, str]:
    """Scenes, datasets and two trained runs, as far as they are not there."""
    home = Workspace(root / "workspace")
    scenes, small, new = root / "scenes", root / "crossings", root / "new-scenes"
    for folder, count, seed, size, splits in (
        (scenes, SCENES, SEED, SIZE, True),
        (small, 60, SEED + 1, (160, 120), True),
        (new, 6, NEW_SEED, SIZE, False),
    ):
        if not folder.is_dir():
            write_scenes(folder, count=count, seed=seed, size=size, splits=splits)
    for name, folder in (("streets", scenes), ("crossings", small)):
        if not home.dataset(name).is_dir():
            Dataset.from_folders(folder, name=name).save(home)
    runs = [path.name for path in sorted(home.runs.glob("*streets-fcn2s*")) if (path / "model").is_dir()]
    fine = runs[0] if runs else "streets-stride-2"
    for run, network, epochs in ((fine, NETWORK, EPOCHS), (COARSE, "fcn8s-compact-features", EPOCHS // 3)):
        if not (home.run(run) / "model").is_dir():
            settings = {**SETTINGS, "network": network, "epochs": epochs, "validate_every": 1}
            train_as(run, "streets", settings, workspace=home)
    return fine, COARSE


@contextmanager
def server(root: Path, port: int) -> Iterator[str]:
    """A workbench on that workspace; its address."""
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    command = [sys.executable, "-m", "fullconv", "serve", "--workspace", str(root / "workspace")]
    started = subprocess.Popen([*command, "--root", str(root), "--port", str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: ask(url, "/system"), "the server")
        yield url
    finally:
        started.terminate()
        started.wait(timeout=60)


def fill(root: Path, url: str, fine: str, coarse: str) -> Made:
    """What jobs make: a group, a folder's predictions, a stored model; and a run that learns meanwhile."""
    if not ask(url, "/models?search=streets-best")["total"]:
        ask(url, f"/models/{fine}/copies", {"name": "streets-best"})
    plan = {**SETTINGS, **SMALL, "dataset": "crossings", "network": "fcn4s-compact-features"}
    if not any(found["name"] == "seeds" for found in ask(url, "/groups")):
        ask(url, "/runs", {"experiment": {**plan, "seed": [0, 1], "group": "seeds"}})
    wait_for(lambda: idle(url), "the group")
    predictions = ask(url, "/predictions")
    if not predictions:
        wish = {"model": fine, "folder": str(root / "new-scenes" / "images")}
        ask(url, "/predictions", wish)
        wait_for(lambda: idle(url), "the predictions")
        predictions = ask(url, "/predictions")
    learning = ask(url, "/runs", {"experiment": {**plan, "epochs": 3000}})["runs"][0]
    wait_for(lambda: ask(url, f"/runs/{learning}")["epoch"] >= 8, "a few epochs")
    return Made(root, url, fine, coarse, learning, "seeds", predictions[0]["name"])


def shots(made: Made) -> list[Shot]:
    """Every page, in the order of a first visit."""
    key = ask(made.url, "/datasets/streets/images?split=test&limit=1")["images"][0]["key"]
    image = quote(key, safe="")
    layers = ask(made.url, f"/models/{made.fine}/layers")["layers"]
    deep = [layer for layer in layers if layer["filters"]][4]
    unit = f"layer={deep['name']}&unit=3,{deep['rows'] // 2},{deep['columns'] // 2}"
    data = "/datasets/streets"
    chart, problem = ".nicegui-echart svg", ".q-tab-panel .row"
    return [
        Shot("home", "/", ".job .spark polyline"),
        Shot("datasets", "/datasets", ".dataset-card"),
        Shot("new-dataset", "/datasets/new", "h1", lambda page: look_at(page, made.root / "crossings")),
        Shot("dataset", data, ".thumbs .labels"),
        Shot("dataset-image", f"{data}?image=4", "[role=dialog] .labels", longest=900),
        Shot(
            "dataset-classes",
            "/datasets/streets",
            ".thumbs",
            lambda page: open_tab(page, "Classes", chart),
        ),
        Shot(
            "dataset-ceiling",
            "/datasets/streets",
            ".thumbs",
            lambda page: open_tab(page, "Stride ceiling", chart),
        ),
        Shot(
            "dataset-problems",
            "/datasets/streets",
            ".thumbs",
            lambda page: open_tab(page, "Problems", problem),
        ),
        Shot("new-run", "/runs/new?dataset=streets", ".cm-line", planned),
        Shot("run", f"/runs/{made.coarse}", ".progress-pictures img"),
        Shot("run-learning", f"/runs/{made.learning}", ".progress-pictures img"),
        Shot("group", f"/groups/{made.group}", "table"),
        Shot("test", f"/test?run={made.fine}&dataset=streets&image={image}", '[data-pane="overlay"] canvas'),
        Shot("test-many", f"/test?run={made.fine}&tab=many", ".drop"),
        Shot("test-dataset", f"/test?run={made.fine}&tab=dataset&dataset=streets", ".q-tab-panel button"),
        Shot("predictions", f"/predictions/{made.prediction}", ".thumb img"),
        Shot(
            "compare",
            f"/compare?models={made.coarse},{made.fine}&dataset=streets&split=test&sample=12",
            ".swipe img",
            lambda page: page.get_by_text(re.compile("^12 images")).wait_for(),
        ),
        Shot(
            "layers",
            f"/layers?model={made.fine}&image=dataset:streets:{image}&{unit}",
            "rect.unit-field",
            lambda page: page.evaluate("window.scrollTo(0, 0)"),
        ),
        Shot("models", "/models", "table tbody a"),
        Shot("model", "/models/streets-best", "table"),
    ]


def look_at(page: Page, folder: Path) -> None:
    """Give a folder, and wait for what is seen there."""
    page.get_by_label("Folder of images, or one folder with everything").fill(str(folder))
    page.locator(".thumb .labels").first.wait_for()


def open_tab(page: Page, name: str, seen: str) -> None:
    """Open a tab of a dataset, and wait for what is seen there."""
    page.get_by_role("tab", name=name).click()
    page.locator(seen).first.wait_for()


def planned(page: Page) -> None:
    """Wait for the memory that a plan takes."""
    page.get_by_text(re.compile(r"[KMG]iB of .* GiB")).wait_for()


def take(shots: list[Shot], url: str) -> None:
    """Take the pictures of some pages."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    expect.set_options(timeout=WAIT)
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for width, height in LONGEST.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(WAIT)
            page.on("pageerror", lambda error: print(f"  {error}", flush=True))
            page.on("console", lambda said: print(f"  {said.text}", flush=True) if said.type == "error" else None)
            for shot in shots:
                print(shot.name, width, flush=True)
                page.emulate_media(color_scheme="light")
                page.set_viewport_size({"width": width, "height": min(height, shot.longest)})
                page.goto(f"{url}{shot.address}", wait_until="commit")
                page.locator(shot.ready).first.wait_for()
                shot.then(page)
                page.evaluate("document.activeElement.blur()")
                page.mouse.move(0, 0)
                for theme in ("light", "dark"):
                    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
                    page.wait_for_function(COMPLETE)
                    save(page, width, HERE / f"{shot.name}-{width}-{theme}.webp")
        browser.close()


def save(page: Page, width: int, path: Path) -> None:
    """Write what a page shows down to its end, or as much of it as is shown."""
    end = page.evaluate(
        "Math.ceil((document.querySelector('#content') ?? document.body).getBoundingClientRect().bottom)"
    )
    across = page.evaluate("document.documentElement.scrollWidth")
    if across > width:
        print(f"  {path.name}: {across} pixels wide", flush=True)
    window = page.viewport_size["height"] if page.viewport_size else LONGEST[width]
    modal = page.locator("[role=dialog]:visible").count()
    height = window if modal else max(300, min(window, end))
    taken = page.screenshot(clip={"x": 0, "y": 0, "width": width, "height": height}, animations="disabled")
    Image.open(io.BytesIO(taken)).convert("RGB").save(path, quality=QUALITY, method=6)


def ask(url: str, path: str, body: Mapping[str, Any] | None = None, *, method: str | None = None) -> Any:
    """By REST; with a body it is posted."""
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/v1{path}", content, headers, method=method)
    with urllib.request.urlopen(request, timeout=600) as answer:
        said = answer.read()
    return json.loads(said) if said else None


def idle(url: str) -> bool:
    """Whether no job runs or waits."""
    return not ask(url, "/jobs?state=queued&state=claimed&state=running")


def wait_for(happened: Callable[[], Any], what: str) -> None:
    """Until it did."""
    print(f"waiting for {what}", flush=True)
    while True:
        with suppress(urllib.error.URLError):
            if happened():
                return
        time.sleep(0.5)


if __name__ == "__main__":
    main()
