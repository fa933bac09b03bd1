"""Names that a person gives: what a source's tensors are called in the target, and suffixes of the target's layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

from fullconv.errors import NetworkError

Rename = Mapping[str, str | None] | Callable[[str], str | None]


def renamed(names: Iterable[str], rename: Rename | None) -> dict[str, str | None]:
    """What every name becomes; None for what is left out.

    Args:
        names: of tensors, such as `features.0.weight`.
        rename: a function of such a name; or names of tensors, layers or whole parts → their new names, where the
            longest that fits counts, "" stands before every name, and None leaves out.

    Raises:
        NetworkError: a name to be replaced does not occur, or two tensors get the same name.

    >>> renamed(["body.0.weight", "body.10.weight", "fc.bias"], {"body": "features", "body.10": "last", "fc": None})
    {'body.0.weight': 'features.0.weight', 'body.10.weight': 'last.weight', 'fc.bias': None}
    """
    old = list(names)
    if rename is None:
        return {name: name for name in old}
    new = {name: rename(name) for name in old} if callable(rename) else _by_mapping(old, rename)
    taken: dict[str, str] = {}
    for name, wanted in new.items():
        if wanted is not None and wanted in taken:
            raise NetworkError(
                f"{taken[wanted]} and {name} are both renamed to {wanted}",
                where="rename",
                remedy="leave one out (None)",
            )
        if wanted is not None:
            taken[wanted] = name
    return new


def _by_mapping(names: list[str], mapping: Mapping[str, str | None]) -> dict[str, str | None]:
    parts = {old.rstrip("."): None if new is None else new.rstrip(".") for old, new in mapping.items()}
    for part in parts:
        if not any(_begins(name, part) for name in names):
            layers = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}
            close = get_close_matches(part, sorted(layers), n=1) or [names[0]]
            raise NetworkError(
                f"the source has nothing called {part!r}", where="rename", remedy=f"one name in it is {close[0]}"
            )
    longest = sorted(parts, key=len, reverse=True)
    result: dict[str, str | None] = {}
    for name in names:
        found = next((part for part in longest if _begins(name, part)), None)
        if found is None:
            result[name] = name
            continue
        new = parts[found]
        rest = name.removeprefix(found).lstrip(".")
        result[name] = None if new is None else ".".join(piece for piece in (new, rest) if piece)
    return result


def _begins(name: str, part: str) -> bool:
    return not part or name == part or name.startswith(f"{part}.")


def without_suffix(names: Iterable[str], suffix: str) -> dict[str, str]:
    """Of the tensors in layers that carry a suffix: name without it → name.

    Raises:
        NetworkError: no layer carries it.

    >>> without_suffix(["conv1_1.weight", "conv1_1_d.weight", "tower_d.fc6.bias"], "_d")
    {'conv1_1.weight': 'conv1_1_d.weight', 'tower.fc6.bias': 'tower_d.fc6.bias'}
    """
    found: dict[str, str] = {}
    for name in names:
        *path, leaf = name.split(".")
        if any(part.endswith(suffix) for part in path):
            bare = ".".join([*(part.removesuffix(suffix) for part in path), leaf])
            if bare in found:
                raise NetworkError(f"{found[bare]} and {name} are the same without {suffix!r}", where="suffix")
            found[bare] = name
    if not found:
        raise NetworkError(
            f"no layer of the target has a name that ends in {suffix!r}", where="suffix", remedy="check its spelling"
        )
    return found
