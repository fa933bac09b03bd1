"""Another stride in the first convolution: cheaper or finer, with the weights kept."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from fullconv.errors import NetworkError
from fullconv.geometry.operations import operation
from fullconv.geometry.tracing import trace
from fullconv.surgery.copying import copy_of


def with_stem_stride(net: nn.Module, stride: int | tuple[int, int]) -> nn.Module:
    """A copy of a network whose first convolution has another stride: the whole net becomes coarser or finer with it.

    A larger stride makes all that follows cheaper by its square, a smaller one makes the result finer. This does NOT
    keep the function: later layers see the same features at another scale, so the network should be trained further.
    To make a network denser without changing its function, use `rarefy`.

    Args:
        net: takes (N, C, H, W) images; it is not changed.
        stride: of the convolutions that read the image, for both axes or as (rows, columns).

    Returns:
        A network of the same kind with copies of all weights.

    Raises:
        NetworkError: the first convolution is no layer, is transposed, or pads to "same".

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2))
    >>> with_stem_stride(net, 8)[0]
    Conv2d(3, 8, kernel_size=(11, 11), stride=(8, 8), padding=(2, 2))
    """
    pair = (stride, stride) if isinstance(stride, int) else (stride[0], stride[1])
    if min(pair) < 1:
        raise NetworkError(f"a stem stride of {stride} is not possible", remedy="give 1 or more")
    changed = copy_of(net)
    names = first_convolutions(changed)
    if not names:
        raise NetworkError("the network has no convolution that reads the image")
    for name in names:
        layer: Any = changed.get_submodule(name)
        if isinstance(layer.padding, str) and pair != (1, 1):
            raise NetworkError(
                f'its padding "{layer.padding}" allows no stride', where=name, remedy="give it a padding in numbers"
            )
        layer.stride = pair
    return changed


def first_convolutions(net: nn.Module) -> tuple[str, ...]:
    """Paths of the convolutions that read the image with no other convolution before them.

    Raises:
        NetworkError: one of them is not a `torch.nn.Conv2d` layer.

    >>> first_convolutions(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)))
    ('1',)
    """
    traced = trace(net)
    found: list[str] = []
    fed: set[fx.Node] = set()
    for node in traced.graph.graph.nodes:
        if node.op == "placeholder":
            fed.add(node)
        if node.op in ("placeholder", "get_attr", "output") or not fed & set(node.all_input_nodes):
            continue
        op = operation(traced, node, {})
        if op.kind not in ("conv2d", "conv_transpose2d", "opaque", "unknown"):
            fed.add(node)
        elif not isinstance(op.module, nn.Conv2d):
            raise NetworkError("the stride of the first operation cannot be changed", where=op.name)
        elif op.name not in found:
            found.append(op.name)
    return tuple(found)
