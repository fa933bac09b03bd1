"""How far one map must be cropped to lie on another: Caffe's crop layers, derived."""

from __future__ import annotations

from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.fields import Field
from fullconv.geometry.geometry import Geometry, geometry_of
from fullconv.geometry.states import Plane

IMAGE = "data"
"""What the image is called among the layers."""


def crop_offset(net: nn.Module | Geometry, layer: str, onto: str = IMAGE) -> int:
    """Cells to cut off at the top and at the left of a layer's result, so that its cells lie on those of another.

    Args:
        net: a network, or its geometry.
        layer: whose result is cropped.
        onto: the layer it shall lie on; "data" is the image.

    Raises:
        NetworkError: the strides differ, or the cells lie between those of the other layer.

    Source: Shelhamer's crop arithmetic in the reference nets; layer maps compose, they do not add up.

    >>> net = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=9), nn.ConvTranspose2d(1, 1, 3, stride=2))
    >>> crop_offset(net.eval(), "1")
    9
    """
    geometry = net if isinstance(net, Geometry) else geometry_of(net)
    own, target = _plane(geometry, layer), _plane(geometry, onto)
    offsets = {_offset(a, b, layer, onto) for a, b in ((own.rows, target.rows), (own.cols, target.cols))}
    if len(offsets) > 1:
        raise NetworkError(f"rows and columns of {layer} need different crops to lie on {onto}")
    return offsets.pop()


def _plane(geometry: Geometry, name: str) -> Plane:
    if name == IMAGE and all(layer.name != IMAGE for layer in geometry):
        return Plane(Field.image(), Field.image())
    plane = geometry[name].plane
    if plane is None:
        raise NetworkError(f"{name} has no rows and columns")
    return plane


def _offset(own: Field, target: Field, layer: str, onto: str) -> int:
    if own.stride != target.stride:
        raise NetworkError(f"{layer} has stride {own.stride} and {onto} {target.stride}: no crop brings them together")
    offset = (target.center - own.center) / own.stride
    if offset.denominator != 1:
        raise NetworkError(f"the cells of {layer} lie between those of {onto}, off by {offset - offset // 1} cells")
    return int(offset)
