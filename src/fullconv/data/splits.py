"""Training, validation and test: which image goes where."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from fullconv.data.patterns import found_by
from fullconv.errors import DataError

SPLITS = ("train", "val", "test")

_FRAME = re.compile(r"(.*[^\W_].*?)[-_. ][A-Za-z]{0,6}\d+")
_FEWEST_GROUPS = 6


def parse_split(text: str) -> dict[str, float]:
    """Percentages for training, validation and, where given, test.

    Returns:
        Split name → share; the shares add up to 1.

    Raises:
        DataError: it is not two or three numbers that add up to 100 (or 1).

    >>> parse_split("80/20")
    {'train': 0.8, 'val': 0.2}
    >>> parse_split("70/15/20")
    Traceback (most recent call last):
    fullconv.errors.DataError: --split: 70/15/20 adds up to 105, not to 100; give percentages such as 70/15/15 or 80/20.
    """
    remedy = "give percentages such as 70/15/15 or 80/20"
    try:
        shares = [float(part) for part in text.split("/")]
    except ValueError:
        shares = []
    if len(shares) not in (2, 3) or not all(0 <= share <= 100 for share in shares) or shares[0] <= 0:
        raise DataError(f"{text!r} is no split", where="--split", remedy=remedy)
    total = sum(shares)
    if not (abs(total - 100) < 0.01 or abs(total - 1) < 1e-4):
        raise DataError(f"{text} adds up to {total:g}, not to 100", where="--split", remedy=remedy)
    return {name: share / total for name, share in zip(SPLITS, shares, strict=False) if share > 0}


def groups_by_pattern(keys: Sequence[str], pattern: str) -> list[str]:
    """The group of each image: what the pattern finds in its key (the captured parts, where it captures any).

    An image in which the pattern is not found is a group of its own.

    Raises:
        DataError: the pattern is no regular expression, takes too long, is found nowhere, or makes one group of
            everything.

    >>> groups_by_pattern(["seq1/001", "seq1/002", "seq2/001"], r"seq(\\d)")
    ['1', '1', '2']
    """
    remedy = "give a regular expression that finds the sequence, patient or scene in a name such as " + repr(keys[0])
    found = found_by(pattern, keys)
    if all(part is None for part in found):
        raise DataError(f"{pattern!r} is found in no image name", where="--group-by", remedy=remedy)
    groups = [f"\0{index}" if part is None else part for index, part in enumerate(found)]
    if len(keys) > 1 and len(set(groups)) == 1:
        raise DataError(f"{pattern!r} puts all images into one group", where="--group-by", remedy=remedy)
    return groups


def groups_by_name(keys: Sequence[str]) -> list[str] | None:
    """Groups that the names show by themselves: a folder each, or a sequence name before a frame number.

    Returns:
        The group of each key, or None where the names show none: at least six groups, most of them with
        several images, none with more than two images in five.

    >>> frames = [f"drive{sequence}_{frame:04}" for sequence in range(8) for frame in range(10)]
    >>> sorted(set(groups_by_name(frames)))[:2]
    ['drive0', 'drive1']
    >>> groups_by_name([f"{number}" for number in range(80)]) is None
    True
    """
    for groups in (_by_folder(keys), _by_frame(keys)):
        sizes = Counter(groups)
        together = sum(size for size in sizes.values() if size > 1)
        if len(sizes) >= _FEWEST_GROUPS and together >= 0.8 * len(keys) and max(sizes.values()) <= 0.4 * len(keys):
            return groups
    return None


def few_sequences(keys: Sequence[str]) -> list[str]:
    """Names of sequences that image names show, where these are too few to be split by: two to five.

    >>> few_sequences([f"drive{sequence}_{frame:04}" for sequence in range(2) for frame in range(10)])
    ['drive0', 'drive1']
    """
    sizes = Counter(_by_frame(keys))
    long = [name for name, size in sizes.items() if size >= 5]
    return long if 2 <= len(long) == len(sizes) < _FEWEST_GROUPS else []


def _by_folder(keys: Sequence[str]) -> list[str]:
    return [str(PurePosixPath(key).parent) for key in keys]


def _by_frame(keys: Sequence[str]) -> list[str]:
    groups = []
    for index, key in enumerate(keys):
        path = PurePosixPath(key)
        match = _FRAME.fullmatch(path.name)
        groups.append(str(path.parent / match[1]) if match else f"\0{index}")
    return groups


def assign_splits(
    pixels: npt.NDArray[np.integer],
    *,
    shares: Mapping[str, float],
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> list[str]:
    """Share images out so that each split has its part of the images and of every class (iterative stratification).

    The rarest class is dealt out first, each group to the split that still lacks most of it. Sechidis, Tsoumakas and
    Vlahavas, "On the stratification of multi-label data" (2011), with groups kept whole.

    Args:
        pixels: (images, classes) pixel counts.
        shares: split name → share of the images, as from `parse_split`.
        groups: the group of each image; groups stay together.
        seed: ties are broken at random, the same way for the same seed.

    Returns:
        The split of each image. Every split gets something where there are enough groups.

    >>> counts = np.array([[10, 0], [10, 0], [10, 5], [10, 5]])
    >>> sorted(assign_splits(counts, shares={"train": 0.5, "val": 0.5})[2:])
    ['train', 'val']
    """
    names = list(shares)
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups if groups is not None else map(str, range(len(pixels)))):
        members.setdefault(group, []).append(index)
    units = list(members.values())
    random = np.random.default_rng(seed)
    random.shuffle(units)
    dealt = _deal(pixels, units, np.array([shares[name] for name in names]), random)
    _fill_empty(dealt, units, shares=np.array([shares[name] for name in names]))
    result = [""] * len(pixels)
    for unit, split in zip(units, dealt, strict=True):
        for index in unit:
            result[index] = names[split]
    return result


def _deal(
    pixels: npt.NDArray[np.integer],
    units: list[list[int]],
    shares: npt.NDArray[np.float64],
    random: np.random.Generator,
) -> list[int]:
    # The last column counts images: a class of its own that every image has once.
    has = np.column_stack([pixels > 0, np.ones(len(pixels), dtype=bool)])
    content = has / np.maximum(has.sum(axis=0), 1)
    amounts = np.array([content[unit].sum(axis=0) for unit in units])
    presence = np.array([(pixels[unit] > 0).any(axis=0) for unit in units])
    lacking = np.outer(shares, np.ones(content.shape[1]))
    dealt = np.full(len(units), -1)
    while (open_units := np.flatnonzero(dealt < 0)).size:
        holders = presence[open_units].sum(axis=0)
        rarest = int(np.argmin(np.where(holders > 0, holders, len(units) + 1))) if holders.any() else -1
        chosen = open_units[presence[open_units, rarest]] if rarest >= 0 else open_units
        for unit in chosen[np.argsort(-amounts[chosen, rarest], kind="stable")]:
            # A split that is full of images takes no more, however much it lacks of a class.
            full = lacking[:, -1] < 0.5 * amounts[unit, -1]
            wanted = np.where(full & ~full.all(), -np.inf, lacking[:, rarest] / shares)
            best = np.flatnonzero(wanted >= wanted.max() - 1e-12)
            if best.size > 1:
                most = lacking[best, -1]
                best = best[most >= most.max() - 1e-12]
            split = int(random.choice(best))
            dealt[unit] = split
            lacking[split] -= amounts[unit]
    return [int(split) for split in dealt]


def _fill_empty(dealt: list[int], units: list[list[int]], *, shares: npt.NDArray[np.float64]) -> None:
    """Give every split at least one group, taken from the split that has most of them."""
    for split in np.argsort(-shares):
        if split in dealt or len(units) < 2:
            continue
        counts = Counter(dealt)
        richest, most = counts.most_common(1)[0]
        if most < 2:
            continue
        smallest = min((len(units[i]), i) for i, owner in enumerate(dealt) if owner == richest)[1]
        dealt[smallest] = int(split)
