"""Regular expressions of people, searched in a process of their own: some take longer than a life."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fullconv.errors import DataError

SECONDS = 10.0
"""What a pattern may take over all names."""
_WHERE = "--group-by"


def found_by(pattern: str, keys: Sequence[str], *, seconds: float | None = None) -> list[str | None]:
    """What a pattern finds in each key: the captured parts joined by "/", where it captures any; None where nothing.

    Without keys, only whether it is a regular expression is told.

    Args:
        pattern: a regular expression.
        keys: names of images.
        seconds: that it may take; `SECONDS` if not given.

    Raises:
        DataError: the pattern is no regular expression, or takes too long or too much memory.

    >>> found_by(r"seq(\\d)", ["seq1/001", "other"])
    ['1', None]
    """
    limit = SECONDS if seconds is None else seconds
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("pattern_process.py"))]
    try:
        done = subprocess.run(
            command,
            input=json.dumps([pattern, list(keys), limit]).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limit,
            check=True,
        )
        answer = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        remedy = "write it without repetitions within repetitions"
        raise DataError(f"{pattern!r} takes too long", where=_WHERE, remedy=remedy) from None
    if isinstance(answer, str):
        remedy = "see docs.python.org/3/library/re.html for how they are written"
        raise DataError(f"{pattern!r} is no regular expression ({answer})", where=_WHERE, remedy=remedy)
    found: list[str | None] = answer
    return found
