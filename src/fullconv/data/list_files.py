"""List files: text files that name the images of a split, one per line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fullconv.data.images import IMAGE_SUFFIXES
from fullconv.errors import DataError

if TYPE_CHECKING:
    from fullconv.data.scan import Sample


def find_lists(root: Path) -> dict[str, Path]:
    """train.txt, val.txt and test.txt of a root folder, where at least train and one more are there."""
    found = {split: root / f"{split}.txt" for split in ("train", "val", "test") if (root / f"{split}.txt").is_file()}
    return found if "train" in found and len(found) > 1 else {}


def apply_lists(samples: Sequence[Sample], lists: Mapping[str, Path], *, given: bool) -> tuple[list[Sample], list[str]]:
    """Give samples the split of the list that names them; those in no list are left out.

    A line is a path or a stem; further columns (the label, as SegNet and VOC write it) are passed over, and so are
    folders that only the machine of the list's author had.

    Args:
        samples: all samples.
        lists: split → file.
        given: whether the user named the lists; then a line that fits no image is an error, else it is passed over.

    Returns:
        The samples with splits, and notes.

    Raises:
        DataError: a list cannot be read, a line fits no image or several, or two lists name the same image.
    """
    by_stem: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        for name in {PurePosixPath(sample.key).name, sample.image.stem}:
            by_stem[name].append(sample)
    chosen: dict[str, Sample] = {}
    missing = 0
    for split, path in lists.items():
        for number, line in enumerate(_lines(path), 1):
            if not line.strip() or line.startswith("#"):
                continue
            found = _named(line, by_stem)
            if found is None:
                missing += 1
                if given:
                    raise DataError(
                        f"line {number}: {line.strip()!r} names no image with a label, or several",
                        where=path,
                        remedy="write the image's path below the folder of images",
                    )
                continue
            other = chosen.setdefault(found.key, replace(found, split=split))
            if other.split != split:
                raise DataError(
                    f"line {number}: {found.key} is in the list of {other.split} too",
                    where=path,
                    remedy="name each image in one list only",
                )
    notes = [f"splits come from {', '.join(path.name for path in lists.values())}"]
    if missing:
        notes.append(f"{missing} lines of the lists name no image that has a label")
    if left := len(samples) - len(chosen):
        notes.append(f"{left} samples are in no list and were left out")
    if not chosen:
        if given:
            raise DataError("names none of the images", where=next(iter(lists.values())), remedy="check the lists")
        return list(samples), []
    return list(chosen.values()), notes


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError("no such list file", where=path, remedy="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text ({error})", where=path, remedy="save it as UTF-8 text") from error


def _named(line: str, by_stem: Mapping[str, Sequence[Sample]]) -> Sample | None:
    """The sample that a line means: the whole line, else its first column; folders decide between equal stems."""
    for text in (line.strip(), line.split()[0]):
        place = PurePosixPath(text.replace("\\", "/"))
        stem = place.stem if place.suffix.lower() in IMAGE_SUFFIXES else place.name
        candidates = by_stem.get(stem, ())
        if len(candidates) == 1:
            return candidates[0]
        fitting = [sample for sample in candidates if _ends_alike(sample, place.with_name(stem))]
        if len(fitting) == 1:
            return fitting[0]
    return None


def _ends_alike(sample: Sample, place: PurePosixPath) -> bool:
    own, wanted = sample.image.with_suffix("").parts, [part for part in place.parts if part not in ("/", ".")]
    key = PurePosixPath(sample.key).parts
    return own[-len(wanted) :] == tuple(wanted) or key[-len(wanted) :] == tuple(wanted)
