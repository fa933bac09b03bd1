"""Binary masks, each of one class: which file belongs to which class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fullconv.counted import counted
from fullconv.data.class_files import ClassEntry
from fullconv.data.class_tables import Naming, table_by_id
from fullconv.data.formats import Decision
from fullconv.data.label_files import Survey
from fullconv.data.labels import Kind, LabelFormat
from fullconv.data.pairing import Pairing
from fullconv.errors import DataError

_SEPARATORS = "_-. "


def decide_masks(surveys: Sequence[Survey], pairing: Pairing, naming: Naming, forced: Kind | None) -> Decision:
    """One class per mask folder, prefix or suffix; what no mask covers is background.

    Args:
        surveys: what each label file holds.
        pairing: images with their label files, and what tells the classes of these.
        naming: the class file: where its names are those of the masks, it gives their order, ids and colours.

    Raises:
        DataError: the files of one image are no binary masks, or nothing tells their classes.
    """
    image, paths = next(
        (place, paths)
        for place, paths in pairing.labels.items()
        if len(paths) == max(len(paths) for paths in pairing.labels.values())
    )
    if forced not in (None, "masks"):
        raise DataError(
            f"has {len(paths)} label files ({', '.join(path.name for path in paths[:4])}) where {forced!r} needs one",
            where=image.path,
            remedy="give the folder with the label files to use",
        )
    if pairing.masks_by is None:
        raise DataError(
            f"has {counted(len(paths), 'label file')} and nothing tells the classes of masks "
            f"({', '.join(path.name for path in paths[:4])})",
            where=image.path,
            remedy="give masks of one class the same suffix or folder, or give the folder with the labels to use",
        )
    for survey in surveys:
        two_commonest = int(np.sort(survey.pixels)[-2:].sum())
        if len(survey.codes) > 1 and (0 not in survey.codes or two_commonest < 0.9 * survey.pixels.sum()):
            raise DataError(
                f"holds {survey.distinct} values and is no binary mask, but images have up to {len(paths)} label files",
                where=survey.path,
                remedy="give the folder with the one kind of labels to use",
            )
    titles = {name: name.strip(_SEPARATORS) or name for name in pairing.mask_names}
    order = {entry.name.lower(): place for place, entry in enumerate(naming.entries)}
    known = {entry.name.lower(): entry for entry in naming.entries}
    names = sorted(titles, key=lambda name: (order.get(titles[name].lower(), len(order)), titles[name]))
    ids = {entry.name.lower(): number for number, entry in naming.ids.items()}
    taken = {ids[titles[name].lower()] for name in names if titles[name].lower() in ids} | {0}
    codes: dict[str, int] = {}
    for name in names:
        given = ids.get(titles[name].lower(), 0)
        codes[name] = given or next(number for number in range(1, 65536) if number not in taken)
        taken.add(codes[name])
    background = ClassEntry("background", 0, (0, 0, 0))
    entries = (
        known.get("background", background) if ids.get("background") == 0 else background,
        *(
            ClassEntry(
                titles[name],
                codes[name],
                *((entry.color, entry.ignored) if (entry := known.get(titles[name].lower())) else ()),
            )
            for name in names
        ),
    )
    explanation = (
        f"The labels are binary masks: up to {counted(len(paths), 'file')} per image, one per class, told apart by "
        f"their {pairing.masks_by}; what none covers is background."
    )
    table = table_by_id([], Naming(entries, naming.source, naming.ignore))
    format = LabelFormat(kind="masks", explanation=explanation, names=codes, masks_by=pairing.masks_by)
    source = naming.source if set(known) & {title.lower() for title in titles.values()} else ""
    guessed = forced is None and not pairing.several
    return Decision(format, table, source, (_single_note(pairing),) if guessed else ())


def _single_note(pairing: Pairing) -> str:
    return (
        f"each image has one binary label, and their {pairing.masks_by} was taken for the class "
        f"({', '.join(pairing.mask_names[:4])}); if all show the same class, say --format binary"
    )
