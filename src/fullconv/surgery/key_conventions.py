"""What one and the same layer is called by torchvision, timm and Caffe, and in which order layers are defined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

Shape = tuple[int, ...]

_PLAIN = re.compile(r"(?P<path>.*?)features\.(?P<index>\d+)\.(?P<leaf>\w+)")
_FULLY_CONNECTED = {
    **{f"classifier.{index}": name for index, name in {0: "fc6", 1: "fc6", 3: "fc7", 4: "fc7", 6: "fc8"}.items()},
    **{"pre_logits.fc1": "fc6", "pre_logits.fc2": "fc7", "head.fc": "fc8"},
}
"""Of VGG and AlexNet: torchvision's and timm's names → Caffe's."""

_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        # torchvision's DenseNet files are older than its module names.
        (r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),
        # RegNet: timm's names → torchvision's; blocks count from 1 here and from 0 there.
        (r"\bs(\d)\.b(\d+)\.", r"trunk_output.block\1.block\1-#\2."),
        (r"(block\d-#?\d+)\.downsample\.conv\.", r"\1.proj.0."),
        (r"(block\d-#?\d+)\.downsample\.bn\.", r"\1.proj.1."),
        (r"(block\d-#?\d+)\.conv1\.", r"\1.f.a."),
        (r"(block\d-#?\d+)\.conv2\.", r"\1.f.b."),
        (r"(block\d-#?\d+)\.conv3\.", r"\1.f.c."),
        (r"(block\d-#?\d+)\.se\.", r"\1.f.se."),
        (r"(block\d-#?\d+\.f\.[abc])\.conv\.", r"\1.0."),
        (r"(block\d-#?\d+\.f\.[abc])\.bn\.", r"\1.1."),
    )
)
_TIMM_REGNET = {"stem.conv.": "stem.0.", "stem.bn.": "stem.1.", "head.fc.": "fc."}
_COUNTED_FROM_ONE = re.compile(r"#(\d+)")


def canonical_names(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """Every name of a state dict in the one convention in which names of the same layer are equal.

    VGG and AlexNet get Caffe's names (conv1_1 … fc8), RegNet and DenseNet those of torchvision's modules; all other
    names stay. Prefixes stay before them.

    Args:
        shapes: name → shape.

    >>> names = canonical_names({"features.0.weight": (64, 3, 3, 3), "features.2.weight": (64, 64, 3, 3),
    ...     "features.5.weight": (128, 64, 3, 3), "classifier.0.weight": (4096, 25088)})
    >>> list(names.values())
    ['conv1_1.weight', 'conv1_2.weight', 'conv2_1.weight', 'fc6.weight']
    """
    names = {name: _rewritten(name) for name in shapes}
    if any("trunk_output." in name for name in names.values()):
        names = {name: _started(new, _TIMM_REGNET) for name, new in names.items()}
    for path, layers in _plain_nets(shapes).items():
        places = {f"{path}features.{index}": f"{path}{layer}" for index, layer in layers.items()}
        places |= {f"{path}{own}": f"{path}{layer}" for own, layer in _FULLY_CONNECTED.items()}
        for name in shapes:
            layer, _, leaf = name.rpartition(".")
            if layer in places:
                names[name] = f"{places[layer]}.{leaf}"
    return names if len(set(names.values())) == len(names) else {name: name for name in shapes}


def _rewritten(name: str) -> str:
    for pattern, new in _REWRITES:
        name = pattern.sub(new, name)
    return _COUNTED_FROM_ONE.sub(lambda match: str(int(match[1]) - 1), name)


def _started(name: str, starts: Mapping[str, str]) -> str:
    old = next((old for old in starts if name.startswith(old)), None)
    return name if old is None else starts[old] + name.removeprefix(old)


def _plain_nets(shapes: Mapping[str, Shape]) -> dict[str, dict[int, str]]:
    """Path of each VGG or AlexNet → index of a layer in its `features` → Caffe's name of it."""
    kernels: dict[str, dict[int, Shape]] = {}
    others: dict[str, set[int]] = {}
    for name, shape in shapes.items():
        if match := _PLAIN.fullmatch(name):
            path, index = match["path"], int(match["index"])
            if len(shape) == 4:
                kernels.setdefault(path, {})[index] = shape[2:]
            else:
                others.setdefault(path, set()).add(index)
    nets = {}
    for path, convolutions in kernels.items():
        strange = any(name.startswith(f"{path}features.") and not _PLAIN.fullmatch(name) for name in shapes)
        numbers = None if strange else _numbers(dict(sorted(convolutions.items())), others.get(path, set()))
        if numbers is not None:
            nets[path] = {index: f"conv{number}" for index, number in numbers.items()}
            nets[path] |= {
                index: f"bn{numbers[index - 1]}"
                for index in others.get(path, set()) - set(convolutions)
                if index - 1 in numbers
            }
    return nets


def _numbers(kernels: Mapping[int, Shape], others: set[int]) -> dict[int, str] | None:
    """Index of a convolution → its number in Caffe; a pool between two convolutions leaves a wider gap.

    None where it is neither an AlexNet (11×11 first) nor a VGG (3×3 throughout).
    """
    if next(iter(kernels.values())) == (11, 11):
        return {index: str(number) for number, index in enumerate(kernels, 1)}
    if set(kernels.values()) != {(3, 3)}:
        return None
    within_block = 3 if others - set(kernels) else 2
    block, place = 1, 1
    numbers = {next(iter(kernels)): "1_1"}
    for before, index in pairwise(kernels):
        block, place = (block, place + 1) if index - before <= within_block else (block + 1, 1)
        numbers[index] = f"{block}_{place}"
    return numbers


_ORDERS = (
    ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
    # timm's blocks: plain, depthwise separable, inverted residual, fused; squeeze-excite.
    ("conv", "bn1"),
    ("conv_dw", "bn1", "se", "conv_pw", "bn2"),
    ("conv_pw", "bn1", "conv_dw", "bn2", "se", "conv_pwl", "bn3"),
    ("conv_exp", "bn1", "se", "conv_pwl", "bn2"),
    ("conv_reduce", "conv_expand"),
    ("conv_stem", "bn1", "blocks", "conv_head", "bn2", "norm_head", "classifier"),
    # SqueezeNet
    ("squeeze", "expand1x1", "expand3x3"),
    # ConvNeXt
    ("layer_scale", "block"),
    ("gamma", "conv_dw", "norm", "mlp"),
    ("downsample", "blocks"),
    ("norm", "pre_logits", "fc"),
    # ResNet
    ("conv1", "bn1", "conv2", "bn2", "se", "conv3", "bn3", "downsample"),
    ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"),
)
"""Parts of one module in order of definition, where their numbers do not tell it."""

_EARLY = re.compile(r"(conv_)?stem\w*|patch_embed")
_LATE = (re.compile(r"pre_logits"), re.compile(r"classifier|head\w*|fc|logits|last_linear"), re.compile(r"\w*score\w*"))


def definition_order(names: Iterable[str]) -> list[str]:
    """Parameter names in the order in which a network would define them, as far as the names tell it.

    Numbers count up, stems come first and classifiers last, and parts of well-known blocks are in their own order.

    >>> definition_order(["classifier.bias", "bn1.weight", "blocks.10.weight", "blocks.9.weight", "conv_stem.weight"])
    ['conv_stem.weight', 'bn1.weight', 'blocks.9.weight', 'blocks.10.weight', 'classifier.bias']
    """
    tree: dict[str, Any] = {}
    leaves = set(names)
    for name in leaves:
        node = tree
        for part in name.split("."):
            node = node.setdefault(part, {})
    return list(_walk(tree, "", leaves))


def _walk(tree: Mapping[str, Any], path: str, leaves: set[str]) -> Iterator[str]:
    for part in _sorted(list(tree)):
        name = f"{path}{part}"
        if name in leaves:
            yield name
        yield from _walk(tree[part], f"{name}.", leaves)


def _sorted(parts: Sequence[str]) -> list[str]:
    order = next((order for order in _ORDERS if len(parts) > 1 and set(parts) <= set(order)), None)
    return sorted(parts, key=_natural if order is None else order.index)


def _natural(part: str) -> tuple[int, list[tuple[int, str]]]:
    late = (rank for rank, pattern in enumerate(_LATE, 2) if pattern.fullmatch(part))
    rank = 0 if _EARLY.fullmatch(part) else next(late, 1)
    pieces = re.findall(r"\d+|\D+", part)
    return rank, [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]
