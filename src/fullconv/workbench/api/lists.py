"""REST: what the first page shows, and what can be done there to several things at once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.examples import HOME, OUTCOMES, PAGE, VALUES, shows
from fullconv.workbench.catalogue import Kind
from fullconv.workbench.services import selection as service
from fullconv.workbench.services.home import Home, home_now
from fullconv.workbench.services.listing import Listing, Page, listed, values_of
from fullconv.workbench.services.selection import Outcome, Selection

router = APIRouter(tags=["home"])


@router.get("/home", responses=shows(HOME))
def read_home(bench: Bench) -> Home:
    """The machine, what runs and waits, what ended lately, and how much there is."""
    return home_now(bench)


@router.get("/lists/{kind}", responses=shows(PAGE))
def read_list(bench: Bench, kind: Kind, wanted: Annotated[Listing, Query()]) -> Page:
    """Datasets, runs or models: sorted, filtered, a part at a time."""
    return listed(bench, kind, wanted)


@router.get("/lists/{kind}/values", responses=shows(VALUES))
def read_values(bench: Bench, kind: Kind) -> dict[str, list[str]]:
    """What such a list can be filtered by: states, datasets, groups and tags that occur."""
    return values_of(bench, kind)


@router.post("/selections", responses=shows(OUTCOMES))
def act_on_selection(bench: Bench, selection: Selection) -> list[Outcome]:
    """Abort, delete, tag or untag several things; every one that was refused says why."""
    return service.done_to(bench, selection)
