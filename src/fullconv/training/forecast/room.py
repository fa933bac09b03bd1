"""How much memory there is for a run: of the machine, of the container that it is in, or of the GPU."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 2**60
SHARE = 0.9
"""Of what is free, what a plan may count on: other programs breathe, and a forecast errs by some percent."""


def free_memory(device: str) -> int:
    """Bytes that a run may take now on "cpu" or "cuda", without pushing anything out.

    >>> 0 < free_memory("cpu") <= psutil.virtual_memory().total
    True
    """
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return min(int(psutil.virtual_memory().available), _left_in_container(CGROUP))


def _left_in_container(root: Path) -> int:
    """What the control group still allows; file pages that it can drop count as free."""
    for limit, used, statistics, droppable in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        try:
            most = (root / limit).read_text().strip()
            taken = int((root / used).read_text())
            words = dict(line.split(" ", 1) for line in (root / statistics).read_text().splitlines())
        except (OSError, ValueError):
            continue
        if most != "max" and int(most) < _UNLIMITED:
            return max(0, int(most) - taken + int(words.get(droppable, 0)))
    return _UNLIMITED
