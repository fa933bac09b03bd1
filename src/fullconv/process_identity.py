"""Which process it is: numbers of processes are given again, and clocks are set."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import psutil

_STAT = "/proc/{}/stat"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_BEGAN = 19
"""Where it stands, behind the name of the program: ticks from the start of the system to that of the process."""


def identity_of(process: int) -> str | None:
    """What tells a process from all others that have or had its number, whatever the clock shows.

    Args:
        process: its number, on this machine.

    Returns:
        On Linux, which start of the system it belongs to, and when it began after that; None elsewhere, and where there
        is no such process.

    >>> import os
    >>> identity_of(os.getpid()) == identity_of(os.getpid()), identity_of(2**22 + 1)
    (True, None)
    """
    boot = _boot()
    if boot is None:
        return None
    try:
        with open(_STAT.format(process), "rb") as stream:  # noqa: PTH123 - a look at a thousand runs is as many of these
            told = stream.read()
    except OSError:
        return None
    return f"{boot}.{int(told.rpartition(b')')[2].split()[_BEGAN])}"


def process_lives(process: int, started: float, identity: str | None = None) -> bool:
    """Whether a process of this machine is still the one that began then, and not another that was given its number.

    Args:
        process: its number.
        started: seconds since 1970; asked only where nothing else is known, since the clock may have been set.
        identity: of the process, as `identity_of` gave it.

    >>> own = psutil.Process()
    >>> process_lives(own.pid, own.create_time()), process_lives(own.pid, 12345.0)
    (True, False)
    >>> process_lives(own.pid, 12345.0, identity_of(own.pid)), process_lives(own.pid, own.create_time(), "another")
    (True, False)
    """
    try:
        found = psutil.Process(process)
        same = abs(found.create_time() - started) < 1.0 if identity is None else identity_of(process) == identity
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@cache
def _boot() -> str | None:
    try:
        return _BOOT.read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None
