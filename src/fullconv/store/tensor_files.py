"""What a safetensors file holds, without reading its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open

from fullconv.errors import PackageError

Shapes = Mapping[str, tuple[int, ...]]
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Tensor → shape; the file's header is checked against its length.

    Raises:
        PackageError: there is no such file, or it is no safetensors file.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> path = Path(tempfile.mkdtemp()) / "net.safetensors"
    >>> save_file({"conv.weight": torch.zeros(8, 3, 3, 3)}, path)
    >>> tensor_shapes(path)
    {'conv.weight': (8, 3, 3, 3)}
    """
    try:
        with safe_open(path, framework="pt") as stored:
            return {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as problem:
        remedy = "give a file that safetensors wrote, or copy it again from where it came"
        raise PackageError(f"weights cannot be read ({problem})", where=path, remedy=remedy) from problem


def values_in(shapes: Shapes) -> int:
    """How many numbers there are in all tensors."""
    return sum(prod(shape) for shape in shapes.values())


def parameters_in(shapes: Shapes) -> int:
    """The same without what normalisation keeps of the images it saw.

    >>> parameters_in({"bn.weight": (8,), "bn.running_mean": (8,), "bn.num_batches_tracked": ()})
    8
    """
    return values_in({name: shape for name, shape in shapes.items() if not name.endswith(BUFFERS)})


def sides_of(shapes: Iterable[tuple[int, ...]]) -> set[int]:
    """All lengths of sides that occur."""
    return {side for shape in shapes for side in shape}
