"""Where jobs write what they say, and the last of it."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from fullconv.workspace import Workspace

TAIL_LINES = 20
TAIL_BYTES = 16_384


def log_path(home: Workspace, job: int) -> Path:
    """The log file of a job."""
    return home.jobs / f"{job}.log"


def last_lines(path: Path, lines: int = TAIL_LINES) -> str:
    """The end of a log; nothing where there is none."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    whole = text.splitlines() if size <= TAIL_BYTES else text.splitlines()[1:]
    return "\n".join(whole[-lines:])


def read_from(path: Path, offset: int, limit: int = 1_000_000) -> tuple[str, int]:
    """What a log holds from a place on, and the place where the next reading begins.

    A letter of which only some bytes are there yet is left for the next time.
    """
    try:
        with path.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(min(offset, end))  # file systems refuse places that are far away
            content = stream.read(limit)
    except FileNotFoundError:
        return "", offset
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = decoder.decode(content)
    return text, offset + len(content) - len(decoder.getstate()[0])
