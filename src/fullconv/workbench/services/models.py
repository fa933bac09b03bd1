"""Models: what is known of one, and what can be changed about it. Models of runs are models, too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fullconv.errors import FullconvError
from fullconv.files import disk_errors, staged_directory, write_document
from fullconv.store.package import CARD, WEIGHTS, HistoryEntry, ModelCard, read_card
from fullconv.store.tensor_files import parameters_in, tensor_shapes
from fullconv.workbench.annotations import FILE as NOTES
from fullconv.workbench.annotations import Annotations, read_annotations, write_annotations
from fullconv.workbench.jobs.waiting_runs import taking_away
from fullconv.workbench.refusals import Conflict
from fullconv.workbench.services.model_views import ModelFacts, facts_of
from fullconv.workbench.services.open_work import refuse_open_work_on_model
from fullconv.workbench.services.predictions import Package, package_of
from fullconv.workbench.stored import PackageKind
from fullconv.workbench.workbench import Workbench

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
LONGEST_LICENCE = 2000


class ModelChange(BaseModel):
    """What becomes of a model; what is left out stays.

    Args:
        name: another one; only of a model in the store.
        licence: a name or a text; none to say nothing.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "streets-2026", "licence": "CC-BY-4.0"}}
    )

    name: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    licence: str | None = Field(default=None, max_length=LONGEST_LICENCE)


def model_facts(bench: Workbench, name: str, kind: PackageKind | None = None) -> ModelFacts:
    """Everything that is known of a model.

    Args:
        kind: only of the store, or only of a run; the store's if both have one of that name and nothing is said.

    Raises:
        NotThere: there is none of that name, or the run has not got that far.
        PackageError: its files are damaged.
    """
    package = package_of(bench, name, kind)
    card = read_card(package.directory)
    parameters = None
    with suppress(FullconvError):
        parameters = parameters_in(tensor_shapes(package.directory / WEIGHTS))
    return facts_of(
        card,
        package,
        notes=read_annotations(_noted(bench, package)),
        parameters=parameters,
        used_by=tuple(used_by(bench, package)),
        allow_code=bench.settings.allow_code,
        namesake=package.kind == "run" and (bench.home.model(name) / CARD).is_file(),
    )


def change_model(bench: Workbench, name: str, change: ModelChange, *, kind: PackageKind | None = None) -> ModelFacts:
    """Give a model another name or licence.

    Raises:
        Conflict: the name is taken, the model is a run's, or a run needs it under its name.
    """
    bench.must_be_writable()
    package = package_of(bench, name, kind)
    card = read_card(package.directory)
    if "licence" in change.model_fields_set:
        card = card.model_copy(update={"licence": (change.licence or "").strip() or None})
        _write_card(bench, package, card)
    if change.name is not None and change.name != name:
        with taking_away(bench.home):
            _rename(bench, package, card, change.name)
        name = change.name
    bench.catalogue.refresh()
    return model_facts(bench, name, package.kind)


def copy_model(bench: Workbench, name: str, new: str, *, kind: PackageKind | None = None) -> ModelFacts:
    """Keep a model, such as a run's, under a name of its own in the store.

    Raises:
        Conflict: the name is taken.
    """
    bench.must_be_writable()
    package = package_of(bench, name, kind)
    refuse_taken(bench, new)
    card = read_card(package.directory)
    notes = read_annotations(_noted(bench, package))
    copied = HistoryEntry.now(f"copied from the {package.kind} {name}")
    with staged_directory(bench.home.model(new)) as folder, disk_errors(folder):
        for path in files_of(package.directory):
            if path.name != CARD:
                shutil.copyfile(path, folder / path.name)
        write_document(folder / CARD, card.model_copy(update={"name": new, "history": (*card.history, copied)}))
        if notes != Annotations():
            write_annotations(folder, notes)
    bench.catalogue.refresh()
    return model_facts(bench, new, "model")


def delete_model(bench: Workbench, name: str) -> None:
    """Remove a model of the store.

    Raises:
        Conflict: it is a run's, or a run or another model needs it; the sentence names which.
    """
    bench.must_be_writable()
    package = package_of(bench, name)
    if package.kind == "run":
        raise Conflict("is the model of a run", where=name, remedy="delete the run, if nobody needs it any more")
    with taking_away(bench.home):
        _refuse_used(bench, package, "delete")
        remove(bench, package.directory)


def annotate_model(
    bench: Workbench, name: str, annotations: Annotations, *, kind: PackageKind | None = None
) -> Annotations:
    """Write tags and a note beside a model; beside its run where it is a run's."""
    bench.must_be_writable()
    directory = _noted(bench, package_of(bench, name, kind))
    write_annotations(directory, annotations)
    bench.catalogue.refresh()
    return read_annotations(directory)


def used_by(bench: Workbench, package: Package) -> Iterator[str]:
    """Runs that start from a model, and models whose history names it, as "run first" and "model streets"."""
    yield from runs_from(bench, package.directory)
    source = f"model {package.name}"
    for other in _stored(bench):
        with suppress(FullconvError):
            history = read_card(other).history
            if other != package.directory and any(source in map(str, entry.details.values()) for entry in history):
                yield f"model {other.name}"


def runs_from(bench: Workbench, directory: Path) -> Iterator[str]:
    """Runs whose start values lie in a folder, as "run first", as far as the catalogue knows them."""
    for run in bench.catalogue.entries("run"):
        weights = run.facts.get("weights")
        if isinstance(weights, str) and Path(weights).is_relative_to(directory):
            yield f"run {run.name}"


def remove(bench: Workbench, directory: Path) -> None:
    """Delete a folder of the store: gone at once for everybody, then from the disk."""
    bench.predictor.models.forget(directory)
    bench.scratch.discard(directory)
    bench.catalogue.refresh()


def refuse_needed(name: str, users: list[str], action: str) -> None:
    """Raise Conflict where there are users; the sentence names some."""
    if users:
        what = ", ".join(users[:3]) + (f" and {len(users) - 3} more" if len(users) > 3 else "")
        them = "it" if len(users) == 1 else "them"
        raise Conflict(f"is needed by {what}", where=name, remedy=f"{action} {them} first, or leave it as it is")


def refuse_taken(bench: Workbench, name: str) -> None:
    """Raise Conflict where a name is taken: in the store, or by a run, whose model is found by that name as well."""
    if bench.home.model(name).exists():
        raise Conflict(f"something named {name!r} exists already", where="name", remedy="choose another name")
    if bench.home.run(name).exists():
        raise Conflict(f"a run is named {name!r} already", where="name", remedy="choose another name")


def files_of(directory: Path) -> list[Path]:
    """The files of a package that belong to others too: all but notes and what is hidden."""
    return sorted(
        path
        for path in directory.iterdir()
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".") and path.name != NOTES
    )


def _rename(bench: Workbench, package: Package, card: ModelCard, new: str) -> None:
    if package.kind == "run":
        remedy = "copy it into the store under another name"
        raise Conflict("is the model of a run and bears its name", where=package.name, remedy=remedy)
    refuse_taken(bench, new)
    _refuse_used(bench, package, "delete")
    renamed = HistoryEntry.now(f"renamed from {package.name}")
    card = card.model_copy(update={"name": new, "history": (*card.history, renamed)})
    _write_card(bench, package, card)
    with disk_errors(package.directory):
        package.directory.rename(bench.home.model(new))


def _refuse_used(bench: Workbench, package: Package, action: str) -> None:
    bench.catalogue.refresh()
    refuse_open_work_on_model(bench, package.name, package.kind)
    refuse_needed(package.name, list(used_by(bench, package)), action)


def _write_card(bench: Workbench, package: Package, card: ModelCard) -> None:
    write_document(package.directory / CARD, card)
    bench.predictor.models.forget(package.directory)


def _stored(bench: Workbench) -> list[Path]:
    return sorted(bench.home.models.glob("[!.]*")) if bench.home.models.is_dir() else []


def _noted(bench: Workbench, package: Package) -> Path:
    """Where tags and note of a model lie."""
    return bench.home.run(package.name) if package.kind == "run" else package.directory
