"""Label images in every format, and small sets of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from folders import COLORS, label, picture
from fullconv.data.labels import LabelReader
from fullconv.data.scan import Scan

IDS = [label(number) for number in range(4)]
Save = Callable[[Path, np.ndarray], None]


def grey(path: Path, ids: np.ndarray) -> None:
    Image.fromarray(ids).save(path)


def palette(path: Path, ids: np.ndarray, colors: np.ndarray = COLORS) -> None:
    image = Image.fromarray(ids)
    image.putpalette(colors.tobytes())
    image.save(path)


def rgb(path: Path, ids: np.ndarray) -> None:
    Image.fromarray(COLORS[ids]).save(path)


def rgba(path: Path, ids: np.ndarray) -> None:
    Image.fromarray(np.dstack([COLORS[ids], np.full(ids.shape, 255, dtype=np.uint8)])).save(path)


def levels(*values: int) -> Save:
    return lambda path, ids: Image.fromarray(np.array(values, dtype=np.uint8)[ids]).save(path)


def write(root: Path, save: Save, ids: list[np.ndarray] = IDS, *, classes: str = "", suffix: str = ".png") -> Path:
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for number, own in enumerate(ids):
        Image.fromarray(picture(number, own.shape)).save(root / "images" / f"{number}.png")
        save(root / "labels" / f"{number}{suffix}", own)
    if classes:
        (root / "classes.txt").write_text(classes)
    return root


def read_all(found: Scan) -> list[np.ndarray]:
    reader = LabelReader(found.format, found.classes)
    return [reader.read(sample) for sample in found.samples]


def two(ids: np.ndarray) -> np.ndarray:
    return (ids > 0).astype(np.uint8)


def three(ids: np.ndarray) -> np.ndarray:
    return np.minimum(ids, 2)


def sixteen(path: Path, ids: np.ndarray) -> None:
    Image.fromarray(np.array([0, 300, 301, 40_000], dtype=np.uint16)[ids]).save(path)


def sixteen_tiff(path: Path, ids: np.ndarray) -> None:
    tifffile.imwrite(path, np.array([0, 300, 301, 40_000], dtype=np.uint16)[ids], compression="zlib")


def synthia(path: Path, ids: np.ndarray) -> None:
    instances = np.arange(ids.size, dtype=np.uint16).reshape(ids.shape)
    path.write_bytes(imagecodecs.png_encode(np.dstack([ids.astype(np.uint16), instances, np.zeros_like(instances)])))
