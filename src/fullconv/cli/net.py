"""`fullconv net`: the catalogue of networks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fullconv.cli.console import AsJson, print_json

app = typer.Typer(no_args_is_help=True, help="The catalogue of networks.")


@app.callback()
def _group() -> None:
    pass


@app.command("list")
def list_(
    classes: Annotated[int, typer.Option("--classes", help="For which parameters are counted.")] = 21,
    as_json: AsJson = False,
) -> None:
    """Every network by name, with its output stride and parameters."""
    from fullconv.networks.catalogue import list_networks

    entries = list_networks(classes)
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    table = Table("network", "backbone", "stride", "parameters", header_style="bold")
    table.columns[2].justify = table.columns[3].justify = "right"
    for entry in entries:
        table.add_row(entry.name, entry.backbone, str(entry.stride), f"{entry.parameters / 1e6:.2f} M")
    Console().print(table)
