"""`fullconv net`: the catalogue of networks, and the geometry of any of them."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from fullconv.cli.console import AsJson, one_sentence, parse_size, print_json
from fullconv.files import disk_errors, write_atomically

if TYPE_CHECKING:
    from fullconv.geometry.geometry import Geometry

_WIDE = 140
"""Columns of a terminal from which on the table shows costs too."""

app = typer.Typer(no_args_is_help=True, help="The catalogue of networks, and the geometry of any of them.")


@app.command("list")
def list_(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Only names that hold this.")] = "",
    as_json: AsJson = False,
) -> None:
    """Every network by name: stride, parameters, multiply-adds, reach, and whether tiles are exact."""
    from fullconv.networks.listing import CLASSES, SIZE, list_networks

    entries = [entry for entry in list_networks() if text in entry.name]
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    table = Table(box=box.SIMPLE, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("network", no_wrap=True)
    for name in ("stride", "params", "MACs", "reach", "tiles"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in entries:
        reach = "all" if entry.reach is None else str(max(entry.reach))
        tiles = str(entry.total_stride) if entry.exact_tiling else "–"
        numbers = (f"{entry.parameters / 1e6:.2f} M", f"{entry.multiply_adds / 1e9:.2f} G")
        table.add_row(entry.name, str(entry.stride), *numbers, reach, tiles)
    Console().print(table)
    print(
        f"Parameters for {CLASSES} classes; multiply-adds (MACs) for {SIZE[1]}×{SIZE[0]} pixels; reach: pixels around\n"
        "its own place that an output can read; tiles are exact from origins on multiples of that."
    )


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NET", help="Network of the catalogue, classifier, or my_net.py:build."),
    ],
    size: Annotated[
        str, typer.Option("--size", metavar="WxH", help="Image that shapes and costs are for.")
    ] = "224x224",
    classes: Annotated[int, typer.Option("--classes", help="Scores of each pixel.")] = 21,
    every: Annotated[bool, typer.Option("--all", help="Also layers that leave the cells where they are.")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw the layers to scale.")] = None,
    photo: Annotated[Path | None, typer.Option("--photo", metavar="IMAGE", help="What the drawing lies over.")] = None,
    as_json: AsJson = False,
) -> None:
    """Layer by layer: windows, where the cells lie on the image, what they read, what they cost; then the reach."""
    from fullconv.geometry.geometry import geometry_of
    from fullconv.geometry.offsets import offset_table
    from fullconv.geometry.tables import facts, layer_table, summary
    from fullconv.networks.catalogue import any_network

    with one_sentence():
        height, width = parse_size(size)
        geometry = geometry_of(any_network(name, classes=classes), input_size=(height, width))
        if svg is not None:
            _draw(geometry, svg, photo)
    if as_json:
        print_json(facts(geometry))
        return
    console = Console()
    console.print(layer_table(geometry, every=every, wide=console.width >= _WIDE))
    if name.endswith("-reference"):
        console.print(offset_table(geometry))
    for line in summary(geometry):
        console.print(line, highlight=False)
    if svg is not None:
        console.print(f"Drawn: {svg}", soft_wrap=True)


class Pooling(StrEnum):
    """What becomes of global pooling."""

    window = "window"
    none = "none"


@app.command()
def convert(
    classifier: Annotated[str, typer.Argument(help="A classifier of torchvision or timm.")],
    *,
    weights: Annotated[
        str, typer.Option("--weights", help="imagenet (cached or downloaded), random, or a weight file of it.")
    ] = "random",
    pool: Annotated[
        Pooling, typer.Option("--pool", help="window: global pooling slides; none: a class activation map.")
    ] = Pooling.window,
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Its own image size; found if not given.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the weights as .safetensors, in their new shapes."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a classifier dense and prove it: parameters, multiply-adds and the largest difference, before and after."""
    import warnings

    from safetensors.torch import save

    from fullconv.networks.weights import load_classifier
    from fullconv.surgery.convolutionalize import convolutionalize

    with one_sentence():
        native = None if size is None else parse_size(size)
        net = load_classifier(classifier, weights)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the report says it
            dense = convolutionalize(net, pool=pool.value, input_size=native)
        if out is not None:
            state = {name: value.contiguous() for name, value in dense.state_dict().items()}
            write_atomically(out, save(state))
    conversion = dense.conversion
    assert conversion is not None
    if as_json:
        print_json(asdict(conversion))
        return
    print(conversion)
    if out is not None:
        print(f"weights        {out}")


def _draw(geometry: Geometry, path: Path, photo: Path | None) -> None:
    """The drawing of a network over a photo, else over a generated street."""
    from matplotlib import rc_context

    from fullconv.data.images import read_image
    from fullconv.data.pictures import display_rgb
    from fullconv.data.scenes import generate_scene
    from fullconv.geometry.drawing import network_figure

    height, width = geometry.input_size
    ground = generate_scene(3, 0, size=(width, height))[0] if photo is None else display_rgb(read_image(photo))
    figure = network_figure(geometry, ground)
    with disk_errors(path), rc_context({"svg.fonttype": "none"}):
        figure.savefig(path, format="svg")
