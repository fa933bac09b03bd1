"""`fullconv workspace`: the workbench's catalogue, made again from the directories."""

from __future__ import annotations

from typing import Annotated

import typer

from fullconv.cli.console import AsJson, Home, one_sentence, print_json
from fullconv.cli.serve import workbench_parts
from fullconv.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="The folder of datasets, runs and models.")


@app.callback()
def _group() -> None:
    pass


@app.command()
def rebuild(
    database: Annotated[
        str | None,
        typer.Option("--database", envvar="FULLCONV_DATABASE", help="URL; SQLite in the workspace if not given."),
    ] = None,
    workspace: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make the workbench's catalogue again from what lies in the directories. The queue of jobs stays."""
    with one_sentence(), workbench_parts():
        from fullconv.workbench.catalogue import Catalogue
        from fullconv.workbench.database import connect
        from fullconv.workbench.settings import ServerSettings

        settings = ServerSettings(Workspace.find(workspace), database=database)
        found = Catalogue(settings.home, connect(settings.database_url)).rebuild()
    if as_json:
        print_json(found)
    else:
        print(f"{settings.home.root}: " + ", ".join(f"{kind}: {count:,}" for kind, count in found.items()))
