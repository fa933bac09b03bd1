"""Any convolutional classifier becomes a dense network of the same weights, with proof."""

from __future__ import annotations

import operator
import warnings
from fractions import Fraction

import torch
from torch import fx, nn

from fullconv.errors import NetworkError, NotConvolutional
from fullconv.geometry.following import follow
from fullconv.geometry.geometry import Geometry, geometry_of, geometry_of_trace
from fullconv.geometry.meta_values import BATCH, values_at
from fullconv.geometry.states import Obstacle
from fullconv.surgery.copying import copy_of, refuse_hooks
from fullconv.surgery.dense_classifier import Conversion, DenseClassifier, Pool, Trim
from fullconv.surgery.freezing import freeze
from fullconv.surgery.heads import Head, HeadObstacle
from fullconv.surgery.native import native_input
from fullconv.surgery.obstacles import READS_WHOLE_IMAGE, kept, refusal
from fullconv.surgery.proof import TOLERANCE, difference, random_images
from fullconv.surgery.specializing import specialize


class DependentWindows(UserWarning):
    """Windows of a dense network that are not independent: some operation reads the whole image."""


def convolutionalize(
    classifier: nn.Module, *, pool: Pool = "window", input_size: tuple[int, int] | None = None
) -> DenseClassifier:
    """Make a classifier dense: it slides over images of any size, at the cost of one pass.

    Linear layers behind a flattened map become convolutions of the size of that map, later ones 1×1 convolutions;
    global pooling becomes a sliding window of the native size with stride 1. All of it is recognised in the graph of
    operations, so any classifier will do: torchvision's, timm's, one's own.

    At native size the result equals the classifier's. On larger images it equals the classifier slid over the image:
    everywhere for networks without padding; for padded ones where the receptive field of a score lies inside its
    window, elsewhere a window sees its neighbourhood where the classifier sees padding. Pools that round up count as
    padding: where the last window of one hangs over the far edge of the classifier's map, it reads what lies there on a
    larger image. The result may have a row or a column more than there are whole windows: the last one then lacks
    pixels that the classifier leaves unread, or sees padding in their place. Padding and resizing that
    depend on the image's size are held at what they are for the native size. Squeeze-excite, group and instance norm
    are kept as they are and read the whole image, whatever its size: a warning says so.

    Args:
        classifier: takes (N, C, H, W) images, returns (N, classes). It is copied; the copy is in evaluation.
        pool: "window" slides global pooling; "none" leaves global average pooling out, so that every cell of the
            feature map has scores of its own: a class activation map, whose mean at native size are the classifier's
            scores. The head must be linear after the pooling.
        input_size: (height, width) of the classifier's images; found if not given.

    Returns:
        (N, C, H, W) float images of at least native size → (N, classes, h, w) float scores; what is known of the
        conversion is in its `conversion`.

    Raises:
        NotConvolutional: an operation has no dense form (attention, position embeddings, window partition …), or the
            result differs from the classifier's by more than 1e-5 of its largest score.
        NetworkError: it takes no images of the size given.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 3.1; for pool="none" Zhou et al., CVPR 2016.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 7 * 7, 10))
    >>> dense = convolutionalize(net, input_size=(29, 29))
    >>> dense(torch.zeros(1, 3, 29, 29)).shape, dense(torch.zeros(1, 3, 60, 101)).shape
    (torch.Size([1, 10, 1, 1]), torch.Size([1, 10, 8, 19]))
    >>> dense.conversion.stride, dense.get_submodule("3")
    ((4, 4), WindowProduct(8, 10, kernel_size=(7, 7), stride=(1, 1)))
    """
    if pool not in ("window", "none"):
        raise NetworkError(f'pool is "window" or "none", not {pool!r}')
    refuse_hooks(classifier)
    name, precision = type(classifier).__name__, _precision(classifier)
    if precision != torch.float32:
        classifier = copy_of(classifier).float()
    channels, *sides = native_input(classifier, input_size=input_size)
    native = (sides[0], sides[1])
    trace = freeze(specialize(classifier, native, channels))
    states, obstacles = follow(trace)
    found = refusal(trace, states, obstacles)
    if found is not None:
        raise _refused(name, found)
    dependent = tuple(obstacle.name for obstacle in kept(trace, states, obstacles))
    before = (_parameters(trace.graph), geometry_of_trace(trace).multiply_adds)
    head = Head(trace, states, obstacles, drop_pooling=pool == "none")
    try:
        with torch.device("cpu"):  # whatever the default: places are counted there
            scores = head.scores()
    except HeadObstacle as problem:
        raise _refused(name, problem.obstacle) from problem
    classes = head.classes
    head.builder.result.args = (scores,)
    dense, geometry, trimmed = _assembled(name, trace.graph, native, channels, every=pool == "none")
    plane = geometry.output
    assert plane is not None
    conversion = Conversion(
        classifier=name,
        channels=channels,
        native_size=native,
        pool=pool,
        classes=classes,
        stride=(int(plane.rows.stride), int(plane.cols.stride)),
        receptive_field=(plane.rows.size, plane.cols.size),
        parameters_before=before[0],
        parameters_after=_parameters(dense),
        multiply_adds_before=before[1],
        multiply_adds_after=geometry.multiply_adds,
        dependent=dependent,
        left_out=_left_out(classifier, dense),
        trimmed=trimmed,
        difference=difference(classifier, dense, random_images(channels, native)),
    )
    _check(conversion)
    dense.conversion = conversion
    _warn(conversion)
    return dense if precision == torch.float32 else dense.to(precision)


def _refused(name: str, obstacle: Obstacle) -> NotConvolutional:
    return NotConvolutional(f"{obstacle.name}: {obstacle.reason}", where=name)


def _assembled(
    name: str, root: fx.GraphModule, native: tuple[int, int], channels: int, *, every: bool
) -> tuple[DenseClassifier, Geometry, bool]:
    """The dense network, checked to grow with the image; trimmed where it takes only some sizes.

    Where a map was enlarged on the way, only every so many cells see what the classifier sees in its first one; others
    are left out unless `every` is wanted.
    """
    root.graph.eliminate_dead_code()
    dense = DenseClassifier(root, root.graph).eval()
    geometry = geometry_of(dense, input_size=native, channels=channels)
    found = next((obstacle for obstacle in geometry.obstacles if obstacle.kind not in READS_WHOLE_IMAGE), None)
    if found is not None:
        raise _refused(name, found)
    if geometry.output is None:
        raise NotConvolutional("its scores have no place on the image", where=name)
    fields = (geometry.output.rows, geometry.output.cols)
    steps = [total / field.stride for total, field in zip(geometry.total_stride, fields, strict=True)]
    if not every and steps != [1, 1]:
        _thin(dense, int(steps[0]), int(steps[1]))
        geometry = geometry_of(dense, input_size=native, channels=channels)
    trimmed = not _takes_any_size(dense, geometry, native)
    if trimmed:
        _trim(dense, Trim(native, geometry.total_stride))
        if not _takes_any_size(dense, geometry, native):
            raise NotConvolutional("what it computes for larger images does not grow with them", where=name)
    return dense, geometry, trimmed


def _thin(dense: DenseClassifier, rows: int, cols: int) -> None:
    result = next(node for node in reversed(dense.graph.nodes) if node.op == "output")
    scores: fx.Node = result.args[0]
    with dense.graph.inserting_before(result):
        index = (slice(None), slice(None), slice(None, None, rows), slice(None, None, cols))
        result.args = (dense.graph.call_function(operator.getitem, (scores, index)),)
    dense.recompile()


def _trim(dense: DenseClassifier, trim: Trim) -> None:
    images = next(iter(dense.graph.nodes))
    dense.add_submodule("trim", trim)
    with dense.graph.inserting_after(images):
        trimmed = dense.graph.call_module("trim", (images,))
    images.replace_all_uses_with(trimmed, lambda user: user is not trimmed)
    dense.recompile()


def _takes_any_size(dense: DenseClassifier, geometry: Geometry, native: tuple[int, int]) -> bool:
    """Whether images beyond the native size give a map that grows as the stride says."""
    assert geometry.output is not None
    height, width = native
    rows, cols = geometry.total_stride
    small = _size_of_result(dense, geometry.channels, native)
    large = _size_of_result(dense, geometry.channels, (height + rows, width + 2 * cols))
    growth = (rows / geometry.output.rows.stride, 2 * cols / geometry.output.cols.stride)
    if small is None or large is None or any(b - a != g for a, b, g in zip(small, large, growth, strict=True)):
        return False
    odd = ((height + 1, width + 3), (height + rows - 1, width + cols // 2 + 1), (height + 2 * rows + 1, width))
    return all(_size_of_result(dense, geometry.channels, size) is not None for size in odd)


def _size_of_result(dense: DenseClassifier, channels: int, size: tuple[int, int]) -> tuple[Fraction, Fraction] | None:
    try:
        values = values_at(dense, torch.empty(BATCH, channels, *size, device="meta"))
    except Exception:  # a network may fail in any way
        return None
    rows, cols = next(value for node, value in values.items() if node.op == "output").shape[-2:]
    return Fraction(rows), Fraction(cols)


def _precision(net: nn.Module) -> torch.dtype:
    return next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.float32)


def _parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _left_out(classifier: nn.Module, dense: nn.Module) -> tuple[str, ...]:
    """Children of the classifier of whose parameters none is used."""
    used = {name.split(".")[0] for name, _ in dense.named_parameters()}
    children = [(name, _parameters(child)) for name, child in classifier.named_children()]
    return tuple(name for name, count in children if count and name not in used)


def _check(conversion: Conversion) -> None:
    where = conversion.classifier
    if conversion.parameters_before != conversion.parameters_after:
        before, after = conversion.parameters_before, conversion.parameters_after
        raise NotConvolutional(f"its {before:,} parameters would become {after:,}", where=where)
    if conversion.difference is not None and not conversion.difference <= TOLERANCE:
        raise NotConvolutional(
            f"the dense network differs from it by {conversion.difference:.1e} of its largest score", where=where
        )


def _warn(conversion: Conversion) -> None:
    if conversion.dependent:
        first, count = conversion.dependent[0], len(conversion.dependent)
        which = f"{first} reads" if count == 1 else f"{first} and {count - 1} more read"
        warnings.warn(
            f"{conversion.classifier}: {which} the whole image, so windows are not independent of each other",
            DependentWindows,
            stacklevel=3,
        )
