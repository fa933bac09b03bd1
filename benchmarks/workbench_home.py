"""How soon does Home show something when there are many runs? First row in Chromium, and the server's own times.

Run: python benchmarks/workbench_home.py [RUNS]   (1,000 runs: about 3 minutes on two cores)
writes benchmarks/results/workbench_home.md for 1,000 runs, and prints it for any number. Beside Home stands what the
browser needs for a page of the same server that shows nothing: the floor.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.training.fit import train_as
from fullconv.workbench.annotations import Annotations, write_annotations
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from provenance import provenance
from workbench_explorer import after, floor, serve, verdict

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RESULT = Path(__file__).parent / "results" / "workbench_home.md"
RUNS, ROUNDS, REQUESTS, EPOCHS, STEPS = 1_000, 7, 50, 60, 20
SMALL = ("experiment.yaml", "status.json", "metrics.csv", "report/scores.json", "model/model.yaml")
SETTINGS = {
    "network": "fcn8s-squeezenet1_1",
    "weights": "random",
    "epochs": 2,
    "views": 1,
    "batch_size": 4,
    "crop": [64, 64],
    "workers": 0,
    "precision": "fp32",
    "device": "cpu",
}
WATCH = """
window.marks = {};
new MutationObserver(() => {
  if (!marks.row && document.querySelector('tbody tr td a')) marks.row = performance.now();
}).observe(document, {childList: true, subtree: true});
"""
"""When, in milliseconds since the page was asked for, the first run stood there."""


def many(home: Workspace, count: int) -> None:
    """Run folders like one that was trained, each with numbers, a seed, tags and a time of its own."""
    scenes = write_scenes(home.root / "scenes", count=16, size=(96, 72))
    Dataset.from_folders(scenes, name="streets").save(home)
    run = train_as("first", "streets", SETTINGS, workspace=home, quiet=True).directory
    table = _longer(run / "metrics.csv")
    plan = (run / "experiment.yaml").read_text(encoding="utf-8")
    status = json.loads((run / "status.json").read_text(encoding="utf-8"))
    random.seed(0)
    for number in range(count - 1):
        other = home.run(f"20260101-{number:06}-streets-fcn8s-squeezenet1_1")
        for name in SMALL:
            (other / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run / name, other / name)
        (other / "metrics.csv").write_text(table, encoding="utf-8")
        text = plan.replace("seed: 0\n", f"seed: {number}\n")
        (other / "experiment.yaml").write_text(f"{text}group: group-{number % 50}\n", encoding="utf-8")
        found = status | {"best_mean_iou": random.random(), "epoch": EPOCHS, "epochs": EPOCHS}
        (other / "status.json").write_text(json.dumps(found), encoding="utf-8")
        if number % 3 == 0:
            write_annotations(other, Annotations(tags=(f"batch {number % 7}",)))
        os.utime(other / "experiment.yaml", (1_767_000_000 + 60 * number,) * 2)


def _longer(path: Path) -> str:
    """A metrics.csv as long as that of a run of 60 epochs."""
    with path.open(encoding="utf-8", newline="") as stream:
        columns, *rows = list(csv.reader(stream))
    split = columns.index("split")
    train, val = (next(row for row in rows if row[split] == name) for name in ("train", "val"))
    lines = [columns]
    for step in range(1, EPOCHS * STEPS + 1):
        lines.append([str(step), str(1 + (step - 1) // STEPS), *train[2:]])
        if step % STEPS == 0:
            lines.append([str(step), str(step // STEPS), *val[2:]])
    return "".join(",".join(line) + "\n" for line in lines)


def timed(act: Callable[[], object], times: int) -> str:
    """Median and 95th percentile in milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append(1000 * (time.perf_counter() - began))
    return f"{statistics.median(took):.0f} | {sorted(took)[int(0.95 * (times - 1))]:.0f}"


def fetched(url: str) -> None:
    """Read an answer to its end."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        answer.read()


def until_known(url: str, count: int) -> float:
    """Seconds until the server knows all runs."""
    began = time.monotonic()
    while True:
        with urllib.request.urlopen(f"{url}/api/v1/lists/run?limit=1", timeout=60) as answer:
            if json.load(answer)["total"] == count:
                return time.monotonic() - began
        time.sleep(0.05)


def opened(browser: Browser, url: str) -> tuple[Page, float]:
    """Home in a browser window of its own, with nothing cached, and when its first row stood there."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(WATCH)
    page.goto(url)
    page.wait_for_function("marks.row")
    return page, float(page.evaluate("marks.row"))


def visits(browser: Browser, url: str) -> list[float]:
    """Milliseconds until the first row, of several visits."""
    found = []
    for _ in range(ROUNDS):
        page, row = opened(browser, url)
        found.append(row)
        page.context.close()
    return found


def in_the_browser(browser: Browser, url: str) -> list[str]:
    """The verdict, then what a person waits for."""
    floors = [floor(browser, url) for _ in range(ROUNDS)]
    page, first = opened(browser, url)
    page.context.close()
    later = visits(browser, url)
    page, _ = opened(browser, url)
    first_name = "document.querySelector('tbody tr td a').innerText"
    page.evaluate(f"window.before = {first_name}")
    turn = after(page, page.get_by_role("button", name="Next page").click, f"{first_name} !== window.before")
    page.evaluate(f"window.before = {first_name}")
    by_loss = page.get_by_role("columnheader", name="Training loss").click
    order = after(page, by_loss, f"{first_name} !== window.before")
    search = page.get_by_label("Search")
    typed = after(page, lambda: search.fill("000777"), "document.querySelectorAll('tbody tr td a').length <= 3")
    page.context.close()
    return [
        verdict(first, statistics.median(later)),
        f"| empty page (the floor), median of {ROUNDS} | {statistics.median(floors):.0f} | {max(floors):.0f} |",
        f"| Home, first visit after the start of the server | {first:.0f} | |",
        f"| Home, later visits, median of {ROUNDS} | {statistics.median(later):.0f} | {max(later):.0f} |",
        f"| the next page of the table | {turn:.0f} | |",
        f"| sorted by another column | {order:.0f} | |",
        f"| searched, with 300 ms for typing | {typed:.0f} | |",
    ]


def on_the_server(url: str, home: Workspace, server: psutil.Process) -> list[str]:
    """The server's own times, and what it does while nobody asks."""
    api = f"{url}/api/v1"
    rows = [
        f"| GET {path} | {timed(lambda path=path: fetched(api + path), REQUESTS)} |"  # type: ignore[misc]
        for path in (
            "/lists/run",
            "/lists/run?sort=last_loss",
            "/lists/run?search=000777",
            "/lists/run/values",
            "/home",
        )
    ]
    bench = Workbench(ServerSettings(home))
    bench.catalogue.refresh()
    rows.append(f"| look whether a directory has changed (each second) | {timed(bench.catalogue.refresh, 20)} |")
    bench.engine.dispose()
    before = server.cpu_times()
    time.sleep(10)
    used = server.cpu_times()
    busy = (used.user + used.system - before.user - before.system) / 10
    rows.append(f"| share of a core that the idle server takes, % | {100 * busy:.0f} | |")
    return rows


def main() -> None:
    """Make the runs, start a server, look at it."""
    from playwright.sync_api import sync_playwright

    count = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder:
        home = Workspace(Path(folder) / "workspace")
        many(home, count)
        load = os.getloadavg()[0]
        with sync_playwright() as engine:
            flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            browser = engine.chromium.launch(executable_path=chromium, args=flags)
            server, url = serve(home)
            try:
                page, unknown = opened(browser, url)
                page.context.close()
                known = until_known(url, count)
            finally:
                server.terminate()
                server.wait()
            server, url = serve(home)
            try:
                told, *rows = in_the_browser(browser, url)
                own = on_the_server(url, home, psutil.Process(server.pid))
            finally:
                server.terminate()
                server.wait()
            browser.close()
    text = (
        f"# Home of {count:,} runs\n\n"
        f"Run folders with the small files of one that was trained, {EPOCHS} epochs of {STEPS} logged steps in each "
        "metrics.csv. Milliseconds in Chromium on the same machine, with nothing cached, from the request until the "
        f"first run stands in the table. Load of the machine before: {load:.1f}.\n\n{told}\n\n"
        "| what | ms | slowest, ms |\n|---|---:|---:|\n"
        + "\n".join(rows)
        + f"\n| Home of a workspace that no server has seen before | {unknown:.0f} | |\n\n"
        f"Such a workspace is read in {known:.1f} s after that, the newest runs first.\n\n"
        "| on the server | median, ms | 95th percentile, ms |\n|---|---:|---:|\n"
        + "\n".join(own)
        + f"\n\n{provenance('nicegui', 'starlette', 'sqlalchemy')}. Command: `python benchmarks/workbench_home.py`.\n"
    )
    print(text)
    if count == RUNS:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
