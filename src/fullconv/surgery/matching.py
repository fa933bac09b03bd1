"""Which tensor of a source belongs to which of a target: by name, by naming convention, by order of definition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from fullconv.errors import NetworkError
from fullconv.surgery.fitting import Allowed, Shape, way_to_fit
from fullconv.surgery.key_conventions import canonical_names, definition_order

By = Literal["name", "convention", "order"]

_DEEPEST_PREFIX = 2
_LEAVES = ("weight", "bias", "running_mean", "running_var")
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Pair:
    """A tensor of the source and the one of the target that it is for, and what says so."""

    source: str
    target: str
    by: By


def pair_up(source: Mapping[str, Shape], target: Mapping[str, Shape], *, exact: bool = False) -> list[Pair]:
    """The tensors that belong together, in the target's order; shapes of a pair may still differ.

    Names decide, as they are or in the convention that both sides have in common; one of the two may carry a prefix,
    such as `backbone.`. Where names say little and both sides are the same sequence of shapes, the order in which
    layers are defined decides.

    Args:
        source, target: name → shape, in order of definition.
        exact: look for no prefix and do not go by order: somebody said what is called what.

    Raises:
        NetworkError: names fit equally well under several prefixes of the target.

    >>> pair_up({"fc.weight": (2, 8)}, {"head.fc.weight": (2, 8)})
    [Pair(source='fc.weight', target='head.fc.weight', by='name')]
    """
    named = _by_name(source, target, exact=exact)
    if not exact and 2 * _filling(named, source, target) < min(len(source), len(target)):
        ordered = by_order(source, target)
        if len(ordered) > _filling(named, source, target):
            return ordered
    return named


def _filling(pairs: Sequence[Pair], source: Mapping[str, Shape], target: Mapping[str, Shape]) -> int:
    return sum(way_to_fit(source[pair.source], target[pair.target], Allowed()) is not None for pair in pairs)


def _by_name(source: Mapping[str, Shape], target: Mapping[str, Shape], *, exact: bool) -> list[Pair]:
    ours, theirs = canonical_names(target), canonical_names(source)
    wanted = {name: own for own, name in ours.items()}
    given = {name: own for own, name in theirs.items()}
    strip, add = "", ""
    if not exact:
        given_shapes = {name: source[own] for name, own in given.items()}
        strip, add = _prefixes(given_shapes, {name: target[own] for name, own in wanted.items()})
    partner = {f"{add}{name.removeprefix(strip)}": own for name, own in given.items() if name.startswith(strip)}
    found: dict[str, str] = {wanted[name]: own for name, own in partner.items() if name in wanted}
    used = set(found.values())
    for name, own in given.items():  # what carries no prefix on either side
        if own not in used and name in wanted and wanted[name] not in found:
            found[wanted[name]] = own
    pairs = []
    for own in target:
        if own in found:
            raw = found[own].removeprefix(strip) == own.removeprefix(add)
            pairs.append(Pair(found[own], own, "name" if raw or found[own] == own else "convention"))
    return pairs


def _prefixes(source: Mapping[str, Shape], target: Mapping[str, Shape]) -> tuple[str, str]:
    """The prefix to cut off the source's names and the one to put before them, so that most tensors find a place."""
    places: dict[str, list[tuple[str, Shape]]] = {}
    for name, shape in target.items():
        for prefix, rest in _cuts(name):
            places.setdefault(rest, []).append((prefix, shape))
    votes: Counter[tuple[str, str]] = Counter()
    for name, shape in source.items():
        for strip, rest in _cuts(name):
            for add, wanted in places.get(rest, ()):
                votes[strip, add] += way_to_fit(shape, wanted, Allowed()) is not None
    most = max(votes.values(), default=0)
    if votes["", ""] == most or 2 * most < min(len(source), len(target)):
        return "", ""
    best = {_without_common_end(strip, add) for (strip, add), count in votes.items() if count == most}
    if len(best) > 1:
        raise _ambiguous(sorted(best))
    return best.pop()


def _without_common_end(strip: str, add: str) -> tuple[str, str]:
    """Cutting off `a.x.` and putting `b.x.` before is the same as cutting off `a.` and putting `b.` before."""
    theirs, ours = strip.split("."), add.split(".")
    while theirs[:-1] and ours[:-1] and theirs[-2] == ours[-2]:
        theirs, ours = [*theirs[:-2], ""], [*ours[:-2], ""]
    return ".".join(theirs), ".".join(ours)


def _ambiguous(best: Sequence[tuple[str, str]]) -> NetworkError:
    (strip, add), (other_strip, other_add) = best[:2]
    if add != other_add:
        return NetworkError(
            f"the weights fit equally well under {add.rstrip('.')!r} and {other_add.rstrip('.')!r} of the target",
            remedy=f'say which, as in rename={{"{strip.rstrip(".")}": "{add.rstrip(".")}"}}',
        )
    return NetworkError(
        f"{strip.rstrip('.')!r} and {other_strip.rstrip('.')!r} of the source fit equally well",
        remedy=f'say which to leave out, as in rename={{"{other_strip.rstrip(".")}": None}}',
    )


def _cuts(name: str) -> list[tuple[str, str]]:
    """A name cut behind its first modules: (prefix, rest)."""
    parts = name.split(".")
    depths = range(min(_DEEPEST_PREFIX, len(parts) - 1) + 1)
    return [("".join(f"{part}." for part in parts[:depth]), ".".join(parts[depth:])) for depth in depths]


def by_order(source: Mapping[str, Shape], target: Mapping[str, Shape]) -> list[Pair]:
    """Pairs of two nets that define the same shapes in the same order, whatever their names; empty if they do not.

    The whole target must be covered, or the whole source but for its last layer. The first convolution may read
    another number of bands and the last layer may have more classes. Where the order given does not lead anywhere,
    the order that the names tell is tried.

    >>> by_order({"a.weight": (8, 3, 3, 3), "a.bias": (8,)}, {"stem.weight": (8, 3, 3, 3), "stem.bias": (8,)})
    [Pair(source='a.weight', target='stem.weight', by='order'), Pair(source='a.bias', target='stem.bias', by='order')]
    """
    for ours, theirs in product(_orders(target), _orders(source)):
        if run := _run(source, theirs, target, ours):
            pairs = [Pair(given, wanted, "order") for given, wanted in run]
            counters = [
                Pair(_sibling(given), _sibling(wanted), "order")
                for given, wanted in run
                if wanted.endswith("running_var") and _sibling(given) in source and _sibling(wanted) in target
            ]
            return pairs + counters
    return []


def _orders(shapes: Mapping[str, Shape]) -> list[list[str]]:
    names = [name for name in shapes if not name.endswith(_COUNTER)]
    told = definition_order(names)
    return [names] if told == names else [names, told]


def _run(
    source: Mapping[str, Shape], theirs: Sequence[str], target: Mapping[str, Shape], ours: Sequence[str]
) -> list[tuple[str, str]]:
    last = _layer(theirs[-1]) if theirs else ""
    run: list[tuple[str, str]] = []
    for given, wanted in zip(theirs, ours, strict=False):
        allowed = Allowed(bands=not run, classes=_layer(given) == last)
        if _leaf(given) != _leaf(wanted) or way_to_fit(source[given], target[wanted], allowed) is None:
            break
        run.append((given, wanted))
    whole = len(run) == len(ours) or all(_layer(name) == last for name in theirs[len(run) :])
    return run if whole else []


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _leaf(name: str) -> str:
    leaf = name.rpartition(".")[2]
    return leaf if leaf in _LEAVES else "other"


def _sibling(name: str) -> str:
    layer = _layer(name)
    return f"{layer}.{_COUNTER}" if layer else _COUNTER
