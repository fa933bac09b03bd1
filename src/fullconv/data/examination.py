"""A folder examined: scanned, every file checked and counted, split; nothing written and nothing refused yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fullconv.data.channels import joint_channels, joint_dtype
from fullconv.data.checks import Judge
from fullconv.data.class_edits import ClassEdits
from fullconv.data.classes import ClassTable
from fullconv.data.dataset_paths import expanded
from fullconv.data.image_checks import image_problems
from fullconv.data.inspection import Inspection, SampleDecoder, Unlabelled, inspect_samples
from fullconv.data.labels import LabelFormat
from fullconv.data.layouts import SPLIT_WORDS
from fullconv.data.problems import Problem, worst_first
from fullconv.data.scan import Scan, scan
from fullconv.data.splits import (
    SPLITS,
    assign_splits,
    few_sequences,
    groups_by_name,
    groups_by_pattern,
    parse_split,
)
from fullconv.data.statistics import Statistics, summarize
from fullconv.errors import DataError

COLOR_FORMATS = frozenset({"colors"})
_CARVED_VALIDATION = 0.15


@dataclass(frozen=True)
class SplitPlan:
    """How images are shared out where no folders or lists say it.

    Args:
        shares: percentages, training/validation/test.
        group_by: regular expression that finds the group in an image's key; "none" keeps nothing together; None looks
            for groups that the names show.
        seed: of the chance in it.
        forced: shares even where folders say otherwise.

    Raises:
        DataError: the shares do not add up, or the seed is negative.
    """

    shares: str = "70/15/15"
    group_by: str | None = None
    seed: int = 0
    forced: bool = False

    def __post_init__(self) -> None:
        parse_split(self.shares)
        if self.seed < 0:
            raise DataError(f"{self.seed} is no seed", where="--seed", remedy="give a whole number from 0 up")


@dataclass(frozen=True)
class Examination:
    """What was found.

    Args:
        found: what the scan said.
        classes: after edits.
        inspections: of the usable samples, with the split of each in `splits`.
        problems: all of them, worst first.
        statistics: None where no sample is usable.
    """

    found: Scan
    classes: ClassTable
    edits: ClassEdits
    unlabelled: Unlabelled
    allow: tuple[str, ...]
    inspections: tuple[Inspection, ...]
    splits: tuple[str, ...]
    problems: tuple[Problem, ...]
    statistics: Statistics | None
    channels: int
    dtype: str

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that keep the set from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


@dataclass
class Judged:
    """What judging the inspected samples yields: the usable ones, their splits and numbers, and all problems."""

    inspections: list[Inspection]
    problems: tuple[Problem, ...] = ()
    splits: list[str] = field(default_factory=list)
    statistics: Statistics | None = None
    channels: int = 0
    dtype: str = ""


def examine(
    images: Path,
    labels: Path | None = None,
    *,
    classes: Path | None = None,
    format: str | None = None,
    ignore: Sequence[str] = (),
    edits: ClassEdits | None = None,
    unlabelled: Unlabelled = "skip",
    lists: Mapping[str, Path] | None = None,
    plan: SplitPlan | None = None,
    allow: Sequence[str] = (),
    scanned: Callable[[Scan], None] | None = None,
) -> Examination:
    """Look at everything below a folder once.

    Args:
        images: one root, or the folder of images.
        labels: the folder (or JSON file) of labels; None where `images` is a root that holds both.
        classes: class file; None looks for one.
        format: label format; None detects it.
        ignore: names of classes to ignore.
        edits: changes to the classes.
        unlabelled: what images without label mean.
        lists: split name → text file of image names.
        plan: how to split where neither folders nor lists say it.
        allow: kinds of errors that are lowered to warnings; what they concern is left out.
        scanned: told what lies on disk before every file is checked.

    Raises:
        DataError: there is nothing to work with (no images, no labels, an unreadable class file …).
    """
    plan = plan or SplitPlan()
    if plan.forced and lists:
        raise DataError("lists and shares both say how to split", where="--list and --split", remedy="give one of them")
    found = scan(
        expanded(images).absolute(),
        None if labels is None else expanded(labels).absolute(),
        classes=None if classes is None else expanded(classes),
        format=format,
        ignore=ignore,
        unlabelled=unlabelled,
        lists=_split_lists(lists) if lists else None,
    )
    if scanned is not None:
        scanned(found)
    if found.samples:  # before every file is opened, which may take hours
        _groups_asked_for([sample.key for sample in found.samples], plan)
    edits = edits or ClassEdits()
    remapped = edits.remapped_codes(colors=found.format.kind in COLOR_FORMATS)
    table = edits.apply(found.classes)
    judge = judge_of(found.root, table, found.format, allow)
    decoder = SampleDecoder.of(
        found.format,
        table,
        unedited=found.classes,
        unlabelled=unlabelled,
        unknown="ignore",
        watched=list(remapped.values()),
    )
    inspections = inspect_samples(decoder, found.samples)
    judged = judge_inspections(judge, inspections, table, found.format, plan, smoothed=found.smoothed)
    remarks = [judge.remark(found.root, note) for note in found.notes]
    seen = frozenset[int]().union(*(inspection.seen for inspection in inspections))
    remarks += [
        judge.remark("--remap", f"{text} occurs in no label, so remapping it changes nothing")
        for text, code in remapped.items()
        if code not in seen
    ]
    unmatched = judge.unmatched(found.unmatched_images, found.unmatched_labels)
    broken = judge.scan_problems(found.problems, inspections)
    return Examination(
        found=found,
        classes=table,
        edits=edits,
        unlabelled=unlabelled,
        allow=tuple(allow),
        inspections=tuple(judged.inspections),
        splits=tuple(judged.splits),
        problems=worst_first([*judged.problems, *broken, *unmatched, *remarks]),
        statistics=judged.statistics,
        channels=judged.channels,
        dtype=judged.dtype,
    )


def _split_lists(lists: Mapping[str, Path]) -> dict[str, Path]:
    """List files by the split that their names mean."""
    chosen: dict[str, Path] = {}
    for name, path in lists.items():
        split = SPLIT_WORDS.get(name.strip().lower())
        if split is None:
            raise DataError(f"{name!r} is no split", where="--list", remedy=f"choose from {', '.join(SPLITS)}")
        if split in chosen:
            raise DataError(f"{split} has two lists", where="--list", remedy="join them in one file")
        chosen[split] = expanded(path)
    return chosen


def judge_of(root: Path, table: ClassTable, format: LabelFormat, allow: Sequence[str]) -> Judge:
    """The judge of a dataset; colours are shown as `#rrggbb`."""
    code_text = (lambda code: f"#{code:06x}") if format.kind in COLOR_FORMATS else str
    return Judge(root, table, allow=allow, code_text=code_text)


def judge_inspections(
    judge: Judge,
    inspections: Sequence[Inspection],
    table: ClassTable,
    format: LabelFormat,
    plan: SplitPlan | None,
    *,
    smoothed: bool,
) -> Judged:
    """Problems, splits and numbers of inspected samples; without a plan the splits that samples have are kept."""
    problems = judge.samples(inspections)
    problems += judge.codes(inspections, colors=format.kind in COLOR_FORMATS, smoothed=smoothed)
    usable = [found for found in inspections if not found.faults]
    if not usable:
        return Judged([], worst_first([*problems, judge.nothing_usable(len(inspections))]))
    problems += judge.labels(usable) + image_problems(judge, usable)
    if plan is None:
        splits = [found.sample.split or "train" for found in usable]
    else:
        groups = _groups_asked_for([found.sample.key for found in usable], plan)
        splits, notes = _splits(usable, table, plan)
        problems += [judge.remark("splits", note) for note in notes]
        if groups:
            problems += judge.divided_groups(groups, usable, splits)
    problems += judge.splits(usable, splits)
    channels = joint_channels([found.channels for found in usable])
    dtype = joint_dtype([found.dtype for found in usable])
    if channels == 4 and _constant_alpha(usable):
        channels = 3
        problems.append(judge.remark("images", "alpha is the same in every pixel of every image and is left out"))
    fitting = channels is not None and dtype is not None
    return Judged(
        inspections=usable,
        problems=worst_first(problems),
        splits=splits,
        statistics=summarize(usable, splits, table.names, channels=channels or 0) if fitting else None,
        channels=channels or 0,
        dtype=dtype or "mixed",
    )


def _constant_alpha(inspections: Sequence[Inspection]) -> bool:
    count, total, squares = np.sum([found.channel_sums[:, 3] for found in inspections], axis=0)
    return bool(squares / count - (total / count) ** 2 < 1e-9)


def _splits(inspections: Sequence[Inspection], table: ClassTable, plan: SplitPlan) -> tuple[list[str], list[str]]:
    """The split of each sample and what to say about it."""
    given = [found.sample.split for found in inspections]
    if plan.forced or not any(given) or set(given) == {"train"}:
        return _share_out(inspections, table, parse_split(plan.shares), plan)
    notes = []
    if missing := [found.sample.key for found, split in zip(inspections, given, strict=True) if split is None]:
        notes.append(f"{len(missing)} images belong to no split, such as {missing[0]}; they are for training")
    splits = [split or "train" for split in given]
    if "val" not in splits and splits.count("train") > 1:
        training = [index for index, split in enumerate(splits) if split == "train"]
        shares = {"train": 1 - _CARVED_VALIDATION, "val": _CARVED_VALIDATION}
        carved, carving = _share_out([inspections[index] for index in training], table, shares, plan)
        for index, split in zip(training, carved, strict=True):
            splits[index] = split
        notes += [f"there is no validation split: {carved.count('val')} training images were taken for it", *carving]
    elif plan.seed:
        notes.append("folders or lists say which image is in which split, so the seed changes nothing")
    return splits, notes


def _groups_asked_for(keys: Sequence[str], plan: SplitPlan) -> list[str] | None:
    """The group of each image by the pattern given, None where none is given."""
    if plan.group_by is None or plan.group_by == "none":
        return None
    return groups_by_pattern(_keys_without_split(keys), plan.group_by)


def _keys_without_split(keys: Sequence[str]) -> list[str]:
    """Keys without the folder of the split, so that train/seq0 and val/seq0 are one sequence."""
    return [rest if first in SPLITS and rest else key for key in keys for first, _, rest in [key.partition("/")]]


def _share_out(
    inspections: Sequence[Inspection], table: ClassTable, shares: Mapping[str, float], plan: SplitPlan
) -> tuple[list[str], list[str]]:
    keys = _keys_without_split([found.sample.key for found in inspections])
    notes = []
    groups: list[str] | None = None
    if plan.group_by is None:
        groups = groups_by_name(keys)
        if groups is not None:
            notes.append(
                f"names show {len(set(groups))} groups such as {groups[0]!r}, which are kept together "
                "(--group-by none splits image by image)"
            )
        elif sequences := few_sequences(keys):
            notes.append(
                f"names show {len(sequences)} groups such as {sequences[0]!r}; if these are sequences of frames, "
                "neighbours that look alike are now in different splits (--group-by keeps them together)"
            )
    elif plan.group_by != "none":
        groups = groups_by_pattern(keys, plan.group_by)
        notes.append(f"{len(set(groups))} groups are kept together")
    joined = _join_copies(
        groups or [found.sample.key for found in inspections], [found.picture for found in inspections]
    )
    pixels = np.array([found.class_pixels for found in inspections]).reshape(len(keys), len(table))
    splits = assign_splits(pixels, shares=shares, groups=joined, seed=plan.seed)
    kind = "stratified by class" if groups is None else "stratified by class, groups kept together"
    counts = ", ".join(f"{splits.count(name)} {name}" for name in shares)
    return splits, [f"split at random with seed {plan.seed}, {kind}: {counts}", *notes]


def _join_copies(groups: Sequence[str], pictures: Sequence[str]) -> list[str]:
    """Groups that share a picture become one, so that no split holds a copy of another's picture."""
    parent: dict[str, str] = {}

    def top(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for group, picture in zip(groups, pictures, strict=True):
        parent[top(f"group {group}")] = top(f"picture {picture}")
    return [top(f"group {group}") for group in groups]
