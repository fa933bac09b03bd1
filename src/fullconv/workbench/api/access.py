"""What every route gets handed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from fullconv.workbench.workbench import Workbench


def _bench(request: Request) -> Workbench:
    bench: Workbench = request.app.state.bench
    return bench


Bench = Annotated[Workbench, Depends(_bench)]
"""The workbench that a request is about."""
