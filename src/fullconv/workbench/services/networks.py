"""Networks: the catalogue, and the geometry of any of them."""

from __future__ import annotations

import re
from functools import lru_cache

from pydantic import BaseModel, ConfigDict

from fullconv.data.scenes import generate_scene
from fullconv.errors import NetworkError
from fullconv.geometry.drawing import network_figure
from fullconv.geometry.geometry import Geometry, geometry_of
from fullconv.geometry.tables import facts, summary
from fullconv.networks.catalogue import any_network
from fullconv.networks.listing import NetworkEntry, list_networks
from fullconv.networks.own_file import absolute_name, is_own_file
from fullconv.workbench.figures import svg_of
from fullconv.workbench.own_code import refuse_code
from fullconv.workbench.security.paths import allowed_path
from fullconv.workbench.workbench import Workbench

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,119}")


class NetworkView(BaseModel):
    """A network of the catalogue.

    Args:
        name: what a plan takes. backbone: the classifier.
        stride: of the finest skip.
        parameters: for 21 classes. multiply_adds: of one image of 224×224 pixels.
        reach: pixels up, down, left and right of its own place that an output can read; none where it reads all.
        total_stride: tiles are exact where their origins lie on multiples of it.
        exact_tiling: whether a large image can be predicted tile by tile with no difference.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "fcn4s-mobilenet_v2-features",
                "backbone": "mobilenet_v2",
                "stride": 4,
                "parameters": 2500000,
                "multiply_adds": 420000000,
                "reach": [245, 245, 245, 245],
                "total_stride": 32,
                "exact_tiling": True,
            }
        }
    )

    name: str
    backbone: str
    stride: int
    parameters: int
    multiply_adds: int
    reach: tuple[int, int, int, int] | None
    total_stride: int
    exact_tiling: bool

    @classmethod
    def of(cls, entry: NetworkEntry) -> NetworkView:
        """From the catalogue."""
        return cls(**vars(entry))


class LayerView(BaseModel):
    """A layer, row by row of the table that `fullconv net show` prints; fractions are text such as "1/2".

    Args:
        name, operation: of the layer. shape: of its result, without the batch.
        kernel, own_stride, padding, dilation: of its window.
        stride, offset, receptive_field, start: of its cells, in pixels of the image; none where it has no such map.
        parameters, multiply_adds, activation_bytes: what it costs.
    """

    name: str
    operation: str
    shape: list[int]
    kernel: list[int | str | None] | None
    own_stride: list[int | str | None] | None
    padding: list[int | str | None] | str | None
    dilation: list[int | str | None] | None
    stride: list[int | str | None] | None
    offset: list[int | str | None] | None
    receptive_field: list[int | str | None] | None
    start: list[int | str | None] | None
    parameters: int
    multiply_adds: int
    activation_bytes: int


class Obstacle(BaseModel):
    """Why a network reads the whole image.

    Args:
        name: of the module. kind: in one word. reason: what it does.
    """

    name: str
    kind: str
    reason: str


class NetworkGeometry(BaseModel):
    """The geometry of a network, layer by layer.

    Args:
        name: of the network. input_size: (height, width) that shapes and costs are for. channels: of the image.
        parameters, multiply_adds: of all.
        total_stride: (rows, columns). reach: pixels up, down, left and right; none where it is not bounded.
        is_local: whether there is such a reach. obstacles: why not.
        summary: the same in sentences. layers: in their order.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "fcn32s-vgg16",
                "input_size": [224, 224],
                "channels": 3,
                "parameters": 134364693,
                "multiply_adds": 31540000000,
                "total_stride": [32, 32],
                "is_local": True,
                "reach": {"up": 217, "down": 217, "left": 217, "right": 217},
                "obstacles": [],
                "summary": ["An output reads 217 pixels in every direction from its own place."],
                "layers": [
                    {
                        "name": "features.0",
                        "operation": "Conv2d",
                        "shape": [64, 224, 224],
                        "kernel": [3, 3],
                        "own_stride": [1, 1],
                        "padding": [1, 1],
                        "dilation": [1, 1],
                        "stride": [1, 1],
                        "offset": [0, 0],
                        "receptive_field": [3, 3],
                        "start": [-1, -1],
                        "parameters": 1792,
                        "multiply_adds": 86704128,
                        "activation_bytes": 12845056,
                    }
                ],
            }
        }
    )

    name: str
    input_size: tuple[int, int]
    channels: int
    parameters: int
    multiply_adds: int
    total_stride: tuple[int, int]
    is_local: bool
    reach: dict[str, int] | None
    obstacles: list[Obstacle]
    summary: list[str]
    layers: list[LayerView]


def list_catalogue(search: str = "", *, stride: int | None = None, exact: bool = False) -> list[NetworkView]:
    """Networks of the catalogue.

    Args:
        search: words that the name holds, all of them.
        stride: only of this one. exact: only those whose tiles are exact.
    """
    words = search.lower().split()
    return [
        NetworkView.of(entry)
        for entry in list_networks()
        if all(word in entry.name.lower() for word in words)
        and stride in (None, entry.stride)
        and (entry.exact_tiling or not exact)
    ]


def geometry_view(
    bench: Workbench, name: str, *, size: tuple[int, int] = (224, 224), classes: int = 21
) -> NetworkGeometry:
    """The geometry of a network of the catalogue, of any on another backbone, or of a classifier.

    Args:
        name: as in a plan; a Python file only where the workbench allows code.
        size: (height, width) of the image. classes: scores of each pixel.

    Raises:
        NetworkError: there is none of that name, or an image of that size does not go through it.
        Forbidden: code is not allowed.
    """
    geometry = _geometry(_checked(bench, name), size, classes)
    return NetworkGeometry(name=name, summary=summary(geometry), **facts(geometry))


def network_picture(bench: Workbench, name: str, *, size: tuple[int, int] = (224, 224), classes: int = 21) -> str:
    """The picture that `fullconv net show --svg` draws: layers as a column, receptive fields over a street.

    Raises:
        NetworkError, Forbidden: as `geometry_view`.
    """
    return _picture(_checked(bench, name), size, classes)


def _checked(bench: Workbench, name: str) -> str:
    if not is_own_file(name):
        if not _NAME.fullmatch(name):
            raise NetworkError(f"no network is named {name[:80]!r}", remedy="choose one of the catalogue")
        return name
    refuse_code(name, allowed=bench.settings.allow_code)
    path, _, function = absolute_name(name).rpartition(":")
    return f"{allowed_path(bench.settings, path, kind='file')}:{function}"


def _geometry(name: str, size: tuple[int, int], classes: int) -> Geometry:
    return _followed(name, size, classes) if is_own_file(name) else _known(name, size, classes)


@lru_cache(maxsize=24)
def _known(name: str, size: tuple[int, int], classes: int) -> Geometry:
    return _followed(name, size, classes)


def _followed(name: str, size: tuple[int, int], classes: int) -> Geometry:
    try:
        return geometry_of(any_network(name, classes=classes), input_size=size)
    except (RuntimeError, ValueError, TypeError, IndexError, ZeroDivisionError) as problem:
        height, width = size
        said = str(problem).strip().split("\n")[0][:200]
        raise NetworkError(
            f"an image of {width}×{height} pixels does not go through it ({said})",
            where=name,
            remedy="take another size",
        ) from problem


@lru_cache(maxsize=24)
def _picture(name: str, size: tuple[int, int], classes: int) -> str:
    geometry = _geometry(name, size, classes)
    height, width = geometry.input_size
    ground = generate_scene(3, 0, size=(width, height))[0]
    return svg_of(lambda: network_figure(geometry, ground))
