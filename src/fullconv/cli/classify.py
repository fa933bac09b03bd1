"""`fullconv classify`: what a classifier says of a photo, as a whole or place by place."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fullconv.cli.console import AsJson, one_sentence, print_json
from fullconv.files import disk_errors


def classify(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A photo.")],
    *,
    net: Annotated[str, typer.Option("--net", help="A classifier of torchvision or timm.")],
    weights: Annotated[
        str, typer.Option("--weights", help="imagenet (cached or downloaded), or a weight file of it.")
    ] = "imagenet",
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes.")] = 5,
    dense: Annotated[
        Path | None, typer.Option("--dense", metavar="PNG", help="Draw heat maps of classes over the photo.")
    ] = None,
    classes: Annotated[
        list[str],
        typer.Option(
            "--class", metavar="NAME", help="Class to draw; the surest if not given. Repeatable.", default_factory=list
        ),
    ],
    size: Annotated[int, typer.Option("--size", help="Shorter side of the photo when it is drawn, pixels.")] = 448,
    stride: Annotated[
        int | None, typer.Option("--stride", help="Draw a second, finer row, by à trous rewriting to this stride.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Name what is on a photo: the likeliest classes, and with --dense where the network sees them."""
    from fullconv.data.images import read_image
    from fullconv.data.pictures import display_rgb
    from fullconv.networks.weights import load_classifier
    from fullconv.prediction import classifying

    with one_sentence():
        classifier = load_classifier(net, weights).eval()
        photo = display_rgb(read_image(image))
        names = classifying.class_names(net, classifying.class_count(classifier))
        guesses = classifying.classify(classifier, photo, names, top)
        drawn: list[str] = []
        if dense is not None:
            from fullconv.prediction.heat_maps import heat_figure

            maps = [classifying.classify_densely(classifier, photo, names, size=size)]
            if stride is not None:
                maps.append(classifying.classify_densely(classifier, photo, names, size=size, stride=stride))
            drawn = [names[classifying.class_index(names, name)] for name in classes]
            drawn = drawn or [guess.name for guess in maps[0].strongest(top)]
            with disk_errors(dense):
                heat_figure(maps, drawn).savefig(dense, dpi=110)
    if as_json:
        print_json({"guesses": [asdict(guess) for guess in guesses], "drawn": drawn})
        return
    for guess in guesses:
        print(f"{guess.probability:6.1%}  {guess.name}")
    if dense is not None:
        print(f"Drawn: {dense}")
