"""COCO and LabelMe annotations → integer codes."""

from __future__ import annotations

import base64
import json
import re
import struct
import threading
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from fullconv.data.images import ImageInfo
from fullconv.errors import DataError

if TYPE_CHECKING:
    from fullconv.data.scan import Sample

_loading = threading.Lock()


@dataclass(frozen=True)
class CocoFile:
    """A COCO annotation file, indexed.

    Args:
        path: the file.
        images: its image entries.
        categories: id → the entry of the category.
        annotations: image id → the annotations of that image.
        by_name: file name without folders → image entries.
    """

    path: Path
    images: tuple[dict[str, Any], ...]
    categories: dict[int, dict[str, Any]]
    annotations: dict[Any, list[dict[str, Any]]]
    by_name: dict[str, list[dict[str, Any]]]

    def entry(self, image: Path) -> dict[str, Any] | None:
        """The entry of an image file: by its name and all folders that the entry gives, the longest that fits.

        Where all entries are absolute paths into one folder, that is the folder of another machine and passed over.
        """
        found = self.by_name.get(image.name, [])
        fitting = [entry for entry in found if _ends_with(image, str(entry["file_name"]))]
        if not fitting and self.from_elsewhere:
            fitting = found
        longest = max((len(_folders(str(entry["file_name"]))) for entry in fitting), default=0)
        best = [entry for entry in fitting if len(_folders(str(entry["file_name"]))) == longest]
        return best[0] if len(best) == 1 else None

    @cached_property
    def from_elsewhere(self) -> bool:
        """Whether all entries are absolute paths into one folder."""
        names = [str(entry["file_name"]).replace("\\", "/") for entry in self.images]
        absolute = all(name.startswith("/") or re.match(r"[A-Za-z]:/", name) for name in names)
        return absolute and len({PurePosixPath(name).parent for name in names}) == 1


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError("no such file", where=path, remedy="check the path") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot be read as JSON ({error})", where=path, remedy="replace or remove the file") from error


def load_coco(path: Path) -> CocoFile:
    """Read a COCO file; the last few are kept, since all their images need them.

    Raises:
        DataError: it is no JSON, or an image, category or annotation lacks what it needs.
    """
    with _loading:
        state = path.stat() if path.exists() else None
        return _load_coco(path, None if state is None else (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=4)
def _load_coco(path: Path, _state: object) -> CocoFile:
    return index_coco(path, read_json(path))


def index_coco(path: Path, content: Any) -> CocoFile:
    """Index the content of a COCO file.

    Raises:
        DataError: an image, category or annotation lacks what it needs.
    """
    try:
        images = tuple(content["images"])
        categories = {int(entry["id"]): entry for entry in content["categories"]}
        annotations: dict[Any, list[dict[str, Any]]] = {entry["id"]: [] for entry in images}
        by_name: dict[str, list[dict[str, Any]]] = {}
        for entry in images:
            by_name.setdefault(PurePosixPath(str(entry["file_name"]).replace("\\", "/")).name, []).append(entry)
        for annotation in content["annotations"]:
            if annotation["image_id"] in annotations:
                annotations[annotation["image_id"]].append(annotation)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"is no complete COCO file ({error!s} is missing or wrong)",
            where=path,
            remedy="it needs images (id, file_name), categories (id, name) and annotations (image_id, category_id)",
        ) from error
    return CocoFile(path, images, categories, annotations, by_name)


def draw_coco(sample: Sample, background: int, image: ImageInfo) -> npt.NDArray[np.int32]:
    """Draw the polygons and run lengths of one image of a COCO file; small things lie on top of large ones.

    Args:
        sample: an image with its COCO file.
        background: the code of what no annotation covers.
        image: the size to draw at where the file tells none.

    Returns:
        (H, W) category ids.

    Raises:
        DataError: the image is not in the file, or an annotation cannot be drawn.
    """
    coco = load_coco(sample.labels[0])
    entry = coco.entry(sample.image)
    if entry is None:
        raise DataError(
            f"does not name {sample.image.name}, or names it twice",
            where=coco.path,
            remedy="check its file_name entries",
        )
    height, width = _drawn_size(entry.get("height"), entry.get("width"), image, coco.path)
    codes = np.full((height, width), background, dtype=np.int32)
    # Run lengths are small; masks are as large as the image, so there is only one at a time.
    drawn = []
    for annotation in coco.annotations[entry["id"]]:
        runs = _coco_runs(annotation, height, width, coco)
        if runs is not None:
            drawn.append((int(runs[1::2].sum()), runs, int(annotation["category_id"])))
    for _, runs, category in sorted(drawn, key=lambda part: -part[0]):
        codes[fill_runs(runs, height, width)] = category
    return codes


def _drawn_size(height: Any, width: Any, image: ImageInfo, path: Path) -> tuple[int, int]:
    """The size that a file says its outlines are for, which must be that of the image before anything is drawn.

    Raises:
        DataError: it is another size than the image's, upright or as stored.
    """
    shown = image.height, image.width
    fitting = [shown, shown[::-1]] if image.orientation >= 5 else [shown]
    size = height or shown[0], width or shown[1]
    if size not in fitting:
        raise DataError(
            f"its outlines are for {size[1]}×{size[0]} pixels, the image has {shown[1]}×{shown[0]}",
            where=path,
            remedy="use the images that the outlines were drawn on",
        )
    return int(size[0]), int(size[1])


def _coco_runs(annotation: dict[str, Any], height: int, width: int, coco: CocoFile) -> npt.NDArray[np.int64] | None:
    """Run lengths of one annotation as for `fill_runs`; None where it has a box but no outline."""
    outline = annotation.get("segmentation")
    if not outline:
        return None
    where = f"{coco.path}, annotation {annotation.get('id', '?')}"
    if annotation.get("category_id") not in coco.categories:
        raise DataError(
            f"category {annotation.get('category_id')} is not there", where=where, remedy="add the category"
        )
    try:
        if isinstance(outline, list):
            parts = outline if isinstance(outline[0], list) else [outline]
            if any(len(part) < 6 or len(part) % 2 for part in parts):
                raise DataError(
                    "a polygon needs at least three points x, y", where=where, remedy="mend or remove the annotation"
                )
            runs = coco_mask.merge(coco_mask.frPyObjects(parts, height, width))
        else:
            if list(outline["size"]) != [height, width]:
                raise DataError(
                    f"its run lengths are for {outline['size'][1]}×{outline['size'][0]} pixels, "
                    f"the image has {width}×{height}",
                    where=where,
                    remedy="mend or remove the annotation",
                )
            counts = outline["counts"]
            if isinstance(counts, list):
                return checked_runs(np.asarray(counts, dtype=np.int64), height, width)
            runs = {"counts": counts.encode()}
        return checked_runs(unpack_runs(runs["counts"]), height, width)
    except DataError:
        raise
    except Exception as error:  # pycocotools raises plain Exception on bad run lengths
        raise DataError(
            f"cannot be drawn ({str(error) or type(error).__name__})",
            where=where,
            remedy="mend or remove the annotation",
        ) from error


def unpack_runs(packed: bytes) -> npt.NDArray[np.int64]:
    """COCO's compressed run lengths → (n,) pixels of 0, of 1, of 0 …; five bits a byte, as differences.

    Own code, since pycocotools' decoder trusts its input and warns under NumPy 2.

    >>> unpack_runs(b"52203")
    array([5, 2, 2, 2, 5])
    """
    digits = np.frombuffer(packed, dtype=np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((digits & 32) == 0)
    first = np.concatenate(([0], last + 1))[: len(last)]
    if digits.size == 0 or last.size == 0 or last[-1] != digits.size - 1 or digits.min() < 0 or digits.max() > 63:
        raise ValueError("its compressed run lengths are damaged")
    place = np.arange(digits.size) - np.repeat(first, last - first + 1)
    values = np.add.reduceat((digits & 31) << (5 * place), first)
    values -= np.where(digits[last] & 16, np.int64(1) << (5 * (place[last] + 1)), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return np.asarray(values)


def checked_runs(counts: npt.NDArray[np.int64], height: int, width: int) -> npt.NDArray[np.int64]:
    """The run lengths themselves, where they add up to height × width.

    Raises:
        ValueError: they do not.
    """
    if counts.min(initial=0) < 0 or counts.sum() != height * width:
        raise ValueError("its run lengths do not add up to the image")
    return counts


def fill_runs(counts: npt.NDArray[np.int64], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Run lengths, column after column, beginning with 0 → (H, W).

    >>> fill_runs(np.array([1, 2, 1]), 2, 2).astype(int)
    array([[0, 1],
           [1, 0]])
    """
    counts = checked_runs(counts, height, width)
    inside = np.arange(len(counts)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, counts).reshape(width, height).T)


def _ends_with(image: Path, file_name: str) -> bool:
    wanted = _folders(file_name)
    return list(image.parts[-len(wanted) :]) == wanted


def _folders(file_name: str) -> list[str]:
    return [part for part in PurePosixPath(file_name.replace("\\", "/")).parts if part not in ("/", ".", "..")]


def draw_labelme(path: Path, names: dict[str, int], background: int, image: ImageInfo) -> npt.NDArray[np.int32]:
    """Draw the shapes of a LabelMe file in their order, as LabelMe's own export does.

    Args:
        path: the JSON file.
        names: label → code.
        background: the code of what no shape covers.
        image: the size to draw at where the file tells none.

    Returns:
        (H, W) codes.

    Raises:
        DataError: a label is not among the names, or a shape cannot be drawn.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise DataError("is no LabelMe file: it has no shapes", where=path, remedy="replace or remove the file")
    height, width = _drawn_size(content.get("imageHeight"), content.get("imageWidth"), image, path)
    canvas = Image.new("I", (width, height), background)
    for number, shape in enumerate(content["shapes"], 1):
        where = f"{path}, shape {number}"
        label = str(shape.get("label", "")) if isinstance(shape, dict) else ""
        if label not in names:
            raise DataError(f"{label!r} is no class", where=where, remedy=f"classes are: {', '.join(names)}")
        try:
            _draw_shape(canvas, shape, names[label])
        except Exception as error:  # shapes come from anywhere: short lists, text for numbers, broken pictures
            raise DataError(
                f"cannot be drawn ({str(error) or type(error).__name__})",
                where=where,
                remedy="mend or remove the shape",
            ) from error
    return np.asarray(canvas, dtype=np.int32)


def _draw_shape(canvas: Image.Image, shape: dict[str, Any], code: int) -> None:
    points = [(float(x), float(y)) for x, y in shape["points"]]
    draw = ImageDraw.Draw(canvas)
    match shape.get("shape_type") or "polygon":
        case "polygon":
            if len(points) < 3:
                raise ValueError("a polygon needs at least three points")
            draw.polygon(points, fill=code, outline=code)
        case "rectangle":
            (left, right), (top, bottom) = (sorted(values) for values in zip(*points, strict=True))
            draw.rectangle((left, top, right, bottom), fill=code, outline=code)
        case "circle":
            (x, y), (edge_x, edge_y) = points
            radius = float(np.hypot(edge_x - x, edge_y - y))
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=code, outline=code)
        case "line" | "linestrip":
            draw.line(points, fill=code, width=10)
        case "point" | "points":
            for x, y in points:
                draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=code, outline=code)
        case "mask":
            (left, top), *_ = points
            mask = _embedded_mask(base64.b64decode(shape["mask"]), canvas.height, canvas.width)
            canvas.paste(code, (round(left), round(top)), Image.fromarray(mask))
        case other:
            raise ValueError(f"{other!r} is no shape type")


def _embedded_mask(content: bytes, height: int, width: int) -> npt.NDArray[np.bool_]:
    """(h, w) of a PNG inside a LabelMe file; what its header claims is compared with the image before decoding.

    Raises:
        ValueError: it is no PNG or larger than the image.
    """
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        raise ValueError("its mask is no PNG")
    own_width, own_height = struct.unpack(">II", content[16:24])
    # LabelMe counts both corners of the box in, so a mask may stand out by a pixel.
    if own_height > height + 1 or own_width > width + 1:
        raise ValueError(f"its mask claims {own_width}×{own_height} pixels, the image has {width}×{height}")
    inside = np.asarray(imagecodecs.png_decode(content)) != 0
    if inside.ndim == 3:
        inside = np.any(inside[:, :, : 3 if inside.shape[2] > 2 else 1], axis=2)
    return np.ascontiguousarray(inside)
