"""Images to be predicted, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from fullconv.prediction.model import Model
from fullconv.workbench.security.pictures import checked_image, read_checked
from fullconv.workbench.settings import Limits

NAMELESS = "image"
LONGEST = 200
"""Bytes of a name: what is written beside an image adds to it, and file systems take 255."""


@dataclass(frozen=True)
class Upload:
    """A file that came with a request.

    Args:
        name: as the visitor calls it, without folders.
        path: where it lies until the request is answered.
    """

    name: str
    path: Path

    def decoded_bytes(self, limits: Limits) -> int:
        """What its pixels will take, as its header tells.

        Raises:
            DataError: it is no image that can be read.
            TooLarge: it has more pixels than are taken.
        """
        return checked_image(self.path, limits, where=self.name).nbytes

    def pixels_for(self, model: Model, limits: Limits) -> npt.NDArray[Any]:
        """(H, W, C) of the image as a model takes it.

        Raises:
            DataError: it is no image that can be read, or has bands or values that the model does not take.
            TooLarge: it has more pixels than are taken.
        """
        return model.checked(read_checked(self.path, limits, where=self.name), where=self.name)


def plain_name(given: str | None) -> str:
    """What a visitor calls a file, without folders; what cannot be shown is left out, and what is too long cut.

    >>> plain_name("C:\\\\photos\\\\cat.jpg"), plain_name("../../etc/passwd"), plain_name(None)
    ('cat.jpg', 'passwd', 'image')
    """
    last = (given or "").replace("\\", "/").rpartition("/")[2]
    shown = "".join(letter for letter in last if letter.isprintable()).strip()
    if len(shown.encode()) > LONGEST:
        end = Path(shown).suffix if len(Path(shown).suffix) <= 10 else ""
        shown = shown.encode()[: LONGEST - len(end.encode())].decode(errors="ignore").strip() + end
    return NAMELESS if shown in ("", ".", "..") else shown
