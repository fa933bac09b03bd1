"""`fullconv predict`: images in, label maps and pictures out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fullconv.cli.console import AllowCode, AsJson, Home, one_sentence, print_json
from fullconv.workspace import Workspace


def predict(
    model: Annotated[str, typer.Argument(help="A package folder, a run, or a stored name.")],
    images: Annotated[list[Path], typer.Argument(help="Image files or folders of them.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for label maps, overlays and shares.csv.")],
    overlay: Annotated[bool, typer.Option("--overlay/--no-overlay", help="Write pictures with legend too.")] = True,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write class probabilities too (NumPy, float16).")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Go on where an earlier call stopped.")
    ] = False,
    shift_and_stitch: Annotated[
        bool, typer.Option("--shift-and-stitch", help="Compute every pixel, upsample none; many times slower.")
    ] = False,
    device: Annotated[str | None, typer.Option("--device", help="cpu or cuda.")] = None,
    head: Annotated[
        str | None, typer.Option("--head", help="Whose classes, where the network has several heads; else the first's.")
    ] = None,
    allow_code: AllowCode = False,
    workspace: Home = None,
    as_json: AsJson = False,
) -> None:
    """Label every pixel: class-id PNGs with the dataset's own ids and colours, overlays, shares per class."""
    from fullconv.prediction.folder import predict_files
    from fullconv.prediction.model import Model

    with one_sentence():
        loaded = Model.load(model, workspace=Workspace.find(workspace), device=device, allow_code=allow_code, head=head)
        done = predict_files(
            loaded,
            images,
            out,
            overlay=overlay,
            probabilities=probabilities,
            skip_existing=skip_existing,
            shift_and_stitch=shift_and_stitch,
        )
    for file, reason in done.failed:
        typer.echo(f"{file}: {reason}", err=True)
    if as_json:
        print_json(
            {
                "out": str(out),
                "predicted": [str(path) for path in done.written],
                "skipped": done.skipped,
                "failed": [{"file": str(file), "reason": reason} for file, reason in done.failed],
            }
        )
    else:
        print(f"{len(done.written)} label map(s) in {out}" + (f", {done.skipped} were there" if done.skipped else ""))
    if done.failed:
        raise typer.Exit(2)
