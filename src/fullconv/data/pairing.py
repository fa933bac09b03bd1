"""Images and label files → pairs, by equal names or a constant prefix or suffix; what stays alone is listed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from fullconv.data.layouts import FoundFile, says_role_or_split

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
        doubtful: images and labels that were left out because a label fits several images → the sentence on it.
        masks_by: what tells the class of a label file, where several affixes or folders were met.
        mask_names: the folder names, prefixes or suffixes that do.
        rule: how names were matched, for people.
    """

    labels: dict[FoundFile, tuple[Path, ...]]
    unmatched_images: list[FoundFile]
    unmatched_labels: list[FoundFile]
    doubles: list[FoundFile] = field(default_factory=list)
    doubtful: dict[FoundFile, str] = field(default_factory=dict)
    masks_by: Literal["folder", "prefix", "suffix"] | None = None
    mask_names: tuple[str, ...] = ()
    rule: str = "equal names"

    @property
    def several(self) -> bool:
        """Whether an image has more than one label file."""
        return any(len(paths) > 1 for paths in self.labels.values())


@dataclass(frozen=True)
class _Round:
    """The files that one scope compares: those still alone, and of them only those whose name means one file.

    Args:
        images, labels: files still to be paired.
        every_image, every_label: all files, since a name is unique only if no paired file has it either.
        scope: where names are compared.
        enough: how many files must show an affix before it is trusted.
    """

    images: Sequence[FoundFile]
    labels: Sequence[FoundFile]
    every_image: Sequence[FoundFile]
    every_label: Sequence[FoundFile]
    scope: Scope
    enough: float


Found = tuple[list[tuple[FoundFile, FoundFile, str]], str]
"""(label, image, prefix*suffix), and the rule in words."""


def pair(images: Sequence[FoundFile], labels: Sequence[FoundFile], *, masks: bool = False) -> Pairing:
    """Match labels to images.

    Args:
        images, labels: files found.
        masks: the labels are known to be binary, so a rare affix may be that of a rare class even where no image has
            several labels with common ones.

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
    doubtful: dict[FoundFile, str] = {}
    left = list(labels)
    few = min(len(places), len(left))
    enough = max(min(2, few), few / 50)
    rules: list[str] = []
    for scope in _SCOPES:
        for find in (_equal, _affixed, _both_affixed):
            alone = [place for place in places if place not in matched and place not in doubtful]
            if not left or not alone:
                break
            found, rule = find(_round(alone, left, places, labels, scope, enough))
            sure, claimed = _told_apart(found)
            doubtful.update(claimed)
            for label, image, part in sure:
                matched[image].append((label, part))
            taken = {label for label, _, _ in found}
            left = [label for label in left if label not in taken]
            if sure and rule not in rules:
                rules.append(rule)
    left = _further_masks(matched, left, places, doubtful, masks)
    pairing = Pairing(
        labels={place: tuple(label.path for label, _ in matched[place]) for place in places if place in matched},
        unmatched_images=[place for place in places if place not in matched and place not in doubtful],
        unmatched_labels=left,
        doubles=doubles,
        doubtful=doubtful,
        rule=" and ".join(rules) or "equal names",
    )
    _name_masks(pairing, matched)
    return pairing


def _distinct(images: Iterable[FoundFile]) -> tuple[list[FoundFile], list[FoundFile]]:
    first: dict[Hashable, FoundFile] = {}
    doubles = [
        place for place in images if first.setdefault((place.split, place.folder, place.stem), place) is not place
    ]
    return list(first.values()), doubles


def _round(
    alone: Sequence[FoundFile],
    left: Sequence[FoundFile],
    images: Sequence[FoundFile],
    labels: Sequence[FoundFile],
    scope: Scope,
    enough: float,
) -> _Round:
    """Leave out what a wider scope would have to guess: names that several images have, or labels of several splits
    or of folders that images have too. Sibling folders of masks may share their names: they are one image's."""
    if scope is _SCOPES[0]:
        return _Round(alone, left, images, labels, scope, enough)
    single = {place for stems in _unique(images, scope).values() for place in stems.values()}
    homes = {(place.split, place.folder) for place in images}
    namesakes: dict[Hashable, list[FoundFile]] = defaultdict(list)
    for label in labels:
        namesakes[scope(label), label.stem].append(label)
    usable = []
    for label in left:
        group = namesakes[scope(label), label.stem]
        if len(group) == 1 or (
            len({other.split for other in group}) == 1
            and not any((other.split, other.folder) in homes for other in group)
        ):
            usable.append(label)
    return _Round([place for place in alone if place in single], usable, images, labels, scope, enough)


def _fit(label: FoundFile, image: FoundFile) -> bool:
    """Whether both may belong together: never across two splits."""
    return label.split is None or image.split is None or label.split == image.split


def _told_apart(
    found: Sequence[tuple[FoundFile, FoundFile, str]],
) -> tuple[list[tuple[FoundFile, FoundFile, str]], dict[FoundFile, str]]:
    """The pairs whose label fits one image alone, and those left out, with the reason."""
    claims: dict[FoundFile, list[FoundFile]] = defaultdict(list)
    for label, image, _ in found:
        claims[label].append(image)
    doubtful: dict[FoundFile, str] = {}
    for label, images in claims.items():
        if len(images) > 1:
            names = ", ".join(image.path.name for image in images[:4])
            sentence = (
                f"the label {label.path.name} fits {len(images)} images ({names}), so they were left out: "
                "name each label like its one image, or take the other images away"
            )
            doubtful.update(dict.fromkeys((label, *images), sentence))
    return [pair for pair in found if pair[0] not in doubtful and pair[1] not in doubtful], doubtful


def _unique(images: Iterable[FoundFile], scope: Scope) -> dict[Hashable, dict[str, FoundFile]]:
    """Images by scope and stem; stems that are there twice are left out, since nothing tells which is meant."""
    grouped: dict[Hashable, dict[str, list[FoundFile]]] = defaultdict(lambda: defaultdict(list))
    for place in images:
        grouped[scope(place)][place.stem].append(place)
    return {
        where: {stem: places[0] for stem, places in stems.items() if len(places) == 1}
        for where, stems in grouped.items()
    }


def _equal(files: _Round) -> Found:
    by_stem = _unique(files.images, files.scope)
    found = []
    for label in files.labels:
        image = by_stem.get(files.scope(label), {}).get(label.stem)
        if image is not None and _fit(label, image):
            found.append((label, image, ""))
    return found, "equal names"


def _affixed(files: _Round) -> Found:
    """Label stem = prefix + image stem or image stem + suffix (or the other way round), constant over the set."""
    found, rule = _vote(files.labels, _unique(files.images, files.scope), files.scope, files.enough)
    if found:
        return found, rule
    turned, rule = _vote(files.images, _unique(files.labels, files.scope), files.scope, files.enough)
    return [(label, image, "") for image, label, _ in turned], rule.replace("suffix", "suffix of the images")


def _vote(
    longer: Sequence[FoundFile], shorter: dict[Hashable, dict[str, FoundFile]], scope: Scope, enough: float
) -> Found:
    """Pair longer with shorter stems by the affixes that at least `enough` of them show."""
    candidates: dict[FoundFile, dict[Affix, FoundFile]] = {}
    votes: Counter[Affix] = Counter()
    for place in longer:
        stems = shorter.get(scope(place), {})
        options = {
            affix: stems[stem] for affix, stem in _cuts(place.stem) if stem in stems and _fit(place, stems[stem])
        }
        if options:
            candidates[place] = options
            votes.update(options.keys())
    accepted = {affix for affix, count in votes.items() if count >= enough}
    found: list[tuple[FoundFile, FoundFile, str]] = []
    used: Counter[Affix] = Counter()
    for place, options in candidates.items():
        affix = max((affix for affix in options if affix in accepted), key=lambda a: votes[a], default=None)
        if affix is not None:
            found.append((place, options[affix], affix[0] + "*" + affix[1]))
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


def _both_affixed(files: _Round) -> Found:
    """Image stem = common + one suffix, label stem = common + another, both constant over the set."""
    images, labels, scope = files.images, set(files.labels), files.scope
    bases: dict[Hashable, dict[str, list[FoundFile]]] = defaultdict(lambda: defaultdict(list))
    for label in files.every_label:
        for base in _bases(label.stem):
            bases[scope(label)][base].append(label)
    image_bases: Counter[tuple[Hashable, str]] = Counter()
    for image in files.every_image:
        image_bases.update((scope(image), base) for base in _bases(image.stem))
    votes: Counter[tuple[str, str]] = Counter()
    options: dict[FoundFile, dict[tuple[str, str], FoundFile]] = defaultdict(dict)
    for image in images:
        for base in _bases(image.stem):
            fitting = bases[scope(image)].get(base, [])
            if len(fitting) == 1 and image_bases[scope(image), base] == 1 and fitting[0] in labels:
                if not _fit(fitting[0], image):
                    continue
                affixes = (image.stem[len(base) :], fitting[0].stem[len(base) :])
                options[image][affixes] = fitting[0]
                votes[affixes] += 1
    if not votes:
        return [], ""
    best, count = votes.most_common(1)[0]
    if count < max(2, files.enough) or count * 2 < min(len(images), len(labels)):
        return [], ""
    found = [(choice[best], image, "") for image, choice in options.items() if best in choice]
    return found, f"the suffixes {best[0]!r} and {best[1]!r}"


def _bases(stem: str) -> list[str]:
    return [stem[: match.start()] for match in re.finditer(r"[_\-. ]", stem) if match.start() > 0]


def _further_masks(
    matched: dict[FoundFile, list[tuple[FoundFile, str]]],
    left: Sequence[FoundFile],
    images: Sequence[FoundFile],
    doubtful: dict[FoundFile, str],
    masks: bool,
) -> list[FoundFile]:
    """Where images have several masks told apart by affixes, or `masks` says that labels are such, take the rare
    classes too: a mask that stays alone would teach its pixels as background.

    Returns:
        The labels that still have no image.
    """
    several = any(len(found) > 1 for found in matched.values())
    parts = {part for found in matched.values() for _, part in found}
    if not several and (not masks or any(_tells_nothing(part.replace("*", "")) for part in parts)):
        return list(left)
    forms = {_form(part) for part in parts}
    if not forms or "" in forms:
        return list(left)
    still = list(left)
    for scope in _SCOPES:
        by_stem = _unique(images, scope)
        alone, still = still, []
        for label in alone:
            stems = by_stem.get(scope(label), {})
            options = [
                (len(stem), prefix + "*" + suffix, stems[stem])
                for (prefix, suffix), stem in _cuts(label.stem)
                if stem in stems and _form(prefix + "*" + suffix) in forms and _fit(label, stems[stem])
            ]
            _, part, image = max(options, key=lambda option: option[0], default=(0, "", None))
            if image is None or image in doubtful:
                still.append(label)
            else:
                matched[image].append((label, part))
    return still


def _form(part: str) -> str:
    """What affixes of one kind share: "*_" for "*_leaf", "_*" for "leaf_*", "*" and the side without a separator."""
    prefix, star, suffix = part.partition("*")
    if not star:
        return ""
    edge = suffix[:1] if suffix else prefix[-1:]
    edge = edge if edge in "_-. " else "?"
    return "*" + edge if suffix else edge + "*"


def _name_masks(pairing: Pairing, matched: dict[FoundFile, list[tuple[FoundFile, str]]]) -> None:
    """Find what may tell the class of a mask: affix or folder. Where each image has one label file, words that only
    say "label" or name a split, and numbers, tell nothing."""
    parts = {part for found in matched.values() for _, part in found}
    if parts and "" not in parts and (len(parts) > 1 or not pairing.several):
        prefixes = all(part.endswith("*") for part in parts)
        suffixes = all(part.startswith("*") for part in parts)
        names = sorted(part.strip("*") for part in parts)
        if (prefixes or suffixes) and (pairing.several or _tell_classes(names)):
            pairing.masks_by = "prefix" if prefixes else "suffix"
            pairing.mask_names = tuple(names)
        if pairing.several or pairing.masks_by:
            return
    folders = {label: _own_folder(label, image) for image, found in matched.items() for label, _ in found}
    distinct = all(len({folders[label] for label, _ in found}) == len(found) for found in matched.values())
    names = sorted(set(folders.values()))
    if names and distinct and "" not in names and (pairing.several or _tell_classes(names)):
        pairing.masks_by = "folder"
        pairing.mask_names = tuple(names)


def _own_folder(label: FoundFile, image: FoundFile) -> str:
    """The innermost folder of a label that its image does not lie in, or ""."""
    shared = PurePosixPath(image.folder).parts
    return next((part for part in reversed(PurePosixPath(label.folder).parts) if part not in shared), "")


def _tell_classes(names: Sequence[str]) -> bool:
    """Whether affixes or folders may be classes: none says "label" or a split, and not all differ by numbers alone."""
    bare = {re.sub(r"\d+", "", name) for name in names}
    return not any(map(_tells_nothing, names)) and (len(bare) > 1 or len(names) == 1)


def _tells_nothing(name: str) -> bool:
    return not re.search(r"[^\W\d_]", name) or says_role_or_split(name)
