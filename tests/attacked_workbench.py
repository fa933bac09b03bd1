"""A workbench with something of every kind, beside a folder that nobody may see."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from asgi_requests import HOST, Answer, ask
from fullconv.workbench.settings import Limits, ServerSettings, Slots
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from hostile_requests import BYTES, JSON, SECRET, Ground

_SUMMARY = {
    "axes": {"seed": [0, 1]},
    "runs": [{"run": "first", "settings": {"seed": 0}, "split": "test", "scores": {"mean_iou": 0.5}}],
    "missing": [{"run": "second", "state": "failed", "error": "no memory"}],
}


def prepared(place: Path, trained: Path, scenes: Path) -> Path:
    """Fill a folder: `home`, a workspace; `open`, which may be used; `secret`, which may not; links between them.

    Args:
        trained: a workspace with the dataset `streets` and the finished run `first`. scenes: images and labels.
    """
    shutil.copytree(trained, place / "home")
    for name in ("first", "second"):
        shutil.copytree(trained / "runs/first/model", place / "home/models" / name)
    shutil.copytree(scenes, place / "open/streets")
    for folder in ("secret", "open/.hidden", "home/workbench", "home/uploads", "home/jobs", "home/groups/two"):
        (place / folder).mkdir(parents=True)
    (place / "home/groups/two/summary.json").write_text(json.dumps(_SUMMARY))
    for file in ("secret/key.txt", "open/.hidden/key.txt", "home/workbench/secret"):
        (place / file).write_text(SECRET)
    (place / "open/away").symlink_to(place / "secret")
    (place / "home/jobs/.planning").touch()
    os.mkfifo(place / "open/pipe")
    (place / "open/test.txt").write_text("scene_00000\n")
    (place / "open/evil").mkdir()
    (place / "open/evil/evil.py").write_text(
        f"open({str(place / 'evil.txt')!r}, 'w')\ndef build(classes, channels): ..."
    )
    for suffix in (".pth", ".bin", ".safetensors"):
        (place / f"open/evil/evil{suffix}").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    described = (place / "home/datasets/streets/dataset.yaml").read_text()
    outside = re.sub(r"(?m)^root: .*$", f"root: {place}/secret", described)
    (place / "open/evil/dataset.yaml").write_text(outside)
    return place


def opened(place: Path, **changes: Any) -> Workbench:
    """A workbench on it, with low limits; a job waits."""
    limits = Limits(upload=2**20, archive=2**22, members=500, pixels=2_000_000)
    home = Workspace(place / "home")
    settings = ServerSettings(home, slots=Slots(), roots=(place / "open",), limits=limits, **changes)
    made = Workbench(settings)
    if not made.queue.jobs():
        made.queue.add("dataset", title="a job", payload={}, subject="dataset:other")
    made.catalogue.refresh()
    return made


def ground_of(app: Any, place: Path) -> Ground:
    """All routes, with what exists for each of their parameters."""
    streets = {"images": f"{place}/open/streets"}
    check = send(app, "POST", "/api/v1/datasets/check", streets, query="wait=20")
    assert check.status == 202, check.body
    trial = send(app, "POST", "/api/v1/trials", {"model": "first", "image": "shapes"})
    two = {"models": ["first", "second"], "dataset": "streets"}
    compared = send(app, "POST", "/api/v1/compare", two, query="wait=20")
    predicted = send(app, "POST", "/api/v1/predictions", {"model": "first", "folder": f"{place}/open/streets"})
    scored = send(app, "POST", "/api/v1/evaluations", {"model": "first", "dataset": "streets"})
    content = save({"a.weight": torch.zeros(4)})
    ask(app, "/api/v1/weights", method="POST", query="file=some.safetensors", headers=(HOST, *BYTES), body=[content])
    layers = ask(app, "/api/v1/models/first/layers")
    examples = {
        "datasets name": "streets",
        "runs name": "first",
        "groups name": "two",
        "models name": "first",
        "weights name": "some",
        "predictions name": _subject(predicted),
        "evaluations name": _subject(scored),
        "networks name": "fcn8s-squeezenet1_1",
        "models layer": json.loads(layers.body)["layers"][0]["name"],
        "checks id": json.loads(check.body)["id"],
        "compare id": json.loads(compared.body)["id"],
        "trials identifier": json.loads(trial.body)["id"],
        "trials layer": "image",
        "lists kind": "run",
        "number": "1",
        "epoch": "1",
        "checkpoint": "best",
        "file": "report.html",
        "side": "truth",
        **dict.fromkeys(("place", "level", "row", "column", "channel"), "0"),
    }
    lists = {"test": f"{place}/open/test.txt"}
    settings = {"dataset": "streets", "network": "fcn8s-squeezenet1_1", "weights": "random", "epochs": 1}
    plan = {"experiment": settings | {"crop": [64, 64], "batch_size": 2, "device": "cpu", "workers": 0}}
    bodies = {
        "POST /api/v1/datasets": streets | {"name": "evil"},
        "POST /api/v1/datasets/check": streets,
        "POST /api/v1/datasets lists": streets | {"name": "evil", "lists": lists},
        "POST /api/v1/datasets/check lists": streets | {"lists": lists},
        "POST /api/v1/checks/{id}/choices": streets,
        "POST /api/v1/plans": plan,
        "POST /api/v1/plans/forecast": plan,
        "POST /api/v1/plans/samples": plan,
        "POST /api/v1/runs": plan,
        "POST /api/v1/trials": {"model": "first", "image": "shapes"},
        "POST /api/v1/predictions": {"model": "first", "folder": f"{place}/open/streets"},
        "POST /api/v1/evaluations": {"model": "first", "dataset": "streets"},
        "POST /api/v1/compare": two,
        "POST /api/v1/compare files": {"models": two["models"], "files": [f"{place}/open/streets"]},
    }
    return Ground(app.app.app.openapi(), place, examples, bodies)


def _subject(answer: Answer) -> str:
    """The name behind the colon in the subject of a job."""
    return str(json.loads(answer.body)["subject"]).partition(":")[2]


def send(app: Any, method: str, path: str, document: dict[str, Any], query: str = "") -> Answer:
    """Send a document to a route."""
    return ask(app, path, method=method, query=query, headers=(HOST, *JSON), body=[json.dumps(document).encode()])
