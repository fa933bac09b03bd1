"""Everything that can be wrong with a dataset, in one report, worst first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fullconv.counted import counted
from fullconv.data.problems import ALLOWABLE, KINDS, Problem
from fullconv.errors import DataError

if TYPE_CHECKING:
    from fullconv.data.classes import ClassTable
    from fullconv.data.inspection import Inspection

_TINY = 20
_LISTED_FILES = 100
_LISTED_CODES = 8
_BLUR_CODES = 16

_REMEDIES = {
    "unreadable-image": "save it again or remove it, or leave such images out with --allow unreadable-image",
    "decompression-bomb": "cut it into parts, or leave such images out with --allow decompression-bomb",
    "unreadable-label": "save it again or remove it, or leave such images out with --allow unreadable-label",
    "doubtful-pair": "keep one of them",
    "size-mismatch": "give image and label the same size, or leave such images out with --allow size-mismatch",
    "orientation-mismatch": "save both upright without EXIF orientation, or leave such images out with --allow "
    "orientation-mismatch",
}


class Judge:
    """Turns what was inspected into problems.

    Args:
        root: paths are shown relative to it.
        classes: the classes after all edits.
        allow: kinds of errors that are lowered to warnings; samples or pixels that they concern are left out.
        code_text: how a label code is shown, e.g. as `#804080`.

    Raises:
        DataError: `allow` names a kind that does not exist or that cannot be let pass.
    """

    def __init__(
        self, root: Path, classes: ClassTable, *, allow: Collection[str] = (), code_text: Callable[[int], str] = str
    ) -> None:
        if wrong := next((kind for kind in allow if kind not in ALLOWABLE), None):
            raise DataError(
                f"{wrong!r} is no error that can be allowed",
                where="--allow",
                remedy=f"choose from {', '.join(ALLOWABLE)}",
            )
        self._root = root
        self._classes = classes
        self._allow = frozenset(allow)
        self._code_text = code_text

    def samples(self, inspections: Sequence[Inspection]) -> list[Problem]:
        """Files that cannot be read or do not fit together: one problem per kind, with all its files."""
        by_kind: dict[str, list[tuple[Path, str]]] = defaultdict(list)
        for found in inspections:
            for fault in found.faults:
                by_kind[fault.kind].append((fault.path, fault.message))
        return [self._listed(kind, faults) for kind, faults in by_kind.items()]

    def codes(self, inspections: Sequence[Inspection], *, colors: bool, smoothed: bool = False) -> list[Problem]:
        """Codes in label files that are no class: one problem per code, or one for blurred labels.

        Blurred is a label with many codes near those of classes; few are enough where all files together say so.
        """
        pixels: Counter[int] = Counter()
        images: dict[int, list[Inspection]] = defaultdict(list)
        for found in inspections:
            for code, (count, _) in found.unknown.items():
                pixels[code] += count
                images[code].append(found)
        if not pixels:
            return []
        every = sum(found.unknown_pixels for found in inspections)
        fewest = 1 if smoothed else _BLUR_CODES
        blurred = [found for found in inspections if self._is_blurred(found, fewest, colors=colors)]
        if blurred:
            return [self._blurred(blurred, every)]
        problems = []
        for code, count in pixels.most_common(_LISTED_CODES):
            found = images[code][0]
            row, column = found.unknown[code][1]
            text = self._code_text(code)
            problems.append(
                self.problem(
                    "unknown-class-code",
                    found.sample.labels[0],
                    f"{text} is no class: {count:,} pixels in {_images(len(images[code]))}, "
                    f"the first at row {row}, column {column}",
                    f"add it to the class file, or pass --remap '{text}=CLASS' or --remap '{text}=ignore'",
                    count=count,
                    files=[other.sample.labels[0] for other in images[code]],
                )
            )
        if rest := pixels.most_common()[_LISTED_CODES:]:
            files = list(dict.fromkeys(found.sample.labels[0] for code, _ in rest for found in images[code]))
            total = every - sum(count for _, count in pixels.most_common(_LISTED_CODES))
            # Of files with very many codes only the commonest are kept.
            least = "at least " if any(found.unknown_codes > len(found.unknown) for found in inspections) else ""
            problems.append(
                self.problem(
                    "unknown-class-code",
                    files[0],
                    f"{least}{len(rest)} more codes are no class: {total:,} pixels in {_images(len(files))}",
                    "add them to the class file, or ignore all of them with --allow unknown-class-code",
                    count=total,
                    files=files,
                )
            )
        return problems

    def labels(self, inspections: Sequence[Inspection]) -> list[Problem]:
        """Labels that say nothing, classes that never occur, sets of one class."""
        problems = []
        empty = [found for found in inspections if not found.class_pixels.any()]
        if len(empty) == len(inspections):
            return [
                self.problem(
                    "nothing-labelled",
                    self._root,
                    f"not one pixel in {_images(len(inspections))} belongs to a class: all are ignored",
                    "check the class file and the ignored classes",
                )
            ]
        if empty:
            problems.append(
                self.problem(
                    "all-ignored-label",
                    _label_path(empty[0]),
                    f"every pixel is ignored in {_images(len(empty))}, which teach nothing",
                    "label or remove them, or check the ignored classes",
                    count=len(empty),
                    files=[_label_path(found) for found in empty],
                )
            )
        present = np.sum([found.class_pixels for found in inspections], axis=0) > 0
        absent = [name for name, there in zip(self._classes.names, present, strict=True) if not there]
        if present.sum() == 1:
            only = self._classes.names[int(present.argmax())]
            message = f"all labelled pixels are {only!r}: there is nothing to tell apart"
            problems.append(self.problem("single-class", self._root, message, "check the labels and the class file"))
        elif absent:
            problems.append(
                self.problem(
                    "class-never-occurs",
                    self._root,
                    f"{_named(absent)} in no label of the set",
                    f"check the class file, or leave out with --drop {absent[0]!r}",
                    count=len(absent),
                )
            )
        return problems

    def splits(self, inspections: Sequence[Inspection], splits: Sequence[str]) -> list[Problem]:
        """The same picture twice, classes that training never sees, splits that are empty, sets too small."""
        problems = self._duplicates(inspections, splits)
        sizes = Counter(splits)
        if not sizes["train"]:
            message = f"no image is for training: {', '.join(f'{count} {name}' for name, count in sizes.items())}"
            problems.append(
                self.problem("no-training-image", self._root, message, "add a train folder, or pass --split 70/15/15")
            )
            return problems
        if not sizes["val"]:
            problems.append(
                self.problem(
                    "no-validation-image",
                    self._root,
                    f"no image is for validation; all {sizes['train']} are for training",
                    "add images or a val folder, else the best checkpoint cannot be chosen",
                )
            )
        if len(inspections) < _TINY:
            message = f"{_images(len(inspections))} in all: scores of so few say little and vary by chance"
            problems.append(self.problem("tiny-set", self._root, message, "label more images"))
        training = np.zeros(len(self._classes), dtype=bool)
        others = np.zeros(len(self._classes), dtype=bool)
        for found, split in zip(inspections, splits, strict=True):
            target = training if split == "train" else others
            target |= found.class_pixels > 0
        if missing := [name for name, gone in zip(self._classes.names, others & ~training, strict=True) if gone]:
            problems.append(
                self.problem(
                    "class-missing-in-training",
                    self._root,
                    f"{_named(missing)} only in validation or test images",
                    "move an image that has it to the training images",
                    count=len(missing),
                )
            )
        return problems

    def _duplicates(self, inspections: Sequence[Inspection], splits: Sequence[str]) -> list[Problem]:
        same: dict[str, list[int]] = defaultdict(list)
        for index, found in enumerate(inspections):
            same[found.picture].append(index)
        copies = [indices for indices in same.values() if len(indices) > 1]
        problems = []
        for kind, chosen, message, remedy in (
            (
                "same-picture-in-two-splits",
                [group for group in copies if len({splits[index] for index in group}) > 1],
                "in {a} is the same picture as {other} in {b}: scores would be too good",
                "remove it from one of the splits, or accept it with --allow same-picture-in-two-splits",
            ),
            (
                "same-picture-twice",
                [group for group in copies if len({splits[index] for index in group}) == 1],
                "in {a} is the same picture as {other}",
                "remove one of them if that was not meant",
            ),
        ):
            if not chosen:
                continue
            first, second = (
                chosen[0][0],
                next((index for index in chosen[0] if splits[index] != splits[chosen[0][0]]), chosen[0][1]),
            )
            other = self._shown(inspections[second].sample.image)
            text = message.format(a=splits[first], b=splits[second], other=other)
            more = f" (and {len(chosen) - 1} more such pictures)" if len(chosen) > 1 else ""
            files = [inspections[index].sample.image for group in chosen for index in group]
            problems.append(self.problem(kind, files[0], text + more, remedy, count=len(chosen), files=files))
        return problems

    def remark(self, where: object, message: str, remedy: str = "nothing needs doing") -> Problem:
        """A note."""
        return self.problem("remark", where, message, remedy)

    def divided_groups(
        self, groups: Sequence[str], inspections: Sequence[Inspection], splits: Sequence[str]
    ) -> list[Problem]:
        """Groups that should stay together and that the splits given divide."""
        members: dict[str, list[int]] = defaultdict(list)
        for index, group in enumerate(groups):
            members[group].append(index)
        divided = {name: found for name, found in members.items() if len({splits[index] for index in found}) > 1}
        if not divided:
            return []
        name, first = next(iter(divided.items()))
        where = " and ".join(dict.fromkeys(splits[index] for index in first))
        more = f" (and {len(divided) - 1} more such groups)" if len(divided) > 1 else ""
        return [
            self.problem(
                "group-in-two-splits",
                self._root,
                f"the group {name!r} is in {where}{more}: scores may be too good",
                "move it into one folder or list, or split anew with --split 70/15/15",
                count=len(divided),
                files=[inspections[index].sample.image for found in divided.values() for index in found],
            )
        ]

    def nothing_usable(self, count: int) -> Problem:
        """Not one sample passed."""
        what = f"none of {_images(count)} can be used" if count else "there is no image with a label"
        return self.problem("no-usable-image", self._root, what, "see the other errors")

    def scan_problems(self, found: Sequence[tuple[Path, str]], inspections: Sequence[Inspection]) -> list[Problem]:
        """What the scan could not read or pair, where the inspection did not name it already."""
        known = {fault.path for inspection in inspections for fault in inspection.faults}
        by_kind: dict[str, list[tuple[Path, str]]] = defaultdict(list)
        for path, message in found:
            if path not in known:
                # A sentence that begins with the file is the error of reading it.
                read = message.removeprefix(f"{path}: ")
                kind = "doubtful-pair" if read == message else "unreadable-label"
                by_kind[kind].append((path, read.rsplit("; ", 1)[0] if kind == "unreadable-label" else message))
        return [self._listed(kind, faults) for kind, faults in by_kind.items()]

    def unmatched(self, images: Sequence[Path], labels: Sequence[Path]) -> list[Problem]:
        """Images without label and labels without image."""
        problems = []
        for kind, files, message, remedy in (
            (
                "unmatched-image",
                images,
                "no label was found",
                "add labels of the same name, or say --unlabelled background",
            ),
            ("unmatched-label", labels, "no image was found", "add images of the same name, or remove the labels"),
        ):
            if files:
                noun = "image" if files is images else "label"
                text = (
                    f"{message} for {len(files)} {noun}s, which are left out"
                    if len(files) > 1
                    else f"{message}; left out"
                )
                problems.append(self.problem(kind, files[0], text, remedy, count=len(files), files=files))
        return problems

    def _listed(self, kind: str, faults: Sequence[tuple[Path, str]]) -> Problem:
        """One problem for all files with the same kind of fault."""
        path, message = faults[0]
        others = len({other for other, _ in faults} - {path})
        more = f" (and {others} more such files)" if others else ""
        files = [other for other, _ in faults]
        return self.problem(kind, path, f"{message}{more}", _REMEDIES[kind], count=others + 1, files=files)

    def _is_blurred(self, found: Inspection, fewest: int, *, colors: bool) -> bool:
        """So many codes in one label, each close to a class or between two: JPEG or smooth edges did that."""
        if len(found.unknown) < fewest:
            return False
        known = np.array([code for entry in (*self._classes.classes, *self._classes.ignored) for code in entry.codes])
        strange = np.array(list(found.unknown))
        if colors:
            low, high = _channels(known).min(axis=0), _channels(known).max(axis=0)
            between = (_channels(strange) >= low - 32).all(axis=1) & (_channels(strange) <= high + 32).all(axis=1)
        else:
            top = known.max() if fewest < _BLUR_CODES else max(known.max(), 255)
            between = (strange >= known.min()) & (strange <= top)
        return bool(between.mean() > 0.5)

    def _blurred(self, blurred: Sequence[Inspection], pixels: int) -> Problem:
        worst = max(blurred, key=lambda found: found.unknown_codes)
        path = worst.sample.labels[0]
        row, column = min(place for _, place in worst.unknown.values())
        cause = "JPEG compression" if path.suffix.lower() in (".jpg", ".jpeg") else "lossy compression or smooth edges"
        return self.problem(
            "blurred-label",
            path,
            f"{_strange(worst.unknown_codes)} near or between those of the classes, the first at "
            f"row {row}, column {column}: {cause} changed the labels of {_images(len(blurred))} ({pixels:,} pixels)",
            "export the labels as PNG without smoothing, or ignore these pixels with --allow blurred-label",
            count=len(blurred),
            files=[found.sample.labels[0] for found in blurred],
        )

    def problem(
        self, kind: str, where: object, message: str, remedy: str, *, count: int = 1, files: Sequence[Path] = ()
    ) -> Problem:
        """A problem of a kind, as grave as the kind is unless it is allowed; paths are shown below the root."""
        severity = "warning" if kind in self._allow else KINDS[kind]
        shown = tuple(self._shown(path) for path in list(dict.fromkeys(files))[:_LISTED_FILES])
        return Problem(
            severity=severity,
            kind=kind,
            where=self._shown(where),
            message=message,
            remedy=remedy,
            count=count,
            files=shown,
        )

    def _shown(self, where: object) -> str:
        if isinstance(where, Path) and where != self._root and where.is_relative_to(self._root):
            return where.relative_to(self._root).as_posix()
        return str(where)


def _channels(codes: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    return np.stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255], axis=-1)


def _label_path(found: Inspection) -> Path:
    return found.sample.labels[0] if found.sample.labels else found.sample.image


def _strange(count: int) -> str:
    return "a code lies" if count == 1 else f"{count:,} different codes lie"


def _images(count: int) -> str:
    return counted(count, "image")


def _named(names: Sequence[str]) -> str:
    listed = ", ".join(repr(name) for name in names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return f"{'class' if len(names) == 1 else 'classes'} {listed} {'occurs' if len(names) == 1 else 'occur'}"
