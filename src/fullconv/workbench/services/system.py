"""The machine as it is now."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Collection
from functools import cache
from importlib import import_module
from typing import Any

import psutil
import torch
from pydantic import BaseModel, ConfigDict

from fullconv._version import VERSION
from fullconv.workbench.workbench import Workbench


class Card(BaseModel):
    """A graphics card.

    Args:
        name: of the model. memory, memory_used: bytes.
        load: share of the last moment in which it computed, 0 to 1; none where the card does not say.
    """

    name: str
    memory: int
    memory_used: int
    load: float | None = None


class System(BaseModel):
    """The machine and the server.

    Args:
        version: of FullConv. python, torch: versions.
        workspace: its folder.
        cores: that the server may use. cpu: share of them that is busy, 0 to 1.
        memory, memory_used, disk, disk_used: bytes; the disk is the workspace's.
        cards: graphics cards, as far as the driver tells through the package nvidia-ml-py; none without it.
        read_only, allow_code: how the server was started.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "version": VERSION,
                "python": "3.12.1",
                "torch": "2.11.0",
                "workspace": "/home/ada/fullconv",
                "cores": 8,
                "cpu": 0.31,
                "memory": 34359738368,
                "memory_used": 9126805504,
                "disk": 1000204886016,
                "disk_used": 412316860416,
                "cards": [{"name": "NVIDIA L4", "memory": 24152899584, "memory_used": 3221225472, "load": 0.87}],
                "read_only": False,
                "allow_code": False,
            }
        }
    )

    version: str
    python: str
    torch: str
    workspace: str
    cores: int
    cpu: float
    memory: int
    memory_used: int
    disk: int
    disk_used: int
    cards: tuple[Card, ...]
    read_only: bool
    allow_code: bool


def system_now(bench: Workbench) -> System:
    """What the machine does at this moment."""
    memory = psutil.virtual_memory()
    bench.home.root.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(bench.home.root)
    return System(
        version=VERSION,
        python=platform.python_version(),
        torch=torch.__version__,
        workspace=str(bench.home.root),
        cores=len(psutil.Process().cpu_affinity() or [])
        if hasattr(psutil.Process, "cpu_affinity")
        else psutil.cpu_count() or 1,
        cpu=psutil.cpu_percent(interval=None) / 100,
        memory=memory.total,
        memory_used=memory.total - memory.available,
        disk=disk.total,
        disk_used=disk.used,
        cards=cards_of(),
        read_only=bench.settings.read_only,
        allow_code=bench.settings.allow_code,
    )


def cards_of(processes: Collection[int] = ()) -> tuple[Card, ...]:
    """The graphics cards on which one of these processes computes, or all of the machine's.

    All too where the driver tells of none, as in a container, where processes bear other numbers. NVIDIA's management
    library is asked: asking PyTorch would take memory on every card for this process.
    """
    try:
        library = _management()
        cards = [library.nvmlDeviceGetHandleByIndex(index) for index in range(library.nvmlDeviceGetCount())]
        used = [card for card in cards if processes and not _computing(library, card).isdisjoint(processes)]
        return tuple(_card(library, card) for card in used or cards)
    except Exception:  # the package or the driver is not there, or has gone away
        return ()


def _computing(library: Any, card: Any) -> set[int]:
    """Processes that compute on a card, as far as it tells."""
    try:
        return {found.pid for found in library.nvmlDeviceGetComputeRunningProcesses(card)}
    except library.NVMLError:
        return set()


@cache
def _management() -> Any:
    library = import_module("pynvml")
    library.nvmlInit()
    return library


def _card(library: Any, handle: Any) -> Card:
    name, memory = library.nvmlDeviceGetName(handle), library.nvmlDeviceGetMemoryInfo(handle)
    try:
        load = library.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    except library.NVMLError:  # parts of cards do not say
        load = None
    told = name.decode() if isinstance(name, bytes) else str(name)
    return Card(name=told, memory=memory.total, memory_used=memory.used, load=load)
