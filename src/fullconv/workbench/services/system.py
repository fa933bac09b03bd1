"""The machine as it is now."""

from __future__ import annotations

import platform
import shutil

import psutil
import torch
from pydantic import BaseModel, ConfigDict

from fullconv._version import VERSION
from fullconv.workbench.workbench import Workbench


class Card(BaseModel):
    """A graphics card.

    Args:
        name: of the model. memory, memory_used: bytes.
    """

    name: str
    memory: int
    memory_used: int


class System(BaseModel):
    """The machine and the server.

    Args:
        version: of FullConv. python, torch: versions.
        workspace: its folder.
        cores: that the server may use. cpu: share of them that is busy, 0 to 1.
        memory, memory_used, disk, disk_used: bytes; the disk is the workspace's.
        cards: graphics cards.
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
                "cards": [],
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
        cards=_cards(),
        read_only=bench.settings.read_only,
        allow_code=bench.settings.allow_code,
    )


def _cards() -> tuple[Card, ...]:
    if not torch.cuda.is_available():
        return ()
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found.append(Card(name=torch.cuda.get_device_name(index), memory=total, memory_used=total - free))
    return tuple(found)
