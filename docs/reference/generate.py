"""Writes the pages of the reference that come from the program itself; a test fails when one is out of date.

Run: python docs/reference/generate.py [--networks]
"""

from __future__ import annotations

import inspect
import sys
import tempfile
from pathlib import Path

import typer
from pydantic import BaseModel
from rich.console import Console
from starlette.testclient import TestClient
from typer.testing import CliRunner

from fullconv.cli.main import app
from fullconv.data.augmentation import Augmentation
from fullconv.data.resizing import Resize
from fullconv.networks import listing
from fullconv.networks.catalogue import network_names, parse_name
from fullconv.networks.listing import CLASSES, describe, list_networks
from fullconv.progress import track
from fullconv.training.settings.experiment import Experiment, Optimization
from fullconv.training.settings.loss_settings import Boundary, Loss
from fullconv.training.settings.policies import (
    Cosine,
    Exponential,
    Fixed,
    Inverse,
    MultiStep,
    OneCycle,
    Polynomial,
    Sigmoid,
    Step,
)
from fullconv.training.settings.regimes import LossSampling, Patchwise, WholeImage
from fullconv.workbench.application import create_app
from fullconv.workbench.settings import ServerSettings, Slots
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

HERE = Path(__file__).parent
REST_TITLE = """# REST

Made by `make docs`. All routes lie under `/api/v1`. `/api/v1/openapi.json` has every field, bound and example.
[Predict by REST and from Python](../how-to/rest.md) and [the workbench](../how-to/workbench.md) show how they are used,
[security](security.md) who may. Errors are problem documents (RFC 9457). What takes long goes on
after the answer, which is 201 where it made a run, prediction, evaluation, trial or repeated job, else 202.
"""
POLICIES = (Fixed, Step, MultiStep, Exponential, Inverse, Polynomial, Sigmoid, Cosine, OneCycle)


def commands() -> str:
    """The help of every command."""
    pages = ["# Commands\n\nMade by `make docs` from the program's own help.\n"]
    root = typer.main.get_command(app)
    names: list[list[str]] = [[]]
    for name, command in sorted(root.commands.items()):  # type: ignore[attr-defined]
        names += [[name], *([name, inner] for inner in sorted(getattr(command, "commands", {})))]
    for words in names:
        plain = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
        text = CliRunner().invoke(app, [*words, "--help"], env=plain, prog_name="fullconv").output
        lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
        pages.append(f"## {' '.join(['fullconv', *words])}\n\n```\n{lines}\n```\n")
    return "\n".join(pages)


def experiment() -> str:
    """Every field of experiment.yaml with its default."""
    sections = ["# experiment.yaml\n\nMade by `make docs`. `--set field=value` sets any of these from the shell.\n"]
    documents: tuple[tuple[str, type[BaseModel]], ...] = (
        ("", Experiment),
        ("resize", Resize),
        ("augmentation", Augmentation),
        *(("regime", kind) for kind in (WholeImage, Patchwise, LossSampling)),
        ("loss", Loss),
        ("loss.boundary", Boundary),
        ("optimization", Optimization),
        *(("optimization.policy", kind) for kind in POLICIES),
    )
    for prefix, schema in documents:
        title = f"`{prefix}`" if prefix else "The plan"
        if "kind" in schema.model_fields:
            title += f": {schema.model_fields['kind'].default}"
        rows = ["| field | default |", "|---|---|"]
        for name, field in schema.model_fields.items():
            shown = "required" if field.is_required() else _default(field.default)
            rows.append(f"| `{f'{prefix}.' if prefix else ''}{name}` | {shown} |")
        explanation = (schema.__doc__ or "").split(">>>")[0].strip()
        sections.append(f"## {title}\n\n```\n{explanation}\n```\n\n" + "\n".join(rows) + "\n")
    return "\n".join(sections)


def _default(value: object) -> str:
    if isinstance(value, BaseModel):
        return "see below"
    return "left open" if value is None else str(value)


def networks() -> str:
    """The catalogue."""
    title = "# Networks\n\nMade by `make docs`. "
    title += f"Parameters are for {CLASSES} classes, multiply-adds for an image of 224×224."
    reach = (
        "Reach: how many pixels up, down, left, right of its own place an output can read. Where it is bounded, an\n"
    )
    reach += (
        "image of any size can be predicted tile by tile with no difference, from origins on the multiples given,\n"
    )
    reach += "with the reach as margin, and as many pixels more as that multiple at the image's own ends."
    grammar = inspect.cleandoc((parse_name.__doc__ or "").split("Raises:")[0]).strip()
    rows = [
        f"{title}\n{reach}\n",
        f"{grammar}\n",
        "| network | stride | parameters | multiply-adds | reach | exact tiles on multiples of |",
    ]
    rows.append("|---|---:|---:|---:|---|---|")
    for entry in list_networks():
        far = "the whole image" if entry.reach is None else ", ".join(map(str, entry.reach))
        tiles = str(entry.total_stride) if entry.exact_tiling else "not exact"
        numbers = f"{entry.parameters / 1e6:.2f} M | {entry.multiply_adds / 1e9:.2f} G"
        rows.append(f"| `{entry.name}` | {entry.stride} | {numbers} | {far} | {tiles} |")
    return "\n".join(rows) + "\n"


def rest() -> str:
    """Every route of the workbench."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench(ServerSettings(Workspace(Path(folder)), slots=Slots()))
        application = create_app(bench, pages=False)
        document = TestClient(application, base_url=bench.settings.url).get("/api/v1/openapi.json").json()
        bench.engine.dispose()
    sections: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            told = " ".join(operation["description"].split("\n\n")[0].split())
            row = f"| `{method.upper()} {path.removeprefix('/api/v1')}` | {told} |"
            sections.setdefault(operation["tags"][0], []).append(row)
    parts = [f"## {tag.capitalize()}\n\n| route | answer |\n|---|---|\n" + "\n".join(sections[tag]) for tag in sections]
    return f"{REST_TITLE}\n" + "\n\n".join(parts) + "\n"


def write_listing() -> None:
    """Work out every network of the catalogue anew; takes minutes."""
    entries = [describe(name) for name in track(network_names(), "Following images through networks")]
    target = Path(listing.__file__).with_name(listing.FILE)
    target.write_text(listing.as_json(entries), encoding="utf-8")


PAGES = {"commands.md": commands, "experiment.md": experiment, "networks.md": networks, "rest.md": rest}


def main() -> None:
    """Write all pages; with --networks, work the catalogue out first."""
    if "--networks" in sys.argv[1:]:
        write_listing()
    for name, make in PAGES.items():
        (HERE / name).write_text(make(), encoding="utf-8")
        Console().print(f"wrote {HERE / name}")


if __name__ == "__main__":
    main()
