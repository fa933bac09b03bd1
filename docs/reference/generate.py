"""Writes the pages of the reference that come from the program itself; a test fails when one is out of date.

Run: python docs/reference/generate.py
"""

from __future__ import annotations

from pathlib import Path

import typer
from pydantic import BaseModel
from rich.console import Console
from typer.testing import CliRunner

from fullconv.cli.main import app
from fullconv.data.augmentation import Augmentation
from fullconv.data.resizing import Resize
from fullconv.networks.catalogue import list_networks
from fullconv.training.experiment import Experiment, Optimization

HERE = Path(__file__).parent


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
        ("optimization", Optimization),
    )
    for prefix, schema in documents:
        title = f"`{prefix}`" if prefix else "The plan"
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
    rows = ["# Networks\n\nMade by `make docs`. Parameters are counted for 21 classes.\n"]
    rows += ["| network | output stride | parameters |", "|---|---:|---:|"]
    rows += [f"| `{entry.name}` | {entry.stride} | {entry.parameters / 1e6:.2f} M |" for entry in list_networks()]
    return "\n".join(rows) + "\n"


PAGES = {"commands.md": commands, "experiment.md": experiment, "networks.md": networks}


def main() -> None:
    """Write all pages."""
    for name, make in PAGES.items():
        (HERE / name).write_text(make(), encoding="utf-8")
        Console().print(f"wrote {HERE / name}")


if __name__ == "__main__":
    main()
