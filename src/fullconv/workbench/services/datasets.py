"""Datasets: what is known of them, making, annotating, changing and deleting them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field
from sqlmodel import select

from fullconv.data.class_edits import ClassEdits
from fullconv.data.dataset import Dataset
from fullconv.data.description import FILE_NAME
from fullconv.data.examination import COLOR_FORMATS
from fullconv.data.stored_index import index_folder
from fullconv.workbench.annotations import Annotations, read_annotations, write_annotations
from fullconv.workbench.database import reading
from fullconv.workbench.folders import FolderRequest
from fullconv.workbench.jobs.waiting_runs import taking_away
from fullconv.workbench.opened import OpenedDataset
from fullconv.workbench.refusals import Conflict, NotThere
from fullconv.workbench.security.paths import refuse_links_outside
from fullconv.workbench.services.dataset_facts import FACTS_EXAMPLE, Facts, facts_of
from fullconv.workbench.services.dataset_folders import remove_unused, resolved
from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.services.open_work import Wanted, refuse_open_work
from fullconv.workbench.services.upload_use import dataset_places, uploads_among, uploads_folder
from fullconv.workbench.storable import column_text
from fullconv.workbench.stored import StoredEvaluation
from fullconv.workbench.tables import CatalogueEntry, Job
from fullconv.workbench.workbench import Workbench

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


class DatasetRequest(FolderRequest):
    """A dataset to be made.

    Args:
        name: letters, digits, dot, dash and underscore.
    """

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "streets", "images": "/data/streets", "split": "70/15/15"}}
    )

    name: Annotated[str, Field(pattern=NAME_PATTERN)]


class DatasetFacts(Facts):
    """A dataset.

    Args:
        name: in the workspace. created: ISO 8601, UTC.
        counted: images whose classes are known one by one; less than all while they are being counted.
        copies: groups of images that show the same picture.
        fingerprint: equal only for equal samples.
        uploaded: its files were uploaded and lie in the workspace.
        tags, note: what people wrote beside it.
        needed_by: runs that name it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "streets",
                "created": "2026-01-02T09:00:00+00:00",
                "counted": 140,
                "copies": 0,
                "fingerprint": "5d7c0f1e9a3b4c2d8e6f7a9b0c1d2e3f",
                "uploaded": False,
                "tags": ["day"],
                "note": "",
                "needed_by": ["20260102-090000-streets-fcn4s-mobilenet_v2-features"],
                **FACTS_EXAMPLE,
            }
        }
    )

    name: str
    created: str
    counted: int
    copies: int
    fingerprint: str
    uploaded: bool
    tags: tuple[str, ...]
    note: str
    needed_by: tuple[str, ...]


def dataset_facts(bench: Workbench, name: str) -> DatasetFacts:
    """Everything that is known of a dataset as a whole."""
    opened = bench.datasets.open(name)
    head, notes = opened.head, read_annotations(opened.directory)
    facts = facts_of(
        root=str(opened.root),
        format=head.label_format,
        class_source=head.class_source,
        table=opened.classes,
        statistics=head.statistics,
        channels=head.channels,
        dtype=head.dtype,
        unlabelled=head.unlabelled,
        edits=head.edits,
        problems=head.problems,
    )
    return DatasetFacts(
        **{field: getattr(facts, field) for field in Facts.model_fields},
        name=name,
        created=head.created,
        counted=int(opened.index.known.sum()),
        copies=len(opened.copies),
        fingerprint=head.counted,
        uploaded=opened.root.is_relative_to(uploads_folder(bench)),
        tags=notes.tags,
        note=notes.note,
        needed_by=needed_by(bench, name),
    )


def create_dataset(bench: Workbench, request: DatasetRequest) -> JobView:
    """Make a dataset of folders, as a job; its `result` names it."""
    bench.must_be_writable()
    if bench.home.dataset(request.name).exists():
        raise Conflict(
            f"a dataset named {request.name!r} exists already", where="name", remedy="choose another name or delete it"
        )
    plan = resolved(bench, request)
    for folder in filter(None, (plan.images, plan.labels)):
        refuse_links_outside(bench.settings, Path(folder))
    payload = plan.model_dump(mode="json", exclude_defaults=True) | {"name": request.name}
    job = bench.queue.add(
        "dataset", title=f"Dataset {request.name}", payload=payload, subject=f"dataset:{request.name}", device="aside"
    )
    return JobView.of(job)


def annotate_dataset(bench: Workbench, name: str, annotations: Annotations) -> Annotations:
    """Write tags and a note beside a dataset."""
    bench.must_be_writable()
    write_annotations(bench.datasets.directory(name), annotations)
    bench.catalogue.refresh()
    return annotations


def change_classes(bench: Workbench, name: str, edits: ClassEdits) -> JobView | None:
    """Give a dataset other classes; finished models keep those that they learned.

    Returns:
        The job that counts everything again; none where only colours change, which is done at once.
    """
    bench.must_be_writable()
    with taking_away(bench.home):
        opened = bench.datasets.open(name)
        edits.remapped_codes(colors=opened.head.label_format.kind in COLOR_FORMATS)
        edits.apply(opened.head.table())
        bench.catalogue.refresh()
        _refuse_open_jobs(bench, opened)
        if edits.without_colors == opened.head.edits.without_colors:
            Dataset.change_classes(opened.directory, edits, bench.home)
            bench.catalogue.refresh()
            return None
        payload = {"dataset": name, "edits": edits.model_dump(mode="json", exclude_defaults=True)}
        return JobView.of(
            bench.queue.add(
                "classes", title=f"Classes of {name}", payload=payload, subject=f"dataset:{name}", device="aside"
            )
        )


def delete_dataset(bench: Workbench, name: str) -> None:
    """Delete a dataset, and its files where they were uploaded and nothing else uses them; files elsewhere stay."""
    bench.must_be_writable()
    with taking_away(bench.home):
        uploads = _taken_away(bench, name)
    shutil.rmtree(index_folder(bench.home, name), ignore_errors=True)
    bench.datasets.forget(name)
    bench.catalogue.refresh()
    remove_unused(bench, uploads)


def _taken_away(bench: Workbench, name: str) -> set[Path]:
    """Delete the directory of a dataset, if nothing needs it; the uploads that it had files in."""
    directory = bench.datasets.directory(name)
    bench.catalogue.refresh()
    if runs := needed_by(bench, name):
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        raise Conflict(
            f"the run {runs[0]}{more} needs it", where=name, remedy="delete these runs first, or keep the dataset"
        )
    uploads: set[Path] = set()
    try:
        opened = bench.datasets.open(name)
    except NotThere:
        raise
    except Exception:  # what cannot be read can be deleted all the same
        opened = None
    if opened is not None:
        _refuse_open_jobs(bench, opened)
        uploads = uploads_among(bench, dataset_places(bench, name))
    bench.scratch.discard(directory)
    return uploads


def needed_by(bench: Workbench, name: str) -> tuple[str, ...]:
    """Runs that name a dataset, in alphabetical order."""
    with reading(bench.engine) as session:
        query = select(CatalogueEntry.name, CatalogueEntry.dataset).where(CatalogueEntry.kind == "run")
        rows = session.exec(query).all()
    known = _spellings(bench.home.dataset(name), name)
    return tuple(sorted(run for run, dataset in rows if dataset in known))


def _spellings(directory: Path, name: str) -> frozenset[str]:
    """How runs and jobs may name a dataset."""
    paths = (name, str(directory), str(directory / FILE_NAME))
    return frozenset((*paths, *map(column_text, paths)))  # jobs name it in full, the catalogue as far as it has room


def _refuse_open_jobs(bench: Workbench, opened: OpenedDataset) -> None:
    """Raise Conflict where a job that waits or runs works with a dataset."""
    known = _spellings(opened.directory, opened.name)
    runs = {f"run:{run}" for run in needed_by(bench, opened.name)}

    def works_with(job: Job, wanted: Wanted | None) -> bool:
        if job.subject == f"dataset:{opened.name}" or job.subject in runs or job.payload.get("dataset") in known:
            return True
        return isinstance(wanted, StoredEvaluation) and wanted.dataset == opened.name

    refuse_open_work(bench, opened.name, works_with)
