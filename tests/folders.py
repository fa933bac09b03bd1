"""Small sets of images and labels on disk, for tests."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

COLORS = np.array([[0, 0, 0], [128, 64, 128], [70, 130, 180], [220, 20, 60]], dtype=np.uint8)
NAMES = ("background", "road", "sky", "rider")


def picture(number: int, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    """(H, W, 3) uint8 noise, another for every number."""
    return np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)


def label(number: int, size: tuple[int, int] = (24, 32), classes: int = 4) -> np.ndarray:
    """(H, W) uint8 ids: rectangles of all classes at places that the number tells."""
    random = np.random.default_rng(number)
    ids = np.zeros(size, dtype=np.uint8)
    for value in range(1, classes):
        height, width = size[0] // 3, size[1] // 3
        top, left = random.integers(0, size[0] - height), random.integers(0, size[1] - width)
        ids[top : top + height, left : left + width] = value
    return ids


def class_file(root: Path, names: tuple[str, ...] = NAMES) -> Path:
    """classes.txt with ids and colours."""
    path = root / "classes.txt"
    rows = (f"{number} {name} {' '.join(map(str, COLORS[number]))}" for number, name in enumerate(names))
    path.write_text("# index name red green blue\n" + "\n".join(rows) + "\n")
    return path


def save_label(path: Path, ids: np.ndarray, kind: str = "ids") -> None:
    """An id map as "ids", "colors" or "palette"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "colors":
        Image.fromarray(COLORS[ids]).save(path)
        return
    image = Image.fromarray(ids)
    if kind == "palette":
        image.putpalette(COLORS.tobytes())
    image.save(path)


def write_set(
    root: Path,
    count: int = 12,
    *,
    kind: str = "ids",
    splits: Mapping[str, int] | None = None,
    size: tuple[int, int] = (24, 32),
    classes: int = 4,
    names: bool = True,
) -> Path:
    """A sound set: images/ and labels/, below train/val/test where `splits` says how many of each.

    Returns:
        The root.
    """
    number = 0
    for split, images in (splits or {"": count}).items():
        folder = root / split
        (folder / "images").mkdir(parents=True, exist_ok=True)
        for _ in range(images):
            Image.fromarray(picture(number, size)).save(folder / "images" / f"{number:03}.png")
            save_label(folder / "labels" / f"{number:03}.png", label(number, size, classes), kind)
            number += 1
    if names:
        class_file(root, NAMES[:classes])
    return root


def write_grey_png(
    path: Path,
    levels: np.ndarray,
    bits: int,
    *,
    claimed: tuple[int, int] | None = None,
    repeat: bool = False,
) -> None:
    """A grey PNG of 1, 2, 4 or 8 bits; `claimed` writes another (height, width) into its header."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = claimed or levels.shape
    spread = np.unpackbits(levels[:, :, None], axis=2)[:, :, 8 - bits :].reshape(len(levels), -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(spread, axis=1))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = zlib.compress(rows * (50 if repeat else 1))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
