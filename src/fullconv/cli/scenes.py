"""`fullconv data scenes`: street scenes with exact labels, made by the program."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fullconv.cli.console import one_sentence, parse_size
from fullconv.data.scenes import write_scenes


class LabelKind(StrEnum):
    """How labels are written."""

    palette = "palette"
    colors = "colors"
    ids = "ids"


def scenes(
    out: Annotated[Path, typer.Argument(help="New folder for train/, val/, test/ and classes.txt.")],
    *,
    count: Annotated[int, typer.Option("--count", help="How many scenes.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other scenes.")] = 0,
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT in pixels.")] = "480x360",
    labels: Annotated[LabelKind, typer.Option("--labels", help="How labels are written.")] = LabelKind.palette,
    splits: Annotated[bool, typer.Option("--splits/--no-splits", help="70/15/15 into train, val and test.")] = True,
) -> None:
    """Write generated street scenes of 12 classes with exact labels."""
    with one_sentence():
        height, width = parse_size(size)
        folder = write_scenes(out, count=count, seed=seed, size=(width, height), labels=labels.value, splits=splits)
    print(f"{count} scenes in {folder}")
