"""What all commands share: errors as one sentence, JSON, the common options."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fullconv.collector import begin_collecting
from fullconv.errors import FullconvError

if TYPE_CHECKING:
    from fullconv.evaluation.scores import Scores

Home = Annotated[
    Path | None, typer.Option("--workspace", help="Folder of datasets, runs and models.", envvar="FULLCONV_HOME")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Run the Python file in a model whose network is somebody's own.")
]
Head = Annotated[
    str | None, typer.Option("--head", help="Whose classes, where the network has several heads; else the first's.")
]


@contextmanager
def one_sentence() -> Iterator[None]:
    """A user's mistake is one sentence on standard error and exit code 2; what a command needs is imported before."""
    begin_collecting()
    try:
        yield
    except FullconvError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C during training is no error: it says how to go on and exits 130; SIGTERM exits 143."""
    from fullconv.training.distribution.interrupts import Terminated
    from fullconv.training.stopping import StopRequested

    try:
        yield
    except (StopRequested, KeyboardInterrupt) as stopped:
        said = "\nStopped. The run is kept; `fullconv runs list` names it, `fullconv train --resume RUN` goes on."
        print(said, file=sys.stderr)
        raise typer.Exit(143 if isinstance(stopped, Terminated) else 130) from None


def parse_size(text: str, *, option: str = "--size") -> tuple[int, int]:
    """Height and width of a size written as 480x360.

    >>> parse_size("480x360")
    (360, 480)
    """
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None or "0" in match.groups():
        raise FullconvError(f"{text!r} is no size", where=option, remedy="write width and height as 480x360")
    return int(match[2]), int(match[1])


def print_json(content: Any) -> None:
    """Facts for programs, on standard output."""
    print(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))


def show_scores(scores: Scores, heads: Mapping[str, Scores]) -> None:
    """A table of scores, or one for every head."""
    from rich.console import Console

    console = Console()
    for name, found in [*heads.items()] or [("", scores)]:
        table = found.table()
        table.title = f"Head {name}" if name else None
        console.print(table)
