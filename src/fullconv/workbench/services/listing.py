"""Lists of datasets, runs and models: sorted, filtered and paged by the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, and_, func, or_
from sqlalchemy import select as select_values
from sqlmodel import col, select

from fullconv.workbench.catalogue import Kind
from fullconv.workbench.database import reading
from fullconv.workbench.storable import storable
from fullconv.workbench.stored import PackageKind
from fullconv.workbench.tables import CatalogueEntry
from fullconv.workbench.workbench import Workbench

SortField = Literal[
    "created",
    "name",
    "kind",
    "state",
    "dataset",
    "network",
    "group",
    "tags",
    "mean_iou",
    "best_mean_iou",
    "pixel_accuracy",
    "mean_accuracy",
    "frequency_weighted_iou",
    "last_pixel_accuracy",
    "last_mean_accuracy",
    "last_mean_iou",
    "last_frequency_weighted_iou",
    "best_pixel_accuracy",
    "best_mean_accuracy",
    "best_frequency_weighted_iou",
    "last_loss",
    "epoch",
    "stride",
    "images",
    "problems",
    "classes",
    "regime",
    "weights",
    "label_format",
    "licence",
]
_TEXTS = {"regime", "weights", "label_format", "licence"}
"""Facts that are words; the others are numbers."""


class Listing(BaseModel):
    """What a list shows.

    Args:
        search: part of the name, dataset, network, group or a tag; upper and lower case are the same.
        state, dataset, group, tag: exactly this one.
        sort: by this field; what has no value comes last. Scores that begin with `last_` and `best_` are those of the
            validation images, `last_loss` is that of the training, the others are those of the test.
        descending: the largest first.
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
    kinds = _packages()
    return _page(bench, or_(*kinds.values()) if kind is None else kinds[kind], wanted or Listing())


def counts_of(bench: Workbench) -> dict[str, int]:
    """How many datasets, runs, and models of the store and of runs there are."""
    kinds = {
        "dataset": col(CatalogueEntry.kind) == "dataset",
        "run": col(CatalogueEntry.kind) == "run",
        "model": or_(*_packages().values()),
    }
    with reading(bench.engine) as session:
        counted = select_values(*(func.count().filter(which) for which in kinds.values()))
        found = session.execute(counted.select_from(CatalogueEntry)).one()
    return dict(zip(kinds, found, strict=True))


def _packages() -> dict[PackageKind, ColumnElement[bool]]:
    has_model = col(CatalogueEntry.facts)["split"].as_string().is_not(None)
    return {
        "model": col(CatalogueEntry.kind) == "model",
        "run": and_(col(CatalogueEntry.kind) == "run", has_model),
    }


def _page(bench: Workbench, which: ColumnElement[bool], wanted: Listing) -> Page:
    conditions = _conditions(which, wanted)
    with reading(bench.engine) as session:
        total = session.exec(select(func.count()).select_from(CatalogueEntry).where(*conditions)).one()
        query: Select[Any] = select(CatalogueEntry).where(*conditions)
        field = _sorted_by(wanted.sort)
        order = field.desc().nulls_last() if wanted.descending else field.asc().nulls_last()
        query = (
            query.order_by(order, col(CatalogueEntry.name), col(CatalogueEntry.kind))
            .offset(wanted.offset)
            .limit(wanted.limit)
        )
        entries = [Entry.of(found) for found in session.scalars(query).all()]
    return Page(entries=entries, total=total)


def _sorted_by(name: SortField) -> ColumnElement[Any]:
    if name == "tags":
        return func.nullif(col(CatalogueEntry.tags), "\n")
    if name in CatalogueEntry.model_fields:
        return cast(ColumnElement[Any], col(getattr(CatalogueEntry, name)))
    fact = col(CatalogueEntry.facts)[name]
    if name == "classes":
        return func.json_array_length(fact)
    return cast(ColumnElement[Any], fact.as_string() if name in _TEXTS else fact.as_float())


def values_of(bench: Workbench, kind: Kind) -> dict[str, list[str]]:
    """What a list can be filtered by: states, datasets, groups and tags that occur."""
    return _values(bench, col(CatalogueEntry.kind) == kind)


def values_of_packages(bench: Workbench) -> dict[str, list[str]]:
    """What the list of all that predicts can be filtered by."""
    return _values(bench, or_(*_packages().values()))


def _values(bench: Workbench, which: ColumnElement[bool]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with reading(bench.engine) as session:
        for name in ("state", "dataset", "group"):
            field = col(getattr(CatalogueEntry, name))
            found[name] = sorted(session.exec(select(field).where(which, field.is_not(None)).distinct()).all())
        tags = session.exec(select(CatalogueEntry.tags).where(which, CatalogueEntry.tags != "\n").distinct()).all()
    found["tag"] = sorted({tag for joined in tags for tag in joined.split("\n") if tag})
    return found


def _conditions(which: ColumnElement[bool], wanted: Listing) -> Sequence[ColumnElement[bool]]:
    conditions = [which]
    for name in ("state", "dataset", "group"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(col(getattr(CatalogueEntry, name)) == storable(value))
    if wanted.tag is not None:
        conditions.append(col(CatalogueEntry.tags).contains(f"\n{wanted.tag}\n", autoescape=True))
    if wanted.search:
        fields = ("name", "dataset", "network", "group", "tags")
        searched = [
            col(getattr(CatalogueEntry, name)).icontains(storable(wanted.search), autoescape=True) for name in fields
        ]
        conditions.append(or_(*searched))
    return conditions
