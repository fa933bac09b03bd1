"""Images and label files → pairs, by equal names or a constant prefix or suffix; what stays alone is listed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fullconv.data.layouts import FoundFile

Affix = tuple[str, str]
Scope = Callable[[FoundFile], Hashable]

_SCOPES: tuple[Scope, ...] = (
    lambda place: (place.split, place.folder),
    lambda place: place.split,
    lambda place: None,
)
"""Where names are compared: in the same folder of the same split, else in the same split, else anywhere."""


@dataclass
class Pairing:
    """Which labels belong to which image.

    Args:
        labels: image → its label files, in order.
        unmatched_images, unmatched_labels: files that stayed alone.
        doubles: images that were left out because another has the same name.
        masks_by: what tells the class where images have several label files.
        mask_names: the folder names, prefixes or suffixes that do.
        rule: how names were matched, for people.
    """

    labels: dict[FoundFile, tuple[Path, ...]]
    unmatched_images: list[FoundFile]
    unmatched_labels: list[FoundFile]
    doubles: list[FoundFile] = field(default_factory=list)
    masks_by: Literal["folder", "prefix", "suffix"] | None = None
    mask_names: tuple[str, ...] = ()
    rule: str = "equal names"


def pair(images: Sequence[FoundFile], labels: Sequence[FoundFile]) -> Pairing:
    """Match labels to images.

    >>> photos = [FoundFile(Path(f"{n}.jpg"), None, "", n) for n in ("1", "11")]
    >>> masks = [FoundFile(Path(f"{n}_mask.png"), None, "", f"{n}_mask") for n in ("11", "1", "3")]
    >>> found = pair(photos, masks)
    >>> [(place.stem, [path.name for path in paths]) for place, paths in found.labels.items()]
    [('1', ['1_mask.png']), ('11', ['11_mask.png'])]
    >>> [place.stem for place in found.unmatched_labels], found.rule
    (['3_mask'], "the suffix '_mask'")
    """
    places, doubles = _distinct(images)
    matched: dict[FoundFile, list[tuple[FoundFile, str]]] = defaultdict(list)
    left = list(labels)
    few = min(len(places), len(left))
    enough = max(min(2, few), few / 50)
    rules: list[str] = []
    for scope in _SCOPES:
        for find in (_equal, _affixed, _both_affixed):
            alone = [place for place in places if place not in matched]
            if not left or not alone:
                break
            found, rule = find(alone, left, scope, enough)
            for label, (image, part) in found.items():
                matched[image].append((label, part))
            left = [label for label in left if label not in found]
            if found and rule not in rules:
                rules.append(rule)
    pairing = Pairing(
        labels={place: tuple(label.path for label, _ in matched[place]) for place in places if place in matched},
        unmatched_images=[place for place in places if place not in matched],
        unmatched_labels=left,
        doubles=doubles,
        rule=" and ".join(rules) or "equal names",
    )
    if any(len(found) > 1 for found in matched.values()):
        _name_masks(pairing, matched)
    return pairing


def _distinct(images: Iterable[FoundFile]) -> tuple[list[FoundFile], list[FoundFile]]:
    first: dict[Hashable, FoundFile] = {}
    doubles = [
        place for place in images if first.setdefault((place.split, place.folder, place.stem), place) is not place
    ]
    return list(first.values()), doubles


Found = tuple[dict[FoundFile, tuple[FoundFile, str]], str]


def _unique(images: Iterable[FoundFile], scope: Scope) -> dict[Hashable, dict[str, FoundFile]]:
    """Images by scope and stem; stems that are there twice are left out, since nothing tells which is meant."""
    grouped: dict[Hashable, dict[str, list[FoundFile]]] = defaultdict(lambda: defaultdict(list))
    for place in images:
        grouped[scope(place)][place.stem].append(place)
    return {
        where: {stem: places[0] for stem, places in stems.items() if len(places) == 1}
        for where, stems in grouped.items()
    }


def _equal(images: Sequence[FoundFile], labels: Sequence[FoundFile], scope: Scope, _enough: float) -> Found:
    by_stem = _unique(images, scope)
    found = {}
    for label in labels:
        image = by_stem.get(scope(label), {}).get(label.stem)
        if image is not None:
            found[label] = (image, "")
    return found, "equal names"


def _affixed(images: Sequence[FoundFile], labels: Sequence[FoundFile], scope: Scope, enough: float) -> Found:
    """Label stem = prefix + image stem or image stem + suffix (or the other way round), constant over the set."""
    by_stem = _unique(images, scope)
    found = _vote(labels, by_stem, scope, enough)
    if found[0]:
        return found
    labels_by_stem = _unique(labels, scope)
    turned, rule = _vote(images, labels_by_stem, scope, enough)
    return {label: (image, "") for image, (label, _) in turned.items()}, rule.replace("suffix", "suffix of the images")


def _vote(
    longer: Sequence[FoundFile], shorter: dict[Hashable, dict[str, FoundFile]], scope: Scope, enough: float
) -> Found:
    """Pair longer with shorter stems by the affixes that at least `enough` of them show."""
    candidates: dict[FoundFile, dict[Affix, FoundFile]] = {}
    votes: Counter[Affix] = Counter()
    for place in longer:
        stems = shorter.get(scope(place), {})
        options = {affix: stems[stem] for affix, stem in _cuts(place.stem) if stem in stems}
        if options:
            candidates[place] = options
            votes.update(options.keys())
    accepted = {affix for affix, count in votes.items() if count >= enough}
    found: dict[FoundFile, tuple[FoundFile, str]] = {}
    used: Counter[Affix] = Counter()
    for place, options in candidates.items():
        affix = max((affix for affix in options if affix in accepted), key=lambda a: votes[a], default=None)
        if affix is not None:
            found[place] = (options[affix], affix[0] + "*" + affix[1])
            used[affix] += 1
    named = [
        f"the {'suffix' if suffix else 'prefix'} {prefix or suffix!r}" for (prefix, suffix), _ in used.most_common()
    ]
    return found, ", ".join(named)


def _cuts(stem: str) -> Iterable[tuple[Affix, str]]:
    """All ways to take a prefix or a suffix off, except between two digits or two letters."""
    for place in range(1, len(stem)):
        left, right = stem[place - 1], stem[place]
        if (left.isdigit() and right.isdigit()) or (left.isalpha() and right.isalpha()):
            continue
        yield (stem[:place], ""), stem[place:]
        yield ("", stem[place:]), stem[:place]


def _both_affixed(images: Sequence[FoundFile], labels: Sequence[FoundFile], scope: Scope, enough: float) -> Found:
    """Image stem = common + one suffix, label stem = common + another, both constant over the set."""
    bases: dict[Hashable, dict[str, list[FoundFile]]] = defaultdict(lambda: defaultdict(list))
    for label in labels:
        for base in _bases(label.stem):
            bases[scope(label)][base].append(label)
    image_bases: Counter[tuple[Hashable, str]] = Counter()
    for image in images:
        image_bases.update((scope(image), base) for base in _bases(image.stem))
    votes: Counter[tuple[str, str]] = Counter()
    options: dict[FoundFile, dict[tuple[str, str], FoundFile]] = defaultdict(dict)
    for image in images:
        for base in _bases(image.stem):
            fitting = bases[scope(image)].get(base, [])
            if len(fitting) == 1 and image_bases[scope(image), base] == 1:
                affixes = (image.stem[len(base) :], fitting[0].stem[len(base) :])
                options[image][affixes] = fitting[0]
                votes[affixes] += 1
    if not votes:
        return {}, ""
    best, count = votes.most_common(1)[0]
    if count < max(2, enough) or count * 2 < min(len(images), len(labels)):
        return {}, ""
    found = {choice[best]: (image, "") for image, choice in options.items() if best in choice}
    return found, f"the suffixes {best[0]!r} and {best[1]!r}"


def _bases(stem: str) -> list[str]:
    return [stem[: match.start()] for match in re.finditer(r"[_\-. ]", stem) if match.start() > 0]


def _name_masks(pairing: Pairing, matched: dict[FoundFile, list[tuple[FoundFile, str]]]) -> None:
    """Where images have several label files, find what tells the class: affix or folder."""
    parts = {part for found in matched.values() for _, part in found}
    if len(parts) > 1 and "" not in parts:
        prefixes = all(part.endswith("*") for part in parts)
        suffixes = all(part.startswith("*") for part in parts)
        if prefixes or suffixes:
            pairing.masks_by = "prefix" if prefixes else "suffix"
            pairing.mask_names = tuple(sorted(part.strip("*") for part in parts))
        return
    folders = {label.path.parent for found in matched.values() for label, _ in found}
    names = {folder.name for folder in folders}
    distinct = all(len({label.path.parent.name for label, _ in found}) == len(found) for found in matched.values())
    if distinct:
        pairing.masks_by = "folder"
        pairing.mask_names = tuple(sorted(names))
