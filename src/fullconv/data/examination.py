"""A folder examined: scanned, every file checked and counted, split; nothing written and nothing refused yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fullconv.data.channels import joint_channels
from fullconv.data.checks import Judge
from fullconv.data.class_edits import ClassEdits
from fullconv.data.classes import ClassTable
from fullconv.data.inspection import Inspection, SampleDecoder, Unlabelled, inspect_samples
from fullconv.data.labels import LabelFormat
from fullconv.data.problems import Problem, worst_first
from fullconv.data.scan import Sample, Scan, scan
from fullconv.data.splits import assign_splits, few_sequences, groups_by_name, groups_by_pattern, parse_split
from fullconv.data.statistics import Statistics, summarize

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
    """

    shares: str = "70/15/15"
    group_by: str | None = None
    seed: int = 0
    forced: bool = False


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

    Raises:
        DataError: there is nothing to work with (no images, no labels, an unreadable class file …).
    """
    plan = plan or SplitPlan()
    parse_split(plan.shares)
    found = scan(
        images.expanduser().absolute(),
        None if labels is None else labels.expanduser().absolute(),
        classes=classes,
        format=format,
        ignore=ignore,
        unlabelled=unlabelled,
        lists=dict(lists) if lists else None,
    )
    edits = edits or ClassEdits()
    table = edits.apply(found.classes)
    judge = judge_of(found.root, table, found.format, allow)
    decoder = SampleDecoder.of(found.format, table, unlabelled=unlabelled, unknown="ignore")
    inspections = inspect_samples(decoder, found.samples)
    judged = _judge(judge, inspections, table, found.format, plan)
    remarks = [judge.remark(found.root, note) for note in found.notes]
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


def examine_again(
    root: Path,
    samples: Sequence[Sample],
    format: LabelFormat,
    table: ClassTable,
    *,
    unlabelled: Unlabelled,
    allow: Sequence[str],
) -> Judged:
    """Check and count samples whose splits are known, after files or classes changed."""
    judge = judge_of(root, table, format, allow)
    inspections = inspect_samples(SampleDecoder.of(format, table, unlabelled=unlabelled, unknown="ignore"), samples)
    return _judge(judge, inspections, table, format, SplitPlan())


def judge_of(root: Path, table: ClassTable, format: LabelFormat, allow: Sequence[str]) -> Judge:
    """The judge of a dataset; colours are shown as `#rrggbb`."""
    code_text = (lambda code: f"#{code:06x}") if format.kind in COLOR_FORMATS else str
    return Judge(root, table, allow=allow, code_text=code_text)


def _judge(
    judge: Judge, inspections: Sequence[Inspection], table: ClassTable, format: LabelFormat, plan: SplitPlan
) -> Judged:
    problems = judge.samples(inspections)
    problems += judge.codes(inspections, colors=format.kind in COLOR_FORMATS)
    usable = [found for found in inspections if not found.faults]
    if not usable:
        return Judged([], worst_first([*problems, judge.nothing_usable(len(inspections))]))
    problems += judge.labels(usable) + judge.images(usable)
    splits, notes = _splits(usable, table, plan)
    problems += [judge.remark("splits", note) for note in notes]
    problems += judge.splits(usable, splits)
    channels = joint_channels([found.channels for found in usable])
    if channels == 4 and _constant_alpha(usable):
        channels = 3
        problems.append(judge.remark("images", "alpha is the same in every pixel of every image and is left out"))
    return Judged(
        inspections=usable,
        problems=worst_first(problems),
        splits=splits,
        statistics=None if channels is None else summarize(usable, splits, table.names, channels=channels),
        channels=channels or 0,
        dtype=max((found.dtype for found in usable), key=["uint8", "uint16", "float32"].index),
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
    return splits, notes


def _share_out(
    inspections: Sequence[Inspection], table: ClassTable, shares: Mapping[str, float], plan: SplitPlan
) -> tuple[list[str], list[str]]:
    keys = [found.sample.key for found in inspections]
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
    joined = _join_copies(groups or keys, [found.picture for found in inspections])
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
