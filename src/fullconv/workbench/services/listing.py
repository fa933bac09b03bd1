"""Lists of datasets, runs and models: sorted, filtered and paged by the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, and_, func, or_
from sqlmodel import col, select

from fullconv.workbench.catalogue import Kind
from fullconv.workbench.database import reading
from fullconv.workbench.tables import CatalogueEntry
from fullconv.workbench.workbench import Workbench

SortField = Literal[
    "created", "name", "state", "dataset", "network", "group", "mean_iou", "best_mean_iou", "pixel_accuracy"
]
PackageKind = Literal["model", "run"]


class Listing(BaseModel):
    """What a list shows.

    Args:
        search: part of the name, dataset, network, group or a tag; upper and lower case are the same.
        state, dataset, group, tag: exactly this one.
        sort: by this field; what has no value comes last. descending: the largest first.
        offset, limit: which part of the list.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    search: str = Field(default="", max_length=200)
    state: str | None = Field(default=None, max_length=20)
    dataset: str | None = Field(default=None, max_length=4000)
    group: str | None = Field(default=None, max_length=200)
    tag: str | None = Field(default=None, max_length=40)
    sort: SortField = "created"
    descending: bool = True
    offset: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 50


class Entry(BaseModel):
    """A dataset, run or model in a list.

    Args:
        kind: "dataset", "run", "model" or "weights". name: of its directory.
        created: ISO 8601, UTC.
        state, dataset, network, group: where it has one.
        mean_iou, pixel_accuracy: on the test images. best_mean_iou: on the validation images so far.
        tags: that people gave it.
        facts: everything else; what there is depends on the kind.
        problem: why the directory cannot be read.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "kind": "run",
                "name": "20260102-090000-streets-fcn4s-mobilenet_v2-features",
                "created": "2026-01-02T09:00:00+00:00",
                "state": "done",
                "dataset": "streets",
                "network": "fcn4s-mobilenet_v2-features",
                "group": None,
                "mean_iou": 0.63,
                "best_mean_iou": 0.71,
                "pixel_accuracy": 0.89,
                "tags": ["paper"],
                "facts": {"epoch": 60, "epochs": 60, "progress": 1.0},
                "problem": None,
            }
        }
    )

    kind: Kind
    name: str
    created: str
    state: str | None
    dataset: str | None
    network: str | None
    group: str | None
    mean_iou: float | None
    best_mean_iou: float | None
    pixel_accuracy: float | None
    tags: tuple[str, ...]
    facts: dict[str, Any]
    problem: str | None

    @classmethod
    def of(cls, found: CatalogueEntry) -> Entry:
        """What visitors see of an entry of the catalogue."""
        tags = tuple(tag for tag in found.tags.split("\n") if tag)
        return cls(tags=tags, **found.model_dump(include=set(cls.model_fields) - {"tags"}))


class Page(BaseModel):
    """A part of a list.

    Args:
        entries: the part. total: how many there are in all that fit.
    """

    entries: list[Entry]
    total: int


def listed(bench: Workbench, kind: Kind, wanted: Listing | None = None) -> Page:
    """A part of the list of one kind."""
    return _page(bench, col(CatalogueEntry.kind) == kind, wanted or Listing())


def listed_packages(bench: Workbench, wanted: Listing | None = None, *, kind: PackageKind | None = None) -> Page:
    """A part of the list of all that predicts: models of the store, and runs that have a model.

    Args:
        kind: only these.
    """
    has_model = col(CatalogueEntry.facts)["split"].as_string().is_not(None)
    kinds = {
        "model": col(CatalogueEntry.kind) == "model",
        "run": and_(col(CatalogueEntry.kind) == "run", has_model),
    }
    return _page(bench, or_(*kinds.values()) if kind is None else kinds[kind], wanted or Listing())


def _page(bench: Workbench, which: ColumnElement[bool], wanted: Listing) -> Page:
    conditions = _conditions(which, wanted)
    with reading(bench.engine) as session:
        total = session.exec(select(func.count()).select_from(CatalogueEntry).where(*conditions)).one()
        query: Select[Any] = select(CatalogueEntry).where(*conditions)
        field = col(getattr(CatalogueEntry, wanted.sort))
        order = field.desc().nulls_last() if wanted.descending else field.asc().nulls_last()
        query = query.order_by(order, col(CatalogueEntry.name)).offset(wanted.offset).limit(wanted.limit)
        entries = [Entry.of(found) for found in session.scalars(query).all()]
    return Page(entries=entries, total=total)


def values_of(bench: Workbench, kind: Kind) -> dict[str, list[str]]:
    """What a list can be filtered by: states, datasets, groups and tags that occur."""
    found: dict[str, list[str]] = {}
    with reading(bench.engine) as session:
        for name in ("state", "dataset", "group"):
            field = col(getattr(CatalogueEntry, name))
            rows = session.exec(select(field).where(CatalogueEntry.kind == kind, field.is_not(None)).distinct()).all()
            found[name] = sorted(rows)
        tags = session.exec(
            select(CatalogueEntry.tags).where(CatalogueEntry.kind == kind, CatalogueEntry.tags != "\n").distinct()
        ).all()
    found["tag"] = sorted({tag for joined in tags for tag in joined.split("\n") if tag})
    return found


def _conditions(which: ColumnElement[bool], wanted: Listing) -> Sequence[ColumnElement[bool]]:
    conditions = [which]
    for name in ("state", "dataset", "group"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(col(getattr(CatalogueEntry, name)) == value)
    if wanted.tag is not None:
        conditions.append(col(CatalogueEntry.tags).contains(f"\n{wanted.tag}\n", autoescape=True))
    if wanted.search:
        fields = ("name", "dataset", "network", "group", "tags")
        searched = [col(getattr(CatalogueEntry, name)).icontains(wanted.search, autoescape=True) for name in fields]
        conditions.append(or_(*searched))
    return conditions
