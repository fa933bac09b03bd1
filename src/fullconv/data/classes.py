"""The classes of a dataset: names, colours, the ids that its files use, and what is ignored."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

IGNORED_NAMES = frozenset({"void", "ignore", "ignored", "unlabelled", "unlabeled", "undefined", "unknown"})
"""Class names that are ignored unless told otherwise."""


class SegmentationClass(BaseModel):
    """One class.

    Args:
        name: what people call it.
        color: red, green, blue, 0 to 255.
        value: the id that files written by the program bear (the dataset's own id).
        codes: what label files hold for it: ids, or colours packed as 0xRRGGBB. Several where classes were merged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    color: tuple[int, int, int]
    value: int = Field(ge=0, le=65535)
    codes: tuple[int, ...]


class ClassTable(BaseModel):
    """All classes of a dataset, in the order of their contiguous index 0, 1, 2 … inside the program.

    >>> road = SegmentationClass(name="road", color=(128, 64, 128), value=7, codes=(7,))
    >>> sky = SegmentationClass(name="sky", color=(70, 130, 180), value=23, codes=(23,))
    >>> void = SegmentationClass(name="void", color=(0, 0, 0), value=0, codes=(0, 1, 255))
    >>> table = ClassTable(classes=(road, sky), ignored=(void,))
    >>> table.names, table.ignore_index
    (('road', 'sky'), 255)
    >>> table.own_ids(np.array([[0, 1, 255]], dtype=np.uint8))
    array([[ 7, 23,  0]], dtype=uint8)
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ignored_types=(cached_property,),
        json_schema_extra={
            "example": {
                "classes": [
                    {"name": "road", "color": [128, 64, 128], "value": 7, "codes": [7]},
                    {"name": "sky", "color": [70, 130, 180], "value": 23, "codes": [23]},
                ],
                "ignored": [{"name": "void", "color": [0, 0, 0], "value": 0, "codes": [0, 255]}],
            }
        },
    )

    classes: tuple[SegmentationClass, ...] = Field(min_length=1)
    ignored: tuple[SegmentationClass, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> ClassTable:
        names = [entry.name for entry in self.classes]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two classes are named {twice!r}")
        codes = [code for entry in (*self.classes, *self.ignored) for code in entry.codes]
        if len(set(codes)) < len(codes):
            code = next(code for code in codes if codes.count(code) > 1)
            raise ValueError(f"the code {code} stands for two classes")
        return self

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.classes)

    @property
    def ignore_index(self) -> int:
        """What stands for "ignored" inside the program: 255, or 65535 beyond 255 classes."""
        return 255 if len(self.classes) <= 255 else 65535

    @property
    def label_dtype(self) -> np.dtype[np.unsignedinteger]:
        """uint8, or uint16 beyond 255 classes."""
        return np.dtype(np.uint8 if self.ignore_index == 255 else np.uint16)

    @property
    def colors(self) -> npt.NDArray[np.uint8]:
        """(classes, 3) red, green, blue."""
        return np.array([entry.color for entry in self.classes], dtype=np.uint8)

    @property
    def ignore_value(self) -> int:
        """The dataset's own id for ignored pixels; where it has none, the highest free id from 255 down."""
        if self.ignored:
            return self.ignored[0].value
        taken = {entry.value for entry in self.classes}
        free = (value for value in range(255, -1, -1) if value not in taken)
        return next(free, 65535)

    def own_ids(self, labels: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
        """Contiguous indices (H, W), ignore included → the dataset's own ids, uint8 where they fit, else uint16."""
        values = np.array([*(entry.value for entry in self.classes), self.ignore_value])
        table = np.full(self.ignore_index + 1, values[-1], dtype=np.uint8 if values.max() <= 255 else np.uint16)
        table[: len(self.classes)] = values[:-1]
        return np.asarray(table[labels])

    def palette(self) -> list[int]:
        """768 numbers for a PNG palette by own id; what is no class is white, as undefined pixels are in VOC."""
        colors = np.full((256, 3), 255, dtype=np.uint8)
        for entry in (*self.ignored, *self.classes):
            if entry.value <= 255:
                colors[entry.value] = entry.color
        return [int(channel) for channel in colors.ravel()]
