"""A network as a column of layers, with strides and receptive fields drawn to scale over a photo."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fullconv.geometry.fields import Field
from fullconv.geometry.geometry import Geometry, Layer
from fullconv.geometry.tables import chosen_layers, shown

_ROW = 0.26
_TEXT = "#222222"
_MOST_SQUARES = 8


def network_figure(geometry: Geometry, photo: npt.NDArray[np.uint8] | None = None) -> Figure:
    """Draw a network over an image of its `input_size`.

    On the left one row per layer that has parameters or moves cells: the bar is what the middle cell reads, the ticks
    are where the cells of the layer lie, to the scale of the image. On the right the fields of the last layer of every
    stride, over the photo.

    Args:
        geometry: of a network.
        photo: (H, W, 3) uint8; it is cut and stretched to the input size. None: a plain ground.

    >>> from torch import nn
    >>> from fullconv.geometry.geometry import geometry_of
    >>> figure = network_figure(geometry_of(nn.Conv2d(3, 8, 3, stride=2), input_size=(32, 32)))
    >>> len(figure.axes)
    2
    """
    layers = [layer for layer in chosen_layers(geometry, every=False) if layer.plane is not None]
    height, width = geometry.input_size
    ground = np.full((height, width, 3), 235, dtype=np.uint8) if photo is None else _fitted(photo, height, width)
    rows_high = max(3.0, _ROW * len(layers) + 0.8)
    figure = Figure(figsize=(12, max(rows_high, 4.5)), layout="constrained")
    FigureCanvasSVG(figure)
    column, picture = figure.subplots(1, 2, width_ratios=(7, 5))
    colors = colormaps["viridis"]
    _column(column, layers, ground, colors)
    _squares(picture, _last_of_each_stride(layers), ground, colors)
    return figure


def _fitted(photo: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """The photo at the input size, by nearest neighbours: it only lies behind the drawing."""
    rows = np.arange(height) * photo.shape[0] // height
    cols = np.arange(width) * photo.shape[1] // width
    fitted: npt.NDArray[np.uint8] = photo[rows[:, None], cols]
    return fitted


def _column(axes: Axes, layers: list[Layer], ground: npt.NDArray[np.uint8], colors: Colormap) -> None:
    height, width = ground.shape[:2]
    count = len(layers)
    band = ground[height // 2 - max(1, height // 40) : height // 2 + max(1, height // 40)]
    for index, layer in enumerate(layers):
        assert layer.plane is not None
        top = count - index
        axes.imshow(band, extent=(0, width, top - 0.9, top - 0.1), aspect="auto", alpha=0.6, zorder=0)
        field = layer.plane.cols
        extent = field.extent(middle_cell(field, width))
        color = colors(index / max(1, count - 1))
        if extent is not None:
            axes.add_patch(Rectangle((extent[0], top - 0.72), extent[1] + 1 - extent[0], 0.44, color=color, alpha=0.75))
        places = _centres(field, width)
        axes.plot(places, np.full(len(places), top - 0.5), "|", color=_TEXT, markersize=4, markeredgewidth=0.5)
    axes.set_yticks([count - index - 0.5 for index in range(count)], [_label(layer) for layer in layers], fontsize=7)
    margin = width * 0.15
    axes.set_xlim(-margin, width + margin)
    axes.set_ylim(0, count)
    axes.set_xlabel("image column, pixels")
    axes.set_title("what the middle cell reads, and where the cells lie", fontsize=9, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _squares(axes: Axes, layers: list[Layer], ground: npt.NDArray[np.uint8], colors: Colormap) -> None:
    height, width = ground.shape[:2]
    axes.imshow(ground, extent=(0, width, height, 0), alpha=0.8)
    for index, layer in enumerate(layers):
        plane = layer.plane
        assert plane is not None
        rows, cols = (
            field.extent(middle_cell(field, side)) for field, side in ((plane.rows, height), (plane.cols, width))
        )
        if rows is None or cols is None:
            continue
        color = colors(index / max(1, len(layers) - 1))
        corner, size = (cols[0], rows[0]), (cols[1] + 1 - cols[0], rows[1] + 1 - rows[0])
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=3.2))
        text = f"{layer.name}: {size[0]}×{size[1]} pixels, every {shown(plane.cols.stride)}"
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=color, linewidth=1.6, label=text))
    outside = max((layer.receptive_field or (0, 0))[1] for layer in layers) if layers else 0
    margin = max(0.05 * width, min(width, (outside - width) / 2 + 0.05 * width))
    axes.set_xlim(-margin, width + margin)
    axes.set_ylim(height + margin * height / width, -margin * height / width)
    axes.set_title("receptive fields over the image", fontsize=9, loc="left")
    if axes.patches:
        axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.06), frameon=False)
    axes.spines[:].set_visible(False)


def middle_cell(field: Field, side: int) -> int:
    """The cell whose centre is nearest to the middle of the image.

    >>> middle_cell(Field.image().window(2, stride=2), 100)
    25
    """
    return round((side / 2 - field.center) / field.stride)


def _centres(field: Field, side: int) -> npt.NDArray[np.float64]:
    """Centres of the cells on the image, in the middle of their pixels; none where they are too dense to see."""
    if field.stride < side / 120:
        return np.zeros(0)
    first, last = -field.center // field.stride, (side - field.center) // field.stride
    places = np.array([float(field.stride * cell + field.center) + 0.5 for cell in range(int(first), int(last) + 1)])
    return places[(places >= 0) & (places <= side)]


def _last_of_each_stride(layers: list[Layer]) -> list[Layer]:
    found = {
        layer.plane.cols.stride: layer for layer in layers if layer.plane is not None and layer.plane.cols.stride > 1
    }
    return list(found.values())[-_MOST_SQUARES:]


def _label(layer: Layer) -> str:
    parts = [layer.name if len(layer.name) < 34 else f"…{layer.name[-32:]}"]
    if layer.kernel is not None:
        parts.append("×".join(map(str, dict.fromkeys(layer.kernel))) + (f"/{layer.step[1]}" if layer.step else ""))
    return "  ".join([*parts, "×".join(map(str, layer.shape))])
