"""Ways to break a sound set of images and labels: the register, and what many of them use."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], list[str] | None]
"""Breaks a sound set below a folder; returns other arguments than the folder, where they are needed."""

DAMAGES: dict[str, tuple[Damage, str]] = {}


def damage(sentence: str) -> Callable[[Damage], Damage]:
    """Register a way to break a set, with a part of the sentence that must be printed."""

    def register(break_it: Damage) -> Damage:
        DAMAGES[break_it.__name__] = (break_it, sentence)
        return break_it

    return register


def options(root: Path, *more: str) -> list[str]:
    return [str(root), *more]


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def truncate(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def replace_labels(root: Path, write: Callable[[int, Path], None]) -> None:
    """Write all labels anew; `write` gets the number and the path without suffix."""
    for number in range(12):
        (root / "labels" / f"{number:03}.png").unlink()
        write(number, root / "labels" / f"{number:03}")
