"""Datasets whose labels are polygons: COCO and LabelMe files found, paired and named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fullconv.counted import counted
from fullconv.data.class_files import ClassEntry, Color
from fullconv.data.class_tables import Naming, table_by_id
from fullconv.data.formats import Decision
from fullconv.data.labels import Kind, LabelFormat
from fullconv.data.layouts import SPLIT_WORDS, FoundFile, Layout
from fullconv.data.pairing import Pairing, pair
from fullconv.data.polygons import CocoFile, index_coco, read_json
from fullconv.errors import DataError
from fullconv.progress import track

_BACKGROUND_NAMES = ("background", "_background_")


@dataclass(frozen=True)
class PolygonSet:
    """What was found: pairs, the decision (None where no file holds polygons), and what could not be read."""

    pairing: Pairing
    decision: Decision | None
    problems: list[tuple[Path, str]]


def scan_polygons(layout: Layout, naming: Naming, forced: Kind | None) -> PolygonSet:
    """Pair images with COCO or LabelMe files and name the classes.

    Args:
        layout: images and JSON files.
        naming: the class file, which gives order, colours and ignored classes where its names are those of the labels.
        forced: "coco" or "labelme", where the user says so.

    Raises:
        DataError: polygons of both kinds, or none of their images is there.
    """
    coco: list[tuple[FoundFile, CocoFile]] = []
    shapes: dict[FoundFile, list[str]] = {}
    problems: list[tuple[Path, str]] = []
    for place in track(layout.documents, "Looking at annotations"):
        try:
            content = read_json(place.path)
            if _is_coco(content) and forced != "labelme":
                coco.append((place, index_coco(place.path, content)))
            elif isinstance(content, dict) and isinstance(content.get("shapes"), list) and forced != "coco":
                shapes[place] = [str(shape.get("label", "")) for shape in content["shapes"] if isinstance(shape, dict)]
        except DataError as error:
            problems.append((place.path, str(error)))
    if coco and shapes:
        raise DataError(
            f"{coco[0][0].path.name} is a COCO file and {next(iter(shapes)).path.name} a LabelMe file",
            where=coco[0][0].path.parent,
            remedy="choose one with --format coco or --format labelme",
        )
    if coco:
        return _coco_set(layout.images, coco, naming, problems)
    if shapes:
        return _labelme_set(layout.images, shapes, naming, problems)
    if problems:
        raise DataError(problems[0][1].rstrip("."))
    return PolygonSet(Pairing({}, list(layout.images), []), None, problems)


def _is_coco(content: Any) -> bool:
    """A file of outlines; captions, key points without categories and results are left aside."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def _coco_set(
    images: Sequence[FoundFile],
    files: list[tuple[FoundFile, CocoFile]],
    naming: Naming,
    problems: list[tuple[Path, str]],
) -> PolygonSet:
    outlined = [(place, coco) for place, coco in files if any(map(_has_outline, coco.annotations.values()))]
    notes = [
        f"{place.path.name} holds no outlines and was left aside"
        for place, coco in files
        if (place, coco) not in outlined
    ]
    if not outlined:
        raise DataError(
            "holds boxes but no outlines",
            where=files[0][0].path,
            remedy="export polygons or run lengths (segmentation)",
        )
    labels: dict[FoundFile, tuple[Path, ...]] = {}
    taken: set[Path] = set()
    doubtful: dict[FoundFile, str] = {}
    for place, coco in outlined:
        found = _answering(place, coco, images)
        for (image, *others), split in found:
            if others:
                names = ", ".join(str(other.path) for other in (image, *others[:3]))
                doubtful.update(
                    dict.fromkeys(
                        (image, *others),
                        f"one entry of {place.path.name} fits {len(others) + 1} images ({names}), so they were left "
                        "out: write their folders into its file_name entries",
                    )
                )
            elif image.path in taken:
                problems.append((image.path, f"is named by two annotation files; {coco.path.name} was left aside"))
            else:
                taken.add(image.path)
                labels[image if image.split else replace(image, split=split)] = (coco.path,)
        if missing := len(coco.images) - len(found):
            present = {id(coco.entry(group[0].path)) for group, _ in found}
            example = next(entry["file_name"] for entry in coco.images if id(entry) not in present)
            notes.append(f"{place.path.name} names {counted(missing, 'image')} not there, such as {example}")
    # An image whose entry is in doubt in one file may be named plainly by another.
    doubtful = {image: sentence for image, sentence in doubtful.items() if image.path not in taken}
    if not labels and doubtful:
        image, sentence = next(iter(doubtful.items()))
        raise DataError("no image can be told from the others", where=image.path, remedy=sentence)
    if not labels:
        raise DataError(
            "names none of the images that are there",
            where=outlined[0][0].path,
            remedy="check its file_name entries: folders in them must be those of the images",
        )
    categories = _joined_categories([coco for _, coco in outlined])
    background = next((code for code, name in categories.items() if name.lower() in _BACKGROUND_NAMES), None)
    if background is None:
        background = next(code for code in (0, 255, *range(65536)) if code not in categories)
    used = {
        int(annotation["category_id"])
        for _, coco in outlined
        for group in coco.annotations.values()
        for annotation in group
        if annotation.get("category_id") is not None
    }
    colors = {code: entry.get("color") for _, coco in outlined for code, entry in coco.categories.items()}
    entries = [_entry(name, code, naming, _color(colors[code])) for code, name in categories.items()]
    if background not in categories:
        entries.insert(0, _entry("background", background, naming, (0, 0, 0)))
    explanation = (
        f"The labels are COCO outlines: {' and '.join(place.path.name for place, _ in outlined)} with "
        f"{len(used)} categories in use, out of {len(categories)}; what none covers is background."
    )
    decision = Decision(
        LabelFormat(kind="coco", explanation=explanation, background=background),
        table_by_id([], Naming(tuple(entries), naming.source, naming.ignore)),
        notes=tuple(notes),
    )
    alone = [place for place in images if place.path not in taken and place not in doubtful]
    return PolygonSet(Pairing(labels, alone, [], doubtful=doubtful), decision, problems)


def _answering(
    place: FoundFile, coco: CocoFile, images: Sequence[FoundFile]
) -> list[tuple[list[FoundFile], str | None]]:
    """For each entry with an image: the images it fits, those beside the file first, and the split it tells."""
    split = place.split or _split_of(place.stem)
    by_entry: dict[int, list[FoundFile]] = {}
    for image in images:
        if split is None or image.split in (None, split):
            entry = coco.entry(image.path)
            if entry is not None:
                by_entry.setdefault(id(entry), []).append(image)
    return [
        (
            ([image for image in group if place.path.parent in image.path.parents] or group)
            if len(group) > 1
            else group,
            split,
        )
        for group in by_entry.values()
    ]


def _has_outline(annotations: Sequence[dict[str, Any]]) -> bool:
    return any(annotation.get("segmentation") for annotation in annotations)


def _joined_categories(files: Sequence[CocoFile]) -> dict[int, str]:
    categories: dict[int, str] = {}
    for coco in files:
        for code, entry in sorted(coco.categories.items()):
            name = str(entry.get("name", f"class_{code}"))
            if categories.setdefault(code, name) != name:
                raise DataError(
                    f"category {code} is {name!r} here and {categories[code]!r} in another annotation file",
                    where=coco.path,
                    remedy="use one list of categories",
                )
            if not 0 <= code <= 65535:
                raise DataError(f"the category id {code} is too large", where=coco.path, remedy="use 0 to 65535")
    return categories


def _labelme_set(
    images: Sequence[FoundFile],
    shapes: dict[FoundFile, list[str]],
    naming: Naming,
    problems: list[tuple[Path, str]],
) -> PolygonSet:
    pairing = pair(images, list(shapes))
    if not pairing.labels:
        raise DataError(
            f"matches none of the {len(images)} images by name",
            where=next(iter(shapes)).path,
            remedy="name a LabelMe file like its image",
        )
    if double := next((place for place, paths in pairing.labels.items() if len(paths) > 1), None):
        raise DataError(
            f"has {len(pairing.labels[double])} LabelMe files", where=double.path, remedy="keep one file per image"
        )
    found = sorted({label for labels in shapes.values() for label in labels})
    order = {entry.name: number for number, entry in enumerate(naming.entries)}
    objects = sorted(
        (label for label in found if label not in _BACKGROUND_NAMES),
        key=lambda label: (order.get(label, len(order)), label),
    )
    background, names = _labelme_codes(objects, naming)
    entries = [_entry("background", background, naming, (0, 0, 0))]
    entries += [_entry(label, code, naming, None) for label, code in names.items()]
    names.update((label, background) for label in found if label in _BACKGROUND_NAMES)
    explanation = (
        f"The labels are LabelMe shapes of {counted(len(objects), 'name')}, one JSON file per image; what none covers "
        "is background."
    )
    decision = Decision(
        LabelFormat(kind="labelme", explanation=explanation, names=names, background=background),
        table_by_id([], Naming(tuple(entries), naming.source, naming.ignore)),
    )
    return PolygonSet(pairing, decision, problems)


def _labelme_codes(objects: Sequence[str], naming: Naming) -> tuple[int, dict[str, int]]:
    """The code of the background and of each label: the class file's ids where it gives any or names the background,
    else 0 and what follows."""
    ids = {entry.name.lower(): number for number, entry in naming.ids.items()}
    own = next((ids[name] for name in _BACKGROUND_NAMES if name in ids), None)
    if own is None and all(entry.id is None for entry in naming.entries):
        return 0, {label: code for code, label in enumerate(objects, 1)}
    taken = set(ids.values())
    background = next(code for code in (0, 255, *range(65536)) if code not in taken) if own is None else own
    taken.add(background)
    codes: dict[str, int] = {}
    for label in objects:
        given = ids.get(label.lower())
        codes[label] = next(code for code in range(1, 65536) if code not in taken) if given is None else given
        taken.add(codes[label])
    return background, codes


def _entry(name: str, code: int, naming: Naming, color: Color | None) -> ClassEntry:
    """A class of the labels, with colour and standing from the class file where that names it."""
    known = next((entry for entry in naming.entries if entry.name.lower() == name.lower()), None)
    if known is None:
        return ClassEntry(name, code, color)
    return ClassEntry(name, code, known.color or color, known.ignored)


def _color(value: Any) -> Color | None:
    if isinstance(value, str) and (match := re.fullmatch(r"#([0-9A-Fa-f]{6})", value)):
        code = int(match[1], 16)
        return code >> 16, code >> 8 & 255, code & 255
    if isinstance(value, list) and len(value) == 3 and all(isinstance(part, int) and 0 <= part < 256 for part in value):
        return value[0], value[1], value[2]
    return None


def _split_of(stem: str) -> str | None:
    """The split in a file name such as instances_train2017."""
    words = re.findall(r"[a-z]+", stem.lower())
    return next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), None)
