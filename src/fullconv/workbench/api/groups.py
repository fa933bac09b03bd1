"""REST: groups of runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from fullconv.workbench.api.access import Bench
from fullconv.workbench.services import groups as service
from fullconv.workbench.services.groups import GroupEntry, GroupView

router = APIRouter(prefix="/groups", tags=["runs"])
Name = Annotated[str, Path(description="Of the group.", max_length=200, examples=["streets-seed"])]


@router.get("")
def list_groups(bench: Bench) -> list[GroupEntry]:
    """Groups of runs, by name."""
    return service.list_groups(bench)


@router.get("/{name}")
def read_group(bench: Bench, name: Name) -> GroupView:
    """A group: its runs with their settings and scores, mean and spread, what is missing, the ensemble."""
    return service.group_of(bench, name)
