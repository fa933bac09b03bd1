"""Dataset descriptions that visitors name: such a file may name files of its own, and those must be allowed, too."""

from __future__ import annotations

import os
from pathlib import Path

from fullconv.data.description import DatasetDescription
from fullconv.errors import DataError
from fullconv.files import read_document
from fullconv.plain_yaml import refuse_references
from fullconv.workbench.refusals import Forbidden, TooLarge
from fullconv.workbench.security.paths import allowed_path, is_allowed
from fullconv.workbench.settings import ServerSettings

LARGEST = 64 * 2**20
"""Bytes of a description: it is read into memory."""


def allowed_description(settings: ServerSettings, text: str, *, where: str = "dataset") -> Path:
    """The `dataset.yaml` that a visitor named, if it and all files that it names may be used.

    It may lie in an uploaded archive, where anybody can have written it.

    Args:
        text: path of the file. where: the field that holds it, for the message.

    Raises:
        DataError: no path, or no such description.
        Forbidden: it, or an image or label of it, lies outside the allowed folders.
        NotThere: there is no such file.
        TooLarge: no description is as large.
    """
    path = allowed_path(settings, text, kind="file", where=where)
    if path.stat().st_size > LARGEST:
        raise TooLarge("is too large for a description of a dataset", where=where, remedy="give a dataset.yaml")
    try:
        refuse_references(path, largest=LARGEST, error=DataError)
        described = read_document(path, DatasetDescription)
    except DataError as problem:
        raise DataError(problem.problem, where=where, remedy="give the dataset.yaml of a dataset") from None
    root = Path(os.path.realpath(path.parent / described.root))
    files = (file for record in described.samples for file in (record.image, *record.labels))
    for place in (root, *(root / file for file in files)):
        if not is_allowed(settings, Path(os.path.realpath(place))):
            raise Forbidden(
                "names files outside the allowed folders", where=where, remedy="start the workbench with --root FOLDER"
            )
    return path
