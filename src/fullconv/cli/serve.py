"""`fullconv serve`: the workbench in the browser, and REST."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fullconv.cli.console import Home, one_sentence
from fullconv.errors import PlanError
from fullconv.workspace import Workspace

EXTRA = "install the extra: pip install 'fullconv[workbench]'"


@contextmanager
def workbench_parts() -> Iterator[None]:
    """Without the extra's packages a command says what to install."""
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("fullconv"):
            raise
        raise PlanError(f"needs {missing.name}", where="the workbench", remedy=EXTRA) from None


def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.", min=1, max=65535)] = 8460,
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="FULLCONV_TOKEN", help="What visitors must know; made up where one is needed."),
    ] = None,
    names: Annotated[
        list[str],
        typer.Option(
            "--name", help="Host name under which it is reached. Repeatable.", default_factory=list, show_default=False
        ),
    ],
    roots: Annotated[
        list[Path],
        typer.Option(
            "--root",
            help="Folder of this machine that may be looked into; the home folder if none is given. Repeatable.",
            default_factory=list,
            show_default=False,
        ),
    ],
    read_only: Annotated[bool, typer.Option("--read-only", help="For showing: nothing can be changed.")] = False,
    allow_code: Annotated[bool, typer.Option("--allow-code", help="Allow networks from Python files.")] = False,
    cpu_jobs: Annotated[int, typer.Option("--cpu-jobs", help="Jobs on the processor at the same time.", min=0)] = 1,
    gpu_jobs: Annotated[
        int | None,
        typer.Option(
            "--gpu-jobs", help="Graphics cards that take a job each; all if not given, 0 leaves them alone.", min=0
        ),
    ] = None,
    aside_jobs: Annotated[
        int, typer.Option("--aside-jobs", help="Short jobs on the processor beside these at the same time.", min=1)
    ] = 1,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            envvar="FULLCONV_DATABASE",
            help="URL, as postgresql://USER@HOST/NAME; a SQLite file in the workspace if not given.",
        ),
    ] = None,
    workspace: Home = None,
) -> None:
    """Open the workbench: datasets, training, pictures and layers in the browser, and the same by REST.

    Everything done there is seen by the shell and the other way round. Jobs are processes of their own and go on when
    the server stops.
    """
    with one_sentence(), workbench_parts():
        from fullconv.workbench.serving import serve as serve_there
        from fullconv.workbench.settings import ServerSettings, Slots

        loopback = host in ("127.0.0.1", "localhost", "::1")
        secret = token or (None if loopback else secrets.token_urlsafe(24))
        if gpu_jobs == 0:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before anybody counts them
        cards = Slots.of_this_machine().gpu
        if gpu_jobs is not None and gpu_jobs > cards:
            has = f"sees {cards}" if cards else "sees no graphics card"
            raise PlanError(f"this machine {has}", where="--gpu-jobs", remedy=f"give {cards} at most")
        settings = ServerSettings(
            Workspace.find(workspace),
            host=host,
            port=port,
            token=secret,
            read_only=read_only,
            allow_code=allow_code,
            roots=tuple(path.expanduser() for path in roots),
            names=tuple(names),
            database=database,
            slots=Slots(cpu=cpu_jobs, gpu=cards if gpu_jobs is None else gpu_jobs, aside=aside_jobs),
        )
        print(f"FullConv: {settings.address}\nWorkspace: {settings.home.root}", flush=True)
        print("Stop with Ctrl-C; running jobs go on.", flush=True)
        serve_there(settings)
