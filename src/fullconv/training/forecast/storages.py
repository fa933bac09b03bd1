"""Every storage that a piece of work takes and gives back, in order, found with tensors that have a shape and no
content: nothing is computed, and nothing of that size is allocated."""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fullconv.networks.reference import AnyFCN

Event = tuple[int, int]
"""(number of a storage, its bytes), or (its number, -1) when its last reference ends."""


class StorageLedger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every storage that operations make, and when it ends; entered inside a `FakeTensorMode`.

    What depends on values that are not there is taken at its largest: a mask keeps everything.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.events: list[Event] = []
        self._alive: dict[int, int] = {}
        self._count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        stand_in = _STAND_INS.get(func)
        made = NotImplemented if stand_in is None else stand_in(*args, **(kwargs or {}))
        if made is NotImplemented:
            scratch = self._begin(_scratch(func, args))
            made = func(*args, **(kwargs or {}))
            self.note(made)
            self.events.append((scratch, -1))
        else:
            self.note(made)
        return made

    def note(self, made: Any) -> None:
        """Count the storages of all tensors in it that are not known yet."""
        for tensor in tree_leaves(made):
            if not isinstance(tensor, torch.Tensor):
                continue
            storage = tensor.untyped_storage()
            if storage._cdata not in self._alive:
                self._alive[storage._cdata] = self._begin(storage.nbytes())
                weakref.finalize(storage, self._ended, storage._cdata)

    def in_order(self, end: int) -> list[Event]:
        """The first events; those that end together by number, for what is dropped at once has no order of its own."""
        ordered: list[Event] = []
        ended: list[Event] = []
        for number, size in self.events[:end]:
            if size < 0:
                ended.append((number, size))
            else:
                ordered += [*sorted(ended), (number, size)]
                ended = []
        return ordered + sorted(ended)

    def _begin(self, size: int) -> int:
        self.events.append((self._count, size))
        self._count += 1
        return self._count - 1

    def _ended(self, address: int) -> None:
        self.events.append((self._alive.pop(address), -1))


def without_content(net: AnyFCN, mode: FakeTensorMode) -> AnyFCN:
    """A copy of a network whose parameters and buffers have shapes and no content, laid out channels-last."""
    memo: dict[int, Any] = {}
    with mode:
        for tensor in (*net.parameters(), *net.buffers()):
            layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
            like = torch.empty(tensor.shape, dtype=tensor.dtype, memory_format=layout)
            memo[id(tensor)] = nn.Parameter(like, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else like
    return copy.deepcopy(net, memo)


@contextmanager
def on_shapes_alone(mode: FakeTensorMode, ledger: StorageLedger) -> Iterator[None]:
    """While it lasts, tensors are made without content, and noted."""
    with warnings.catch_warnings(), mode, ledger:
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        yield


def _scratch(func: Any, args: Any) -> int:
    """Bytes that a kernel takes for itself: oneDNN brings the weights of a convolution into blocks, and back."""
    if func is torch.ops.aten.convolution.default:
        return int(args[1].untyped_storage().nbytes())
    if func is torch.ops.aten.convolution_backward.default:
        return 2 * int(args[2].numel()) * 4
    return 0


def _number(value: torch.Tensor) -> float | int:
    return 1.0 if value.dtype.is_floating_point else 0


def _bincount(values: torch.Tensor, weights: Any = None, minlength: int = 0) -> torch.Tensor:
    return values.new_empty(minlength, dtype=torch.int64)


def _masked(values: torch.Tensor, indices: Any) -> Any:
    """Indexing by a mask that keeps everything; any other indexing is left to PyTorch."""
    masks = [index for index in indices if index is not None and index.dtype in (torch.bool, torch.uint8)]
    if len(masks) != 1:
        return NotImplemented
    (mask,) = masks
    before = next(place for place, index in enumerate(indices) if index is mask)
    # Zeros, since what is indexed may be an index itself.
    return values.new_zeros((*values.shape[:before], mask.numel(), *values.shape[before + mask.ndim :]))


_STAND_INS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten._local_scalar_dense.default: _number,
    torch.ops.aten.bincount.default: _bincount,
    torch.ops.aten.index.Tensor: _masked,
}
