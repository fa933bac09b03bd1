"""What was examined, judged once more: after files changed, or after other classes or splits were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fullconv.data.class_edits import ClassEdits
from fullconv.data.class_mapping import class_mapping, mapped_counts
from fullconv.data.classes import ClassTable
from fullconv.data.examination import Examination, Judged, SplitPlan, judge_inspections, judge_of
from fullconv.data.inspection import SampleDecoder, Unlabelled, inspect_samples
from fullconv.data.labels import LabelFormat
from fullconv.data.problems import Problem, worst_first
from fullconv.data.scan import Sample

_OF_FILES_LEFT_OUT = frozenset(
    {
        *("unmatched-image", "unmatched-label", "doubtful-pair", "unreadable-image", "unreadable-label"),
        *("decompression-bomb", "size-mismatch", "orientation-mismatch"),
    }
)
_OF_CODES = frozenset({"unknown-class-code", "blurred-label"})


def examine_again(
    root: Path,
    samples: Sequence[Sample],
    format: LabelFormat,
    table: ClassTable,
    *,
    unedited: ClassTable,
    unlabelled: Unlabelled,
    allow: Sequence[str],
    before: Sequence[Problem],
) -> Judged:
    """Check and count samples whose splits are known, after files or classes changed.

    Splits stay as they are, and so do the `before` problems about files that are no samples and notes of the scan.
    """
    judge = judge_of(root, table, format, allow)
    decoder = SampleDecoder.of(format, table, unedited=unedited, unlabelled=unlabelled, unknown="ignore")
    smoothed = any(problem.kind == "blurred-label" for problem in before)
    judged = judge_inspections(judge, inspect_samples(decoder, samples), table, format, None, smoothed=smoothed)
    kept = [
        problem
        for problem in before
        if problem.kind in _OF_FILES_LEFT_OUT or _is_note_of_scan(problem, ("images", "--remap"))
    ]
    return replace(judged, problems=worst_first([*judged.problems, *kept]))


def reconsidered(examination: Examination, edits: ClassEdits, plan: SplitPlan) -> Examination | None:
    """The same files with other classes or splits, from what was counted: no file is opened.

    Args:
        examination: of the folders.
        edits: in place of those that were examined with.
        plan: of the splits.

    Returns:
        What `examine` would say, without the stride ceiling where the classes are others; None where only looking at
        the labels again can tell.

    Raises:
        DataError: a name that the classes do not have, or no class left.
    """
    found = examination.found
    table = edits.apply(found.classes)
    mapping = class_mapping(examination.classes, table)
    if mapping is None or edits.remap != examination.edits.remap:
        return None
    counts = np.array([one.class_pixels for one in examination.inspections], dtype=np.int64)
    pixels, ignored = mapped_counts(counts.reshape(-1, len(mapping)), mapping, len(table))
    same = len(table) == len(mapping) and bool((mapping == np.arange(len(table))).all())
    inspections = tuple(
        replace(
            one,
            class_pixels=own,
            ignored_pixels=one.ignored_pixels + int(more),
            ceiling=one.ceiling if same else np.zeros((*one.ceiling.shape[:2], len(table)), dtype=np.int64),
        )
        for one, own, more in zip(examination.inspections, pixels, ignored, strict=True)
    )
    if not inspections:
        return replace(examination, edits=edits, classes=table)
    judge = judge_of(found.root, table, found.format, examination.allow)
    judged = judge_inspections(judge, inspections, table, found.format, plan, smoothed=found.smoothed)
    fresh = [problem for problem in judged.problems if problem.kind not in _OF_CODES]
    kept = [
        problem
        for problem in examination.problems
        if problem.kind in _OF_FILES_LEFT_OUT | _OF_CODES or _is_note_of_scan(problem, ("images", "splits"))
    ]
    return replace(
        examination,
        classes=table,
        edits=edits,
        inspections=inspections,
        splits=tuple(judged.splits),
        problems=worst_first([*fresh, *kept]),
        statistics=judged.statistics,
    )


def _is_note_of_scan(problem: Problem, judged_anew: tuple[str, ...]) -> bool:
    """Whether a remark came from looking for files, and not from what is judged anew."""
    return problem.kind == "remark" and not problem.files and problem.where not in judged_anew
