"""REST: the machine and the server."""

from __future__ import annotations

from fastapi import APIRouter

from fullconv.workbench.api.access import Bench
from fullconv.workbench.services.system import System, system_now

router = APIRouter(tags=["system"])


@router.get("/system")
def read_system(bench: Bench) -> System:
    """Processor, memory, disk and graphics cards now; versions; what the server allows."""
    return system_now(bench)
