"""Heat maps of classes over a photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fullconv.prediction.classifying import DenseGuess

_GREY = (0.299, 0.587, 0.114)


def heat_figure(guesses: Sequence[DenseGuess], names: Sequence[str]) -> Figure:
    """One row per network, one column per class: the photo in grey under the probability of the class, 0 to 1.

    Args:
        guesses: of the same photo, for example at the network's own stride and at a finer one.
        names: of the classes.
    """
    height, width = guesses[0].photo.shape[:2]
    figure = Figure(
        figsize=(3.2 * len(names) + 0.6, (3.2 * height / width + 0.35) * len(guesses)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(guesses), len(names), squeeze=False)
    for guess, row in zip(guesses, grid, strict=True):
        ground = np.repeat((guess.photo @ np.array(_GREY))[..., None], 3, axis=2).astype(np.uint8)
        for name, axes in zip(names, row, strict=True):
            heat = guess.on_photo(name)
            axes.imshow(ground)
            shown = axes.imshow(heat, vmin=0, vmax=1, cmap="inferno", alpha=np.where(np.isnan(heat), 0, 0.65))
            axes.set_title(f"{name}, up to {np.nanmax(heat):.0%}, every {guess.stride[1]} pixels", fontsize=8)
            axes.set_axis_off()
    figure.colorbar(shown, ax=grid, shrink=0.6, label="probability")
    return figure
