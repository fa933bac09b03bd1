"""What computes: the processor or the graphics card by its name, and whether its memory ran out."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

_FACTS = Path("/proc/cpuinfo")


def processor() -> str:
    """The processor by name, with the cores that this process may use.

    >>> processor().endswith((" core", " cores"))
    True
    """
    name = platform.processor() or platform.machine()
    if _FACTS.is_file():
        lines = _FACTS.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(": ")[2].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{name}, {cores} core{'' if cores == 1 else 's'}"


def named(device: torch.device) -> str:
    """A device as people know it: the card's name, or the processor's with its cores.

    >>> named(torch.device("cpu")) == processor()
    True
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def memory_ran_out(problem: BaseException) -> bool:
    """Whether an error says that memory did not suffice: Python's, PyTorch's on a graphics card or on the processor.

    >>> memory_ran_out(RuntimeError("DefaultCPUAllocator: can't allocate memory")), memory_ran_out(ValueError())
    (True, False)
    """
    return isinstance(problem, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(problem)
