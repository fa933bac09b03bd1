"""Label files of any known format → contiguous class ids, by one table lookup."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from fullconv.data import polygons
from fullconv.data.classes import ClassTable
from fullconv.data.images import ImageInfo, image_info, read_stored, upright
from fullconv.data.label_files import NO_CODE, color_codes, level_codes, storage_of, unpack_color
from fullconv.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from fullconv.data.scan import Sample

Kind = Literal["ids", "palette", "colors", "binary", "codes", "ids16", "masks", "coco", "labelme", "synthia"]
KINDS: tuple[str, ...] = get_args(Kind)
"""Names by which a label format can be forced."""


class LabelFormat(BaseModel):
    """How the label files of a dataset are to be read.

    Args:
        kind: "ids" 8-bit grey class ids; "palette" indices of a palette PNG; "colors" RGB or RGBA; "binary" two levels;
            "codes" grey levels that are no ids; "ids16" ids of more than 8 bits; "masks" one binary file per class;
            "coco" and "labelme" polygons; "synthia" ids in one of several 16-bit channels.
        explanation: one sentence on why this format was chosen.
        channel: the channel that holds the ids where files have several.
        names: masks: folder name, prefix or suffix → code; labelme: label → code.
        masks_by: what tells the class of a mask file.
        background: code of the pixels that no mask or polygon covers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    explanation: str
    channel: int = Field(default=0, ge=0)
    names: dict[str, int] = Field(default_factory=dict)
    masks_by: Literal["folder", "prefix", "suffix"] | None = None
    background: int = Field(default=0, ge=0, le=65535)


class LabelReader:
    """Reads the label of a sample; can be sent to worker processes.

    Args:
        format: how the files are to be read.
        classes: which codes stand for which class.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from fullconv.data.classes import SegmentationClass
    >>> from fullconv.data.scan import Sample
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("a.jpg", "a.png"):
    ...     Image.fromarray(np.array([[0, 7], [7, 255]], dtype=np.uint8)).save(folder / name)
    >>> road = SegmentationClass(name="road", color=(128, 64, 128), value=7, codes=(7,))
    >>> sky = SegmentationClass(name="sky", color=(70, 130, 180), value=0, codes=(0,))
    >>> void = SegmentationClass(name="void", color=(0, 0, 0), value=255, codes=(255,))
    >>> reader = LabelReader(
    ...     LabelFormat(kind="ids", explanation="small ids"), ClassTable(classes=(sky, road), ignored=(void,))
    ... )
    >>> reader.read(Sample("a", folder / "a.jpg", (folder / "a.png",), None))
    array([[  0,   1],
           [  1, 255]], dtype=uint8)
    """

    def __init__(self, format: LabelFormat, classes: ClassTable) -> None:
        self.format = format
        self.classes = classes

    def __getstate__(self) -> dict[str, Any]:
        return {"format": self.format, "classes": self.classes}

    def raw(self, sample: Sample) -> npt.NDArray[Any]:
        """The codes of a label as its files hold them, turned upright like the image.

        Returns:
            (H, W) integers: ids, levels, or 0xRRGGBB; -1 where there is no label at all.

        Raises:
            DataError: a file is missing, broken or of another kind, or its orientation contradicts the image's.
        """
        image = image_info(sample.image)
        if not sample.labels:
            return np.full((image.height, image.width), NO_CODE, dtype=np.int32)
        match self.format.kind:
            case "coco":
                return self._facing(polygons.draw_coco(sample, self.format.background, image), 1, image, sample)
            case "labelme":
                codes = polygons.draw_labelme(sample.labels[0], self.format.names, self.format.background, image)
                return self._facing(codes, 1, image, sample)
            case "masks":
                return self._masks(sample, image)
            case _:
                stored = read_stored(sample.labels[0])
                if self.format.kind == "colors":
                    codes = color_codes(stored, sample.labels[0])
                else:
                    codes = level_codes(stored, sample.labels[0], self.format.channel)
                return self._facing(codes, stored.orientation, image, sample)

    def read(self, sample: Sample, *, unknown: Literal["error", "ignore"] = "error") -> npt.NDArray[np.unsignedinteger]:
        """The label as contiguous class ids.

        Args:
            sample: an image with its label files.
            unknown: what codes that are no class lead to: an error, or ignored pixels.

        Returns:
            (H, W) in the dtype of the class table; `ignore_index` where ignored.

        Raises:
            DataError: as `raw`; or codes that are no class.
        """
        raw = self.raw(sample)
        labels = self.contiguous(raw)
        if unknown == "error":
            suspects = raw[labels == self.classes.ignore_index]
            if suspects.size and not self._lookup(self._known, suspects).all():
                code, (count, (row, column)) = next(iter(self.unknown_codes(raw).items()))
                raise DataError(
                    f"{self.describe_code(code)} is no class ({count} pixels, the first at row {row}, column {column})",
                    where=sample.labels[0] if sample.labels else sample.image,
                    remedy="add it to the class file, or ignore or merge it",
                )
        return labels

    def contiguous(self, raw: npt.NDArray[Any]) -> npt.NDArray[np.unsignedinteger]:
        """Codes as from `raw` → contiguous class ids; codes that are no class are ignored."""
        return self._lookup(self._table, raw)

    def unknown_codes(self, raw: npt.NDArray[Any]) -> dict[int, tuple[int, tuple[int, int]]]:
        """Codes that are no class: code → (pixels, (row, column) of the first), commonest first."""
        return self.unknown_summary(raw)[0]

    def unknown_summary(
        self, raw: npt.NDArray[Any], most: int | None = None
    ) -> tuple[dict[int, tuple[int, tuple[int, int]]], int, int]:
        """The commonest codes that are no class as from `unknown_codes`, and how many codes and pixels all of them are.

        Args:
            raw: (H, W) codes as from `raw`.
            most: how many codes to list; None lists all.
        """
        strange = np.flatnonzero(~self._lookup(self._known, raw))
        if strange.size == 0:
            return {}, 0, 0
        codes, first, counts = np.unique(raw.ravel()[strange], return_index=True, return_counts=True)
        rows, columns = np.divmod(strange[first], raw.shape[1])
        order = np.argsort(-counts, kind="stable")[:most]
        listed = {int(codes[n]): (int(counts[n]), (int(rows[n]), int(columns[n]))) for n in order}
        return listed, codes.size, strange.size

    def describe_code(self, code: int) -> str:
        """A code in words: "id 7", "colour (128, 64, 128)"."""
        if self.format.kind == "colors":
            return f"colour {unpack_color(code)}"
        return f"grey level {code}" if self.format.kind in ("binary", "codes") else f"id {code}"

    @cached_property
    def _table(self) -> npt.NDArray[np.unsignedinteger]:
        """Code → class id; the last entry is for -1, the one before for codes beyond the table."""
        table = np.full(self._table_size, self.classes.ignore_index, dtype=self.classes.label_dtype)
        for index, entry in enumerate(self.classes.classes):
            table[list(entry.codes)] = index
        return table

    @cached_property
    def _known(self) -> npt.NDArray[np.bool_]:
        """Code → whether it is a class or ignored."""
        known = np.zeros(self._table_size, dtype=np.bool_)
        for entry in (*self.classes.classes, *self.classes.ignored):
            known[list(entry.codes)] = True
        known[NO_CODE] = True
        return known

    @property
    def _table_size(self) -> int:
        return (1 << 24 if self.format.kind == "colors" else 1 << 16) + 2

    def _lookup(self, table: npt.NDArray[Any], raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if raw.dtype not in (np.uint8, np.uint16) and self.format.kind != "colors":
            beyond = len(table) - 2
            raw = np.where((raw < NO_CODE) | (raw > beyond), beyond, raw)
        return np.asarray(table[raw])

    def _masks(self, sample: Sample, image: ImageInfo) -> npt.NDArray[Any]:
        codes: npt.NDArray[Any] | None = None
        for path in sorted(sample.labels, key=self.mask_code):
            stored = read_stored(path)
            levels = color_codes(stored, path) if storage_of(stored) == "color" else level_codes(stored, path)
            levels = self._facing(levels, stored.orientation, image, sample)
            if codes is None:
                codes = np.full(levels.shape, self.format.background, dtype=np.int32)
            if levels.shape != codes.shape:
                raise DataError(
                    f"is {levels.shape[1]}×{levels.shape[0]}, the other masks of this image are "
                    f"{codes.shape[1]}×{codes.shape[0]}",
                    where=path,
                    remedy="make the masks of one image equal in size",
                )
            codes[levels > levels.max() // 2] = self.mask_code(path)
        assert codes is not None
        return codes

    def mask_code(self, path: Path) -> int:
        """The code of the class that a mask file belongs to, by its folder, prefix or suffix.

        Raises:
            DataError: the file belongs to no class.
        """
        names = self.format.names
        if self.format.masks_by == "folder":
            found = next((part for part in reversed(path.parts[:-1]) if part in names), None)
        elif self.format.masks_by == "prefix":
            found = max((name for name in names if path.stem.startswith(name)), key=len, default=None)
        else:
            found = max((name for name in names if path.stem.endswith(name)), key=len, default=None)
        if found is None:
            raise DataError("belongs to no class", where=path, remedy=f"classes are: {', '.join(names)}")
        return names[found]

    def _facing(self, codes: npt.NDArray[Any], orientation: int, image: ImageInfo, sample: Sample) -> npt.NDArray[Any]:
        """Turn a label the way its image is turned."""
        if orientation == image.orientation:
            return upright(codes, orientation)
        shown, stored = (image.height, image.width), (image.width, image.height)
        if orientation == 1 and image.orientation >= 5 and image.height != image.width:
            # Only the sizes tell whether the label was drawn on the picture as shown or as stored.
            if codes.shape == shown:
                return codes
            if codes.shape == stored:
                return upright(codes, image.orientation)
            return codes
        raise DataError(
            f"its EXIF orientation is {orientation}, the image's is {image.orientation}, and nothing tells which holds",
            where=sample.labels[0],
            remedy="save the image upright without EXIF orientation (for example: mogrify -auto-orient)",
        )
