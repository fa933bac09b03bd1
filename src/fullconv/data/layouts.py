"""Folders → which files are images, which are labels, and to which split they belong."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from fullconv.data import known_sets
from fullconv.data.class_files import ClassEntry
from fullconv.data.images import IMAGE_SUFFIXES
from fullconv.errors import DataError
from fullconv.progress import track

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
"""Folder names that are splits."""

_IMAGE_WORDS = frozenset(
    (
        *("image", "images", "img", "imgs", "jpegimages", "pngimages", "rgb", "photo", "photos", "picture", "pictures"),
        *("input", "inputs", "frame", "frames", "leftimgbit"),
    )
)
_LABEL_WORDS = frozenset(
    (
        *(
            "label",
            "labels",
            "labelled",
            "labeled",
            "labelids",
            "mask",
            "masks",
            "matte",
            "mattes",
            "target",
            "targets",
        ),
        *("annotation", "annotations", "annot", "annots", "anno", "ann", "gt", "gts", "gtfine", "gtcoarse"),
        *("groundtruth", "groundtruths", "truth", "segmentation", "segmentations", "seg", "segs", "segmap", "segmaps"),
        *("segmentationclass", "segmentationclasspng", "segmentationclassaug", "segmentationobject", "semantic"),
    )
)
_FILLERS = frozenset(
    (
        *("full", "data", "set", "png", "jpg", "raw", "all", "color", "colour", "ids", "id", "bit", "ground", "class"),
        *("approved", "split", "splits"),
    )
)
_CONCATENATED = re.compile(
    r"(train|training|val|valid|validation|test|testing)(annots?|labels?|masks?|images?|imgs?|gt)"
)
_LABEL_STEM = re.compile(
    r"(?:[_\-. ](?:masks?|labels?|gt|seg|segmentation|annot|annotation|ground_?truth|l|labelids|m|matte|semantic)$"
    r"|^(?:masks?|labels?|gt|seg)[_\-. ])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FoundFile:
    """A file and its place.

    Args:
        path: the file.
        split: "train", "val", "test", or None where no folder tells.
        folder: its folders without those that only say split or role; posix, "" at the top.
        stem: what it is paired by.
    """

    path: Path
    split: str | None
    folder: str
    stem: str


@dataclass(frozen=True)
class Layout:
    """What lies in the folders.

    Args:
        images, labels: picture files by role.
        documents: JSON files that may hold polygons.
        known: the name of a public dataset layout, or "".
        entries: the classes of that dataset.
        lists: split → list file that belongs to the layout.
        notes: what was left aside.
    """

    images: tuple[FoundFile, ...]
    labels: tuple[FoundFile, ...]
    documents: tuple[FoundFile, ...] = ()
    known: str = ""
    entries: tuple[ClassEntry, ...] = ()
    lists: tuple[tuple[str, Path], ...] = ()
    notes: tuple[str, ...] = ()


def two_folders(images: Path, labels: Path) -> Layout:
    """Images in one folder, labels in another (or in one JSON file)."""
    pictures = [place for place in list_files(images) if labels not in place.path.parents or labels in images.parents]
    if os.path.isfile(labels):  # noqa: PTH113 - unlike Path.is_file, false where a folder may not be searched
        documents: tuple[FoundFile, ...] = (FoundFile(labels, None, "", labels.stem),)
        return Layout(_pictures(pictures), (), documents)
    others = [place for place in list_files(labels) if images not in place.path.parents or images in labels.parents]
    others = _replaced(others, labels, _class_folders(others, labels, pictures, given=True))
    return _recognised(Layout(_pictures(pictures), _pictures(others), _documents(others)), labels)


def one_root(root: Path) -> Layout:
    """Images and labels somewhere under one folder, told apart by the names of folders, else of files."""
    places = list_files(root)
    roles = {place.path: _role(place.path.relative_to(root).parts[:-1]) for place in places}
    masks = [place for place in places if _inside_labels(place.path.parent, root)]
    classes = _class_folders(masks, root, [place for place in places if roles[place.path] != "label"])
    if classes:
        places = _replaced(places, root, classes)
        roles = {place.path: _role(_unread(place.path, root, classes)) for place in places}
    pictures = _pictures(places)
    labels = [place for place in pictures if roles[place.path] == "label"]
    images = [place for place in pictures if roles[place.path] == "image"]
    other = [place for place in pictures if roles[place.path] is None]
    notes: list[str] = []
    if labels and images and other:
        notes.append(
            f"folders that are neither images nor labels were left aside: {len(other)} files, such as {other[0].path}"
        )
    elif labels:
        images = images or other
    elif images and other:
        labels = other
    else:
        images, labels = _told_by_name(images or other)
    layout = Layout(tuple(images), tuple(labels), _documents(places), notes=tuple(notes))
    return _recognised(layout, root)


def list_files(root: Path) -> list[FoundFile]:
    """All picture and JSON files under a folder, in order; hidden files and folders are left out.

    Raises:
        DataError: the folder is missing or cannot be read.
    """
    _require_folder(root)
    found = []
    for folder, subfolders, names in track(os.walk(root, followlinks=True, onerror=_refuse), "Looking for files"):
        here = Path(folder)
        subfolders[:] = sorted(
            name for name in subfolders if not name.startswith((".", "__MACOSX")) and not _leads_back(here / name, root)
        )
        split, inner = _place(here.relative_to(root).parts)
        for name in sorted(names):
            path = here / name
            suffix = path.suffix.lower()
            if not name.startswith(".") and (suffix in IMAGE_SUFFIXES or suffix == ".json"):
                _require_utf8(path)
                found.append(FoundFile(path, split, inner, path.stem))
    return found


def _require_folder(root: Path) -> None:
    try:
        root.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("no such folder", where=root, remedy="check the path") from None
    except (OSError, ValueError) as error:  # a folder above may not be searched, a name is too long or holds a zero
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(
            f"cannot be reached ({why})", where=root, remedy="check the path and the permissions of the folders above"
        ) from error
    if not root.is_dir():
        raise DataError("is a file, not a folder", where=root, remedy="give the folder that holds it")


def _leads_back(folder: Path, root: Path) -> bool:
    """Whether a folder is a link to one that it lies in, which would be walked without end."""
    if not folder.is_symlink():
        return False
    try:
        return any(folder.samefile(root / above) for above in folder.relative_to(root).parents)
    except OSError:
        return True


def _require_utf8(path: Path) -> None:
    """File names are written into YAML, JSON and HTML, which hold no other bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DataError(
            "its name is no UTF-8 text",
            where=os.fsencode(path).decode(errors="backslashreplace"),
            remedy="rename it (for example with convmv -f latin1 -t utf8)",
        ) from None


def _refuse(error: OSError) -> None:
    raise DataError(f"cannot be listed ({error.strerror})", where=error.filename, remedy="change its permissions")


def _pictures(places: Iterable[FoundFile]) -> tuple[FoundFile, ...]:
    return tuple(place for place in places if place.path.suffix.lower() != ".json")


def _documents(places: Iterable[FoundFile]) -> tuple[FoundFile, ...]:
    return tuple(place for place in places if place.path.suffix.lower() == ".json")


def _place(parts: Sequence[str]) -> tuple[str | None, str]:
    """The split that folders name, and the folders that name neither split nor role."""
    split: str | None = None
    kept = []
    for part in parts:
        own_split, role, whole = _read_name(part)
        split = own_split or split
        if not whole or not (own_split or role):
            kept.append(part)
    return split, str(PurePosixPath(*kept)) if kept else ""


def _inside_labels(folder: Path, root: Path) -> bool:
    """Whether a folder or one above it, up to the root, says that it holds labels."""
    return any(_role([part]) == "label" for part in folder.relative_to(root).parts)


def _class_folders(
    masks: Sequence[FoundFile], root: Path, images: Sequence[FoundFile], *, given: bool = False
) -> frozenset[Path]:
    """Folders of masks that are called like a split or like images but stand for a class: masks/train beside
    masks/rider and masks/car, where no image elsewhere is of a split train.

    Args:
        masks: files that may be masks.
        root: where folders begin to count.
        images: files that may be images; those beside the masks do not count.
        given: the root holds labels alone; else only folders inside one that is called so count.
    """
    siblings: dict[Path, set[Path]] = defaultdict(set)
    for folder in {place.path.parent for place in masks if place.path.suffix.lower() != ".json"}:
        for inner in (folder, *folder.parents):
            if inner == root:
                break
            siblings[inner.parent].add(inner)
    found = set()
    for above, folders in siblings.items():
        read = {folder: _read_name(folder.name) for folder in folders}
        plain = [folder for folder, (split, role, _) in read.items() if split is None and role is None]
        elsewhere = {place.split for place in images if above not in place.path.parents}
        if not plain or not elsewhere or not (given or _inside_labels(above, root)):
            continue
        inside_split = _place(above.relative_to(root).parts)[0] is not None
        for folder, (split, role, whole) in read.items():
            is_class = inside_split or split not in elsewhere if split else role == "image"
            if whole and is_class:
                found.add(folder)
    return frozenset(found)


def _unread(path: Path, root: Path, classes: frozenset[Path]) -> list[str]:
    """The folders of a file below the root without those that are classes."""
    return [
        folder.name
        for folder in reversed(path.parents)
        if folder.is_relative_to(root) and folder != root and folder not in classes
    ]


def _replaced(places: Sequence[FoundFile], root: Path, classes: frozenset[Path]) -> list[FoundFile]:
    """Places read anew, where the names of class folders are no splits and no roles."""
    if not classes:
        return list(places)
    moved = []
    for place in places:
        if named := [folder.name for folder in place.path.parents if folder in classes]:
            split, inner = _place(_unread(place.path, root, classes))
            place = replace(place, split=split, folder=str(PurePosixPath(inner, *reversed(named))))
        moved.append(place)
    return moved


def says_role_or_split(name: str) -> bool:
    """Whether an affix or a folder only says "label", "image" or a split, and so names no class.

    >>> says_role_or_split("_mask"), says_role_or_split("val"), says_role_or_split("_cat")
    (True, True, False)
    """
    split, role, whole = _read_name(name)
    return bool(((split or role) and whole) or _LABEL_STEM.search(f"1{name}") or _LABEL_STEM.search(f"{name}1"))


def _role(parts: Sequence[str]) -> str | None:
    """ "image" or "label" by the innermost folder that says so."""
    roles = [role for part in parts if (role := _read_name(part)[1]) is not None]
    return roles[-1] if roles else None


def _read_name(name: str) -> tuple[str | None, str | None, bool]:
    """Split and role that a folder's name tells, and whether it tells nothing else.

    >>> _read_name("val_images"), _read_name("trainannot"), _read_name("aachen")
    (('val', 'image', True), ('train', 'label', True), (None, None, False))
    """
    plain = re.sub(r"[^a-z]", "", name.lower())
    if match := _CONCATENATED.fullmatch(plain):
        return SPLIT_WORDS[match[1]], "image" if match[2].startswith("im") else "label", True
    if plain in _LABEL_WORDS or plain in _IMAGE_WORDS:
        return None, "label" if plain in _LABEL_WORDS else "image", True
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = [word for word in re.findall(r"[a-z]+|\d+", spaced) if not re.fullmatch(r"20\d\d|\d", word)]
    split = next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), None)
    label = any(word in _LABEL_WORDS for word in words)
    image = any(word in _IMAGE_WORDS for word in words)
    known = all(word in SPLIT_WORDS or word in _LABEL_WORDS | _IMAGE_WORDS | _FILLERS for word in words)
    role = "label" if label else "image" if image else None
    if words and known and (split or role):
        return split, role, True
    return None, role if label and plain.startswith(("label", "mask", "annot")) else None, False


def _told_by_name(pictures: Sequence[FoundFile]) -> tuple[list[FoundFile], list[FoundFile]]:
    """Images and labels in the same folders: by a name such as 7_mask.png, else by the ending."""
    labels = [place for place in pictures if _LABEL_STEM.search(place.stem)]
    if labels and len(labels) < len(pictures):
        return [place for place in pictures if not _LABEL_STEM.search(place.stem)], labels
    photos = [place for place in pictures if place.path.suffix.lower() in (".jpg", ".jpeg")]
    others = [place for place in pictures if place.path.suffix.lower() not in (".jpg", ".jpeg")]
    stems = {(place.path.parent, place.stem) for place in photos}
    if sum((place.path.parent, place.stem) in stems for place in others) * 2 > len(others) > 0:
        return photos, others
    return list(pictures), []


def _recognised(layout: Layout, root: Path) -> Layout:
    """Narrow the layouts of public datasets down to the files that count."""
    if any(place.stem.endswith("_leftImg8bit") for place in layout.images):
        return _cityscapes(layout)
    parents = {place.path.parent.name for place in layout.labels}
    if "SegmentationClass" in parents and any(place.path.parent.name == "JPEGImages" for place in layout.images):
        return _voc(layout)
    if any({"GT", "LABELS"} <= set(place.path.parts) for place in layout.labels):
        return _synthia(layout)
    return layout


def _cityscapes(layout: Layout) -> Layout:
    for ending, entries in (("labelIds", known_sets.CITYSCAPES), ("labelTrainIds", known_sets.CITYSCAPES_TRAINING)):
        pattern = re.compile(rf"(.+)_gt(?:Fine|Coarse)_{ending}")
        labels = [replace(place, stem=match[1]) for place in layout.labels if (match := pattern.fullmatch(place.stem))]
        if labels:
            images = tuple(replace(place, stem=place.stem.removesuffix("_leftImg8bit")) for place in layout.images)
            return Layout(images, tuple(labels), (), "Cityscapes", entries, notes=layout.notes)
    return layout


def _voc(layout: Layout) -> Layout:
    labels = tuple(place for place in layout.labels if "SegmentationObject" not in place.path.parts)
    base = next(place.path.parent.parent for place in labels if place.path.parent.name == "SegmentationClass")
    lists = []
    for name, split in (("train", "train"), ("val", "val"), ("test", "test")):
        path = base / "ImageSets" / "Segmentation" / f"{name}.txt"
        if path.is_file():
            lists.append((split, path))
    return Layout(layout.images, labels, (), "VOC", known_sets.VOC, tuple(lists), layout.notes)


def _synthia(layout: Layout) -> Layout:
    labels = tuple(
        replace(place, folder=_without(place.folder, "LABELS"))
        for place in layout.labels
        if {"GT", "LABELS"} <= set(place.path.parts)
    )
    images = tuple(place for place in layout.images if "Depth" not in place.path.parts)
    return Layout(images, labels, (), "SYNTHIA", known_sets.SYNTHIA, notes=layout.notes)


def _without(folder: str, name: str) -> str:
    parts = [part for part in PurePosixPath(folder).parts if part != name]
    return str(PurePosixPath(*parts)) if parts else ""
