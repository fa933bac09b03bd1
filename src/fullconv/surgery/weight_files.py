"""Weight files: safetensors, and pickles of tensors only, as one flat state dict."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from fullconv.errors import NetworkError
from fullconv.surgery.key_conventions import definition_order

PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".tar")
"""Read with torch's `weights_only`: tensors and plain containers, no code."""

NESTS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema"),
    *("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights", "params", "module"),
)
"""Where training programs keep the state dict in a checkpoint; the moving average of the weights comes first."""

WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that parallel and compiled modules put before every name."""

_DEEPEST_NEST = 8
_SWELLING = 16
"""A file may stand for so many times its own size in memory, and for `_UNSUSPICIOUS` bytes in any case."""
_UNSUSPICIOUS = 2**28

_REMEDY = "give a .safetensors file or a .pth state dict"


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The state dict in a weight file; no code in it is run.

    Args:
        path: a `.safetensors` file, or `.pth`, `.pt`, `.ckpt`, `.bin` or `.tar` as torch.save writes them. A state
            dict inside a checkpoint is found under the usual keys (`NESTS`), and prefixes of parallel and compiled
            modules are cut off.

    Returns:
        name → tensor on the CPU, floating point of 8 or 16 bits as float32. In order of definition; safetensors
        files keep no order, so theirs is restored as far as the names tell it.

    Raises:
        NetworkError: there is no such file, it is damaged or of another kind, it holds no tensors, it is a pickle that
            would run code, or a few bytes of it stand for more tensors than memory holds.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     torch.save({"epoch": 3, "state_dict": {"module.conv1.weight": torch.ones(2)}}, f"{folder}/net.pth")
    ...     read_weights(f"{folder}/net.pth")
    {'conv1.weight': tensor([1., 1.])}
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise NetworkError("no such weight file", where=path, remedy="check the path")
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        content: Any = _safetensors(path)
    elif suffix in PICKLES:
        content = _pickle(path)
    else:
        kinds = ", ".join((".safetensors", *PICKLES))
        raise NetworkError(f"is none of the kinds of weight files that are read ({kinds})", where=path, remedy=_REMEDY)
    _refuse_swollen(content, path)
    state = flat_state(content)
    if not state:
        parts = content.items() if isinstance(content, Mapping) else ()
        named = ", ".join(repr(name) for name, value in parts if _holds_tensors(value))
        if named:
            remedy = "save the one that is wanted as a file of its own"
            raise NetworkError(f"has its tensors under {named}", where=path, remedy=remedy)
        raise NetworkError("is no state dict: it holds no named tensors", where=path, remedy=_REMEDY)
    return state


def flat_state(content: Any) -> dict[str, torch.Tensor]:
    """The named tensors in what a training program saved, without nests and wrapper prefixes; empty if there are none.

    >>> flat_state({"model": {"_orig_mod.fc.bias": torch.zeros(1), "_orig_mod.fc.weight": torch.zeros(1, 1)}}).keys()
    dict_keys(['fc.bias', 'fc.weight'])
    """
    nest = _nest(content)
    found = {str(name): value for name, value in nest.items() if isinstance(value, torch.Tensor)}
    if len(found) > 1:
        found.pop("n_averaged", None)  # the counter of torch's AveragedModel
    while wrapper := next((w for w in WRAPPERS if found and all(name.startswith(w) for name in found)), None):
        found = {name.removeprefix(wrapper): value for name, value in found.items()}
    return {name: _as_computed(value) for name, value in found.items()}


def _refuse_swollen(content: Any, path: Path) -> None:
    """Sparse and repeated tensors take little room in a file, and all of it once they are dense."""
    size = sum(4 * value.numel() for value in _nest(content).values() if isinstance(value, torch.Tensor))
    if size > max(_UNSUSPICIOUS, _SWELLING * path.stat().st_size):
        remedy = "save dense tensors, each once"
        raise NetworkError(f"stands for {size / 2**30:.3g} GiB of tensors", where=path, remedy=remedy)


def _nest(content: Any) -> Mapping[Any, Any]:
    """The innermost mapping that holds the tensors."""
    for _ in range(_DEEPEST_NEST):
        if not isinstance(content, Mapping):
            return {}
        if any(isinstance(value, torch.Tensor) and "." in str(name) for name, value in content.items()):
            return content
        inner = next((content[key] for key in NESTS if _holds_tensors(content.get(key))), None)
        if inner is None:
            return content
        content = inner
    return {}


def _holds_tensors(value: Any, depth: int = 0) -> bool:
    if not isinstance(value, Mapping) or depth > _DEEPEST_NEST:
        return False
    return any(isinstance(inner, torch.Tensor) or _holds_tensors(inner, depth + 1) for inner in value.values())


def _as_computed(value: torch.Tensor) -> torch.Tensor:
    value = value.detach().dequantize() if value.is_quantized else value.detach()
    value = value if value.layout == torch.strided else value.to_dense()
    return value.float() if value.is_floating_point() and value.element_size() < 4 else value


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        state: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as problem:
        raise NetworkError("holds no readable weights", where=path, remedy=_REMEDY) from problem
    return {name: state[name] for name in definition_order(state)}


def _pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces that it meets TorchScript, and then refuses it
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError) as problem:
        if "Unsupported global" in str(problem) or "TorchScript" in str(problem) or "Unsupported class" in str(problem):
            raise NetworkError(
                "holds more than tensors: opening it would run code, so it is not read",
                where=path,
                remedy="save net.state_dict() alone, as .safetensors or .pth",
            ) from problem
        raise NetworkError("holds no readable weights", where=path, remedy=_REMEDY) from problem
