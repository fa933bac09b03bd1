"""Predictions by REST against a bare loop: throughput and latency at 1, 8 and 32 clients, and 200 clients at once.

One run on one machine: FCN-8s on MobileNetV2 at 360×480, generated street scenes as JPEG files. The loop decodes,
predicts and encodes the same files in one process, as a script of a user's would. The server is `fullconv serve` in a
process of its own, its visitors are threads in this one that keep their connections; every round measures the loop and
the server in turn. No training runs meanwhile.

Run: python benchmarks/workbench_predict.py [--seconds 30] [--rounds 3]
(about 7 minutes) writes benchmarks/results/workbench_predict.md.
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from PIL import Image

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.pictures import label_png
from fullconv.data.scenes.rendering import generate_scene
from fullconv.networks.catalogue import build_network
from fullconv.networks.normalization import Normalization
from fullconv.prediction.model import Model
from fullconv.store.package import Geometry, ModelCard, save_package
from fullconv.store.recipe import NetworkRecipe
from fullconv.workspace import Workspace
from provenance import provenance

NETWORK, SIZE, FILES, CLIENTS, CROWD = "fcn8s-mobilenet_v2", (480, 360), 16, (1, 8, 32), 200
TARGET, TARGET_CLIENTS = 0.85, 8
RESULT = Path(__file__).parent / "results" / "workbench_predict.md"


@dataclass(frozen=True)
class Load:
    """What so many clients got.

    Args:
        rate: images per second. latencies: seconds of every answer. statuses: how often each came, 0 for no answer.
        refusals: what was said with all but label maps.
    """

    rate: float
    latencies: list[float]
    statuses: Counter[int]
    refusals: set[str]

    def percentile(self, share: float) -> float:
        """Milliseconds that this share of the answers took at most."""
        return 1000 * float(np.quantile(self.latencies, share))


def prepare(folder: Path) -> tuple[Workspace, list[Path]]:
    """A workspace with one model, and image files."""
    home = Workspace(folder / "home")
    names = [f"class {index}" for index in range(12)]
    classes = ClassTable(
        classes=tuple(
            SegmentationClass(name=name, color=(20 * index, 90, 250 - 20 * index), value=index, codes=(index,))
            for index, name in enumerate(names)
        )
    )
    net = build_network(NETWORK, classes=len(classes))
    card = ModelCard(
        name="bench",
        network=NetworkRecipe(name=NETWORK, classes=len(classes), channels=3),
        classes=classes,
        normalization=Normalization.imagenet(),
        geometry=Geometry.of(net),
    )
    save_package(home.model("bench"), net, card)
    (folder / "images").mkdir()
    files = []
    for number in range(FILES):
        files.append(folder / "images" / f"{number}.jpg")
        Image.fromarray(generate_scene(0, number, SIZE)[0]).save(files[-1], quality=90)
    return home, files


def loop_rate(model: Model, files: list[Path], seconds: float) -> float:
    """Images per second of a process that decodes, predicts and encodes one after the other."""
    began, count = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < seconds:
        prediction = model.predict(files[count % len(files)])
        label_png(prediction.labels, prediction.classes)
        count += 1
    return count / took


def load(port: int, contents: list[bytes], clients: int, seconds: float, *, once: bool = False) -> Load:
    """So many clients, each asking again as soon as it has its answer; or each once, all at the same moment."""
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    refusals: set[str] = set()
    start, lock = threading.Barrier(clients + 1), threading.Lock()
    end = 0.0

    def visit(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        connection.connect()
        start.wait()
        turn = number
        while True:
            begun = time.perf_counter()
            try:
                connection.request("POST", "/api/v1/models/bench/predict", contents[turn % len(contents)])
                answer = connection.getresponse()
                content, status = answer.read(), answer.status
            except (OSError, http.client.HTTPException) as problem:
                connection.close()
                content, status = repr(problem).encode(), 0
            with lock:
                latencies.append(time.perf_counter() - begun)
                statuses[status] += 1
                if status != 200:
                    refusals.add(content.decode("utf-8", "replace"))
            turn += 1
            if once or time.perf_counter() > end:
                connection.close()
                return

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(clients)]
    for visitor in visitors:
        visitor.start()
    began = time.perf_counter()
    end = began + seconds
    start.wait()
    for visitor in visitors:
        visitor.join()
    return Load(statuses[200] / (time.perf_counter() - began), latencies, statuses, refusals)


def differing(port: int, model: Model, files: list[Path]) -> list[str]:
    """Files of which the server says something else than the loop."""
    found = []
    for file in files:
        prediction = model.predict(file)
        wanted = label_png(prediction.labels, prediction.classes)
        with urlopen(f"http://127.0.0.1:{port}/api/v1/models/bench/predict", file.read_bytes(), timeout=300) as answer:
            pair = [np.asarray(Image.open(io.BytesIO(content))) for content in (wanted, answer.read())]
        if not np.array_equal(*pair):
            found.append(file.name)
    return found


def serve(home: Workspace) -> tuple[subprocess.Popen[bytes], int]:
    """The server, once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "fullconv", "serve", "--workspace", str(home.root), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while server.poll() is None:
        try:
            urlopen(f"http://127.0.0.1:{port}/api/v1/system", timeout=5).close()
            return server, port
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the server did not start")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0, help="of every measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="write no result")
    given = parser.parse_args()
    loops: list[float] = []
    loads: dict[int, list[Load]] = {clients: [] for clients in CLIENTS}
    with tempfile.TemporaryDirectory() as folder:
        home, files = prepare(Path(folder))
        model = Model.load("bench", workspace=home)
        contents = [file.read_bytes() for file in files]
        server, port = serve(home)
        try:
            others = differing(port, model, files)
            loop_rate(model, files, 2)
            load(port, contents, 2, 2)
            for _ in range(given.rounds):
                loops.append(loop_rate(model, files, given.seconds))
                for clients in CLIENTS:
                    loads[clients].append(load(port, contents, clients, given.seconds))
            crowd = load(port, contents, CROWD, 0, once=True)
            alive = load(port, contents, 1, 0, once=True).statuses[200] == 1
        finally:
            server.terminate()
            server.wait()
    loop = statistics.median(loops)
    rows = [
        "# Predictions by REST",
        "",
        f"{NETWORK}, {SIZE[1]}×{SIZE[0]} pixels, JPEG in, label PNG out; medians of {given.rounds} rounds of "
        f"{given.seconds:.0f} s each. A bare loop in one process: **{loop:.1f} images/s**.",
        "",
        "| clients | images/s | of the loop | p50 | p99 |",
        "|---:|---:|---:|---:|---:|",
    ]
    for clients, found in loads.items():
        rate = statistics.median(one.rate for one in found)
        middle, slow = (statistics.median(one.percentile(share) for one in found) for share in (0.5, 0.99))
        rows.append(f"| {clients} | {rate:.1f} | {rate / loop:.0%} | {middle:.0f} ms | {slow:.0f} ms |")
    reached = statistics.median(one.rate for one in loads[TARGET_CLIENTS]) / loop
    verdict = "reached" if reached >= TARGET else "not reached"
    answers = ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(crowd.statuses.items()))
    rows += [
        "",
        f"Target at {TARGET_CLIENTS} clients, {TARGET:.0%} of the loop: {verdict} ({reached:.0%}).",
        f"{CROWD} clients at the same moment: {answers}; the server "
        + ("answers afterwards." if alive else "no longer answers."),
        *(f"Refused with: `{said}`." for said in sorted(crowd.refusals)),
        f"Label maps of the server that are not those of the loop: {', '.join(others) or 'none'}.",
        "",
        f"{provenance('torch', 'torchvision', 'fastapi', 'uvicorn')}; {os.getloadavg()[0]:.1f} load. "
        "Command: `python benchmarks/workbench_predict.py`.",
    ]
    if not given.dry:
        RESULT.write_text("\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
