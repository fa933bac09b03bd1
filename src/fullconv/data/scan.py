"""What lies on disk: images, their labels, the label format and the classes; nothing is judged yet."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from fullconv.data.class_files import find_class_file, read_class_file
from fullconv.data.class_tables import Naming
from fullconv.data.classes import ClassTable
from fullconv.data.formats import Decision, decide
from fullconv.data.images import IMAGE_SUFFIXES
from fullconv.data.label_files import Survey, survey_label
from fullconv.data.labels import KINDS, Kind, LabelFormat
from fullconv.data.layouts import FoundFile, Layout, one_root, two_folders
from fullconv.data.list_files import apply_lists, find_lists
from fullconv.data.mask_sets import decide_masks
from fullconv.data.pairing import Pairing, pair
from fullconv.data.polygon_sets import scan_polygons
from fullconv.errors import DataError
from fullconv.progress import track


@dataclass(frozen=True)
class Sample:
    """One image and its label.

    Args:
        key: unique name: split, folders and stem, such as "train/0001TP_008550".
        image: the image file.
        labels: one file; several for masks; the JSON file for polygons; none where there is no label.
        split: "train", "val", "test", or None where the folders do not tell.
    """

    key: str
    image: Path
    labels: tuple[Path, ...]
    split: str | None


@dataclass(frozen=True)
class Scan:
    """What was found.

    Args:
        root: the folder that holds everything.
        samples: images with their labels, in order of their keys.
        format: how the labels are to be read.
        classes: which codes are which class.
        class_source: a sentence on where the names come from.
        unmatched_images, unmatched_labels: files without a partner.
        notes: sentences on what was recognised or left aside.
        problems: (file, sentence) for what could not be read while looking.
        smoothed: whether the labels hold in-between values that smoothing or JPEG left.
    """

    root: Path
    samples: tuple[Sample, ...]
    format: LabelFormat
    classes: ClassTable
    class_source: str
    unmatched_images: tuple[Path, ...]
    unmatched_labels: tuple[Path, ...]
    notes: tuple[str, ...]
    problems: tuple[tuple[Path, str], ...]
    smoothed: bool = False


def scan(
    images: Path,
    labels: Path | None = None,
    *,
    classes: Path | None = None,
    format: str | None = None,
    ignore: Sequence[str] = (),
    unlabelled: Literal["skip", "background", "ignore"] = "skip",
    lists: Mapping[str, Path] | None = None,
) -> Scan:
    """Find images, labels, format and classes.

    Args:
        images: the one root folder, or the folder of images when `labels` is given.
        labels: the folder of labels, or a COCO JSON file.
        classes: the class file; else one beside or above the labels is looked for.
        format: one of the kinds of `LabelFormat`, to force it.
        ignore: names, ids or #rrggbb colours of classes to ignore, besides void, ignore, unlabelled …
        unlabelled: whether images without a label are left out or become samples without label files.
        lists: split → file that lists its images, one per line.

    >>> import tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("images/1.jpg", "masks/1_mask.png"):
    ...     (root / name).parent.mkdir()
    ...     Image.fromarray(np.array([[0, 1], [2, 255]], dtype=np.uint8)).save(root / name)
    >>> found = scan(root)
    >>> found.samples[0].key, found.format.kind, found.classes.names
    ('1', 'ids', ('class_0', 'class_1', 'class_2'))
    >>> found.format.explanation
    'The labels are 8-bit class ids: their levels are the small numbers 0-2, 255 is ignored.'

    Raises:
        DataError: nothing to work with: no such folder, no images, no labels, no pairs, labels of no known format.
    """
    kind = _checked_kind(format)
    images, labels = _plain(images), None if labels is None else _plain(labels)
    layout = _layout(images, labels)
    root = images if labels is None else _common_folder(images, labels)
    notes = list(layout.notes)
    if kind in ("coco", "labelme") or not layout.labels:
        naming = _naming(layout.documents, layout, images, labels, classes, ignore)
        polygons = scan_polygons(layout, naming, kind)
        if polygons.decision is None:
            raise _no_labels(images, labels, layout)
        pairing, decision, problems = polygons.pairing, polygons.decision, polygons.problems
    else:
        naming = _naming(layout.labels, layout, images, labels, classes, ignore)
        pairing = pair(layout.images, layout.labels)
        if not pairing.labels:
            raise _no_pairs(layout, images, pairing)
        surveys, problems = _survey_all([path for paths in pairing.labels.values() for path in paths])
        if not surveys:
            raise DataError(
                f"none of the {len(problems)} label files can be read", where=problems[0][0], remedy=problems[0][1]
            )
        pairing, surveys = _with_rare_masks(layout, pairing, surveys, kind)
        decision = _decide(surveys, pairing, naming, kind, layout.known)
        if pairing.rule != "equal names":
            notes.append(f"images and labels were matched by {pairing.rule}")
    paired = list(pairing.labels.items())
    if unlabelled != "skip":
        paired += [(place, ()) for place in pairing.unmatched_images]
        pairing.unmatched_images = []
    samples = _samples(paired, images)
    if layout.known == "VOC" and len(pairing.unmatched_images) > len(samples):
        notes.append(f"{len(pairing.unmatched_images)} images of VOC have no segmentation and were left out")
        pairing.unmatched_images = []
    chosen = dict(lists or layout.lists) or ({} if any(sample.split for sample in samples) else find_lists(root))
    if chosen:
        samples, more = apply_lists(samples, chosen, given=bool(lists))
        notes += more
    problems += [
        (place.path, "another image has the same name, so its label is in doubt; left out") for place in pairing.doubles
    ]
    problems += [(place.path, sentence) for place, sentence in pairing.doubtful.items()]
    return Scan(
        root=root,
        samples=tuple(sorted(samples, key=lambda sample: sample.key)),
        format=decision.format,
        classes=decision.classes,
        class_source=_class_source(decision, layout),
        unmatched_images=tuple(place.path for place in pairing.unmatched_images),
        unmatched_labels=tuple(place.path for place in pairing.unmatched_labels),
        notes=(*notes, *decision.notes),
        problems=tuple(problems),
        smoothed=decision.smoothed,
    )


def _plain(path: Path) -> Path:
    """Absolute, without `..`, symbolic links kept as the user wrote them."""
    return Path(os.path.normpath(path.expanduser().absolute()))


def _common_folder(images: Path, labels: Path) -> Path:
    """The folder that holds both; that of the images where they lie on two drives."""
    try:
        return Path(os.path.commonpath([images, labels]))
    except ValueError:
        return images


def _checked_kind(format: str | None) -> Kind | None:
    if format is not None and format not in KINDS:
        raise DataError(f"{format!r} is no label format", remedy=f"formats are: {', '.join(KINDS)}")
    return cast("Kind | None", format)


def _layout(images: Path, labels: Path | None) -> Layout:
    if labels == images:
        raise DataError("is given as images and as labels", where=images, remedy="give two folders, or one root alone")
    layout = one_root(images) if labels is None else two_folders(images, labels)
    if not layout.images:
        raise DataError(
            "holds no images", where=images, remedy=f"images are files ending in {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return layout


def _naming(
    places: Sequence[FoundFile],
    layout: Layout,
    images: Path,
    labels: Path | None,
    classes: Path | None,
    ignore: Sequence[str],
) -> Naming:
    """Class names from the file given, else one beside or above the labels, else those of a known dataset."""
    path = classes or find_class_file(_class_folders(places, images, labels))
    if path is not None:
        return Naming(read_class_file(path), str(path), ignore)
    return Naming(layout.entries, layout.known, ignore)


def _class_folders(places: Sequence[FoundFile], images: Path, labels: Path | None) -> list[Path]:
    """The folders of the labels, then those above: up to the root, at most two above a folder given by itself."""
    top = images if labels is None else labels if labels.is_dir() else labels.parent
    stop = top.parent if labels is None else top.parent.parent
    folders: dict[Path, None] = {}
    for start in dict.fromkeys(place.path.parent for place in places):
        for folder in (start, *start.parents):
            folders[folder] = None
            if folder == stop:
                break
    return sorted(folders, key=lambda folder: -len(folder.parts))


def _survey_all(paths: Sequence[Path]) -> tuple[list[Survey], list[tuple[Path, str]]]:
    """Decode every label file once, on all cores (decoding and counting release the interpreter lock)."""
    surveys, problems = [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            looked = track(pool.map(_survey, paths), "Looking at labels", total=len(paths))
            for path, found in zip(paths, looked, strict=True):
                if isinstance(found, DataError):
                    problems.append((path, str(found)))
                else:
                    surveys.append(found)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return surveys, problems


def _survey(path: Path) -> Survey | DataError:
    try:
        return survey_label(path)
    except DataError as error:
        return error


def _decide(surveys: Sequence[Survey], pairing: Pairing, naming: Naming, kind: Kind | None, known: str) -> Decision:
    # One file per image may still be the mask of one class, where two or more affixes or folders were met.
    single = kind is None and not known and len(pairing.mask_names) > 1 and all(map(_is_binary, surveys))
    if kind == "masks" or pairing.several or single:
        return decide_masks(surveys, pairing, naming, kind)
    return decide(surveys, naming, forced=kind, known=known)


def _with_rare_masks(
    layout: Layout, pairing: Pairing, surveys: list[Survey], kind: Kind | None
) -> tuple[Pairing, list[Survey]]:
    """Where all labels are binary and some stayed alone, these may be masks of rare classes for paired images."""
    if kind not in (None, "masks") or pairing.several or not pairing.unmatched_labels:
        return pairing, surveys
    if not all(map(_is_binary, surveys)):
        return pairing, surveys
    wider = pair(layout.images, layout.labels, masks=True)
    known = {path for paths in pairing.labels.values() for path in paths}
    more, problems = _survey_all([path for paths in wider.labels.values() for path in paths if path not in known])
    if problems or not wider.several or not all(map(_is_binary, more)):
        return pairing, surveys
    return wider, [*surveys, *more]


def _is_binary(survey: Survey) -> bool:
    """Black and white, or 0 and 1; a mask may also be all of one."""
    return set(survey.codes.tolist()) <= {0, 255} or set(survey.codes.tolist()) <= {0, 1}


def _samples(paired: Sequence[tuple[FoundFile, tuple[Path, ...]]], images: Path) -> list[Sample]:
    """Samples with keys of split, folders and stem; images that would share one get longer keys."""
    keys = ["/".join(part for part in (place.split, place.folder, place.stem) if part) for place, _ in paired]
    paths = [place.path.relative_to(images) for place, _ in paired]
    for longer in (
        [path.with_suffix("").as_posix() for path in paths],
        [f"{path.with_suffix('').as_posix()}_{path.suffix[1:].lower()}" for path in paths],
        [path.as_posix() for path in paths],
    ):
        count = Counter(keys)
        keys = [other if count[key] > 1 else key for key, other in zip(keys, longer, strict=True)]
    return [Sample(key, place.path, files, place.split) for key, (place, files) in zip(keys, paired, strict=True)]


def _no_labels(images: Path, labels: Path | None, layout: Layout) -> DataError:
    if labels is not None:
        return DataError("holds no labels", where=labels, remedy="labels are image files, COCO or LabelMe JSON files")
    return DataError(
        f"{len(layout.images)} images but no labels were found",
        where=images,
        remedy="put them in folders named images and labels (or masks, gt …), or give the folder of labels second",
    )


def _no_pairs(layout: Layout, images: Path, pairing: Pairing) -> DataError:
    if pairing.doubtful:
        place, sentence = next(iter(pairing.doubtful.items()))
        return DataError("no label can be told to belong to one image", where=place.path, remedy=sentence)
    return DataError(
        f"none of the {len(layout.labels)} labels matches one of the {len(layout.images)} images by name: "
        f"{layout.labels[0].path.name} and {layout.images[0].path.name}, for example",
        where=images,
        remedy="name a label like its image, with the same prefix or suffix everywhere if any",
    )


def _class_source(decision: Decision, layout: Layout) -> str:
    if decision.named_by:
        known = decision.named_by == layout.known
        return f"Class names {'are those of' if known else 'come from'} {decision.named_by}."
    if decision.format.kind in ("masks", "coco", "labelme"):
        return "Class names come from the labels themselves."
    return "No class file was found, so the classes are named by what the labels hold."
