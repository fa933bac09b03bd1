"""One node of a traced network in the words of the field: what kind of operation, with which settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from fullconv.geometry.modes import Moded
from fullconv.geometry.states import Blocked, State
from fullconv.geometry.tracing import DROPS, Trace

_MODULE_KINDS: tuple[tuple[tuple[type[nn.Module], ...], str], ...] = (
    ((nn.ConvTranspose2d,), "conv_transpose2d"),
    ((nn.Conv2d,), "conv2d"),
    ((nn.MaxPool2d,), "max_pool2d"),
    ((nn.AvgPool2d,), "avg_pool2d"),
    ((nn.LPPool2d,), "lp_pool2d"),
    ((nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d), "adaptive_pool"),
    ((nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d), "pad"),
    ((nn.CircularPad2d,), "circular_pad"),
    ((nn.Upsample,), "interpolate"),
    ((nn.PixelShuffle,), "pixel_shuffle"),
    ((nn.PixelUnshuffle,), "pixel_unshuffle"),
    ((nn.modules.batchnorm._BatchNorm,), "batch_norm"),
    ((nn.InstanceNorm2d,), "instance_norm"),
    ((nn.GroupNorm,), "group_norm"),
    ((nn.LayerNorm, nn.RMSNorm), "layer_norm"),
    ((nn.Linear,), "linear"),
    ((nn.Flatten,), "flatten"),
    ((nn.Unflatten,), "reshape"),
    ((nn.MultiheadAttention,), "attention"),
    ((nn.GLU,), "glu"),
    ((nn.Softmax, nn.LogSoftmax, nn.Softmax2d, nn.Softmin), "softmax"),
    ((nn.LocalResponseNorm, nn.Identity, nn.Sequential, nn.ChannelShuffle), "elementwise"),
)

_FUNCTION_KINDS = {
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d"), "adaptive_pool"),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_max_pool1d"), "adaptive_pool"),
    "max_pool2d_with_indices": "max_pool2d",
    "repeat_interleave": "repeat",
    **dict.fromkeys(("interpolate", "upsample"), "interpolate"),
    **dict.fromkeys(("view", "reshape", "view_as", "reshape_as", "unflatten", "_reshape_alias"), "reshape"),
    **dict.fromkeys(("softmax", "log_softmax"), "softmax"),
    **dict.fromkeys(("layer_norm", "rms_norm"), "layer_norm"),
    "normalize": "normalize",
    **dict.fromkeys(
        (
            "mean",
            "sum",
            "amax",
            "amin",
            "max",
            "min",
            "norm",
            "vector_norm",
            "linalg_norm",
            "linalg_vector_norm",
            "std",
            "var",
            "logsumexp",
            "prod",
            "std_mean",
            "var_mean",
            "argmax",
            "topk",
            "sort",
            "cumsum",
        ),
        "reduce",
    ),
    **dict.fromkeys(("matmul", "bmm", "einsum", "baddbmm", "mm", "tensordot"), "product"),
    **dict.fromkeys(("scaled_dot_product_attention", "multi_head_attention_forward"), "attention"),
    **dict.fromkeys(("cat", "concat", "concatenate"), "cat"),
    **dict.fromkeys(("chunk", "split", "tensor_split", "unbind", "split_with_sizes"), "split"),
    **dict.fromkeys(("permute", "transpose", "swapaxes", "swapdims", "movedim"), "permute"),
    **dict.fromkeys(("size", "getattr", "dim", "numel", "ndim"), "size"),
    **dict.fromkeys(("select", "index_select"), "choose"),
    **{
        name: name
        for name in (
            *("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "lp_pool2d", "pad", "pixel_shuffle"),
            *("pixel_unshuffle", "batch_norm", "instance_norm", "group_norm", "linear", "flatten", "getitem"),
            *("unsqueeze", "squeeze", "expand", "stack", "narrow", "roll", "repeat", "rot90", "flip", "unfold", "glu"),
        )
    },
}

_ELEMENTWISE = frozenset(
    (
        *(
            "add",
            "sub",
            "mul",
            "truediv",
            "div",
            "floordiv",
            "pow",
            "neg",
            "abs",
            "exp",
            "log",
            "sqrt",
            "rsqrt",
            "square",
        ),
        *(
            "iadd",
            "isub",
            "imul",
            "itruediv",
            "add_",
            "sub_",
            "mul_",
            "div_",
            "addcmul",
            "rsub",
            "multiply",
            "subtract",
        ),
        *(
            "maximum",
            "minimum",
            "logaddexp",
            "where",
            "clamp",
            "clamp_",
            "clip",
            "relu",
            "relu_",
            "relu6",
            "leaky_relu",
            "elu",
            "selu",
        ),
        *("celu", "gelu", "silu", "silu_", "mish", "sigmoid", "sigmoid_", "tanh", "tanh_", "hardtanh", "hardswish"),
        *(
            "hardsigmoid",
            "hardtanh_",
            "softplus",
            "softsign",
            "logsigmoid",
            "prelu",
            "rrelu",
            "threshold",
            "erf",
        ),
        *(
            "dropout",
            "dropout1d",
            "dropout2d",
            "dropout3d",
            "feature_dropout",
            "alpha_dropout",
            "feature_alpha_dropout",
            "stochastic_depth",
        ),
        *(
            "to",
            "float",
            "half",
            "bfloat16",
            "double",
            "type",
            "type_as",
            "contiguous",
            "clone",
            "detach",
            "ones_like",
            "zeros_like",
            "full_like",
            "local_response_norm",
        ),
        *(
            "alias",
            "nan_to_num",
            "round",
            "floor",
            "ceil",
            "sign",
            "sin",
            "cos",
            "lerp",
            "gt",
            "lt",
            "ge",
            "le",
            "eq",
            "ne",
        ),
        *("masked_fill", "channel_shuffle", "requires_grad_", "drop_path", "expand_as"),
    )
)


@dataclass(frozen=True)
class Operation:
    """A node with what is known of its arguments.

    Args:
        node: of the graph.
        name: what a person calls it.
        kind: "conv2d", "max_pool2d", "elementwise" …, the same for a module, a function and a method; "opaque" for a
            module that cannot be traced, "own" for one that says itself what it reads, "unknown" for anything else.
        module: that it calls, if it calls one.
        args, kwargs: with the states of tensors in the place of nodes.
        values: (args, kwargs) with what the nodes yield at each of the two image sizes.
        shapes: of the result at both sizes; None where it is no tensor.
        parts: how many tensors the result is.
        dimensions: of the result, or of the first tensor that it is made of.
    """

    node: fx.Node
    name: str
    kind: str
    module: nn.Module | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    values: tuple[tuple[Sequence[Any], dict[str, Any]], tuple[Sequence[Any], dict[str, Any]]]
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None
    parts: int = 1
    dimensions: int = 0

    @property
    def called(self) -> str:
        """The name of the function, method or module type."""
        if self.module is not None:
            return self.module.called if isinstance(self.module, Moded) else type(self.module).__name__
        return self.node.target if isinstance(self.node.target, str) else getattr(self.node.target, "__name__", "")

    @property
    def states(self) -> list[State]:
        """Of all arguments."""
        return [*self.args, *self.kwargs.values()]

    @property
    def _has_settings(self) -> bool:
        """Whether the settings are those of a module, not arguments of a call."""
        return self.module is not None and not isinstance(self.module, Moded)

    def both(self, position: int, name: str, default: Any = None) -> tuple[Any, Any]:
        """A setting at both image sizes: the module's own, else the argument of that position or name."""
        if self._has_settings and self.kind != "own":
            value = getattr(self.module, name, default)
            return value, value
        first, second = (
            kwargs[name] if name in kwargs else args[position] if position < len(args) else default
            for args, kwargs in self.values
        )
        return first, second

    def fixed(self, position: int, name: str, default: Any = None) -> Any:
        """A setting that must not depend on the size of the image.

        Raises:
            Blocked: it does.
        """
        first, second = self.both(position, name, default)
        if self.computed(position, name) or not _equal(first, second):
            raise Blocked("size-dependent", f"its {name.replace('_', ' ')} is computed from the size of the image")
        return first

    def computed(self, position: int, name: str) -> bool:
        """Whether a setting is the result of other operations, and so of the size of the image."""
        if self._has_settings:
            return False
        kept = self.node.kwargs.get(name, self.node.args[position] if position < len(self.node.args) else None)
        return is_computed(kept)

    def pair(self, position: int, name: str, default: Any = None) -> tuple[int, int]:
        """A setting for rows and columns, given as one number or two."""
        value = self.fixed(position, name, default)
        if isinstance(value, int):
            return value, value
        rows, cols = (value[0], value[-1])
        return int(rows), int(cols)


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) or isinstance(second, torch.Tensor):
        both = isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)
        return both and first.shape == second.shape
    return bool(first == second)


def is_computed(argument: Any) -> bool:
    """Whether a node is in an argument, however nested."""
    found: list[fx.Node] = []
    fx.map_arg(argument, found.append)
    return bool(found)


def filled(arguments: Any, value_of: Callable[[fx.Node], Any]) -> Any:
    """The arguments of a node with something else in the place of the nodes among them."""
    return fx.map_arg(arguments, value_of)


def operation(trace: Trace, node: fx.Node, states: dict[fx.Node, State]) -> Operation:
    """The operation of a node whose arguments have these states."""
    module = trace.module(node)
    args, kwargs = filled((node.args, node.kwargs), states.get)
    result = trace.values[node][0]
    leading = result[0] if isinstance(result, list | tuple) and result else result
    first = filled((node.args, node.kwargs), lambda n: trace.values[n][0])
    second = filled((node.args, node.kwargs), lambda n: trace.values[n][1])
    return Operation(
        node=node,
        name=trace.name(node),
        kind=_kind(trace, node, module),
        module=module,
        args=tuple(args),
        kwargs=dict(kwargs),
        values=(first, second),
        shapes=trace.shapes(node),
        parts=len(result) if isinstance(result, list | tuple) else 1,
        dimensions=leading.ndim if isinstance(leading, torch.Tensor) else 0,
    )


def _kind(trace: Trace, node: fx.Node, module: nn.Module | None) -> str:
    if module is not None:
        if str(node.target) in trace.opaque:
            return "opaque"
        if hasattr(module, "reads"):
            return "own"
        if isinstance(module, Moded):
            return _FUNCTION_KINDS.get(module.called, "elementwise")
        found = next((kind for types, kind in _MODULE_KINDS if isinstance(module, types)), None)
        if found is not None:
            return found
        if type(module).__name__ in DROPS:
            return "elementwise"
        family = type(module).__module__
        return "elementwise" if family in ("torch.nn.modules.activation", "torch.nn.modules.dropout") else "unknown"
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if name == "getattr" and isinstance(trace.values[node][0], torch.Tensor):
        return "attribute"
    if name in _FUNCTION_KINDS:
        return _FUNCTION_KINDS[name]
    return "elementwise" if name in _ELEMENTWISE else "unknown"
