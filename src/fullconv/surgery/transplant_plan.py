"""Of tensors that belong together: which are taken over, in which way, and why the others are not."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from fullconv.surgery.fitting import Allowed, Shape, Way, way_to_fit
from fullconv.surgery.key_conventions import definition_order
from fullconv.surgery.matching import Pair

_SCORES = re.compile(r"(up)?scores?(_\w+)?|logits|fc8")


@dataclass(frozen=True)
class Plan:
    """What a transplant is going to do.

    Args:
        ways: pairs that are taken over, and how.
        misfits: pairs that are not, and why.
    """

    ways: Mapping[Pair, Way]
    misfits: Mapping[Pair, str]


def plan_transplant(
    pairs: Sequence[Pair],
    source: Mapping[str, Shape],
    target: Mapping[str, Shape],
    *,
    fewer_classes: bool = False,
    grouped: Collection[str] = (),
) -> Plan:
    """Decide pair by pair; a layer of which one tensor does not fit is not taken over at all.

    Args:
        pairs: what belongs together.
        source, target: name → shape, in order of definition.
        fewer_classes: take over the first rows where the target has fewer classes.
        grouped: tensors of the target whose second dimension is that of a group of channels, not of bands.

    >>> pairs = [Pair("fc.weight", "fc.weight", "name"), Pair("fc.bias", "fc.bias", "name")]
    >>> plan = plan_transplant(pairs, {"fc.weight": (9, 4), "fc.bias": (5,)}, {"fc.weight": (5, 4), "fc.bias": (5,)})
    >>> list(plan.misfits.values())
    ['(9, 4) does not fit (5, 4); fewer_classes takes its first rows', 'the weight of its layer does not fit']
    """
    readers = _ends(source, 4)[0], _ends(target, 4)[0]
    scoring = _class_counts(pairs, source, target)
    ways: dict[Pair, Way] = {}
    misfits: dict[Pair, str] = {}
    for pair in pairs:
        given, wanted = source[pair.source], target[pair.target]
        scores = (given[:1], wanted[:1]) in scoring
        reads = (pair.source == readers[0] or pair.target == readers[1]) and pair.target not in grouped
        allowed = Allowed(bands=reads, classes=scores, fewer_classes=fewer_classes)
        way = way_to_fit(given, wanted, allowed)
        if way is None:
            misfits[pair] = f"{given} does not fit {wanted}"
            if way_to_fit(given, wanted, Allowed(classes=scores, fewer_classes=True)) == "classes":
                misfits[pair] += "; fewer_classes takes its first rows"
        else:
            ways[pair] = way
    spoilt = {_layer(pair.target): pair.target.rpartition(".")[2] for pair in reversed(misfits)}
    for pair in [pair for pair in ways if _layer(pair.target) in spoilt]:
        del ways[pair]
        misfits[pair] = f"the {spoilt[_layer(pair.target)]} of its layer does not fit"
    return Plan(ways, misfits)


def _class_counts(
    pairs: Iterable[Pair], source: Mapping[str, Shape], target: Mapping[str, Shape]
) -> set[tuple[Shape, Shape]]:
    """How many classes the last layers, and those named scores, have before and after: whatever has the same two
    numbers has a channel per class too. What reads another number of channels is a wider body."""
    last_source, last_target = _ends(source, 2)[1], _ends(target, 2)[1]
    found = set()
    for pair in pairs:
        named = any(_SCORES.fullmatch(part) for part in pair.target.split("."))
        if named or pair.source == last_source or pair.target == last_target:
            given, wanted = source[pair.source], target[pair.target]
            if prod(given[1:]) == prod(wanted[1:]):
                found.add((given[:1], wanted[:1]))
    return found


def _ends(shapes: Mapping[str, Shape], dimensions: int) -> tuple[str | None, str | None]:
    """The first and the last tensor of at least so many dimensions; names in alphabetical order have lost theirs."""
    names = list(shapes)
    order = definition_order(names) if names == sorted(names) else names
    large = [name for name in order if len(shapes[name]) >= dimensions]
    return (large[0], large[-1]) if large else (None, None)


def _layer(name: str) -> str:
    return name.rpartition(".")[0]
