"""Weight files in the store: start values for runs."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from fullconv.errors import StorageError
from fullconv.files import disk_errors, write_document
from fullconv.store.stored_weights import CARD, FILE, read_weights_card
from fullconv.workbench.jobs.waiting_runs import taking_away
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.services.models import (
    LONGEST_LICENCE,
    NAME_PATTERN,
    refuse_needed,
    refuse_taken,
    remove,
    runs_from,
)
from fullconv.workbench.workbench import Workbench


class WeightsFacts(BaseModel):
    """Stored weights.

    Args:
        name: in the store; a run takes it as its `weights`.
        source: name of the file that was uploaded. added: ISO 8601, UTC.
        tensors: how many. values: numbers in all of them. size: bytes.
        licence: as it was said.
        used_by: runs that start from them.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "vgg16-imagenet",
                "source": "vgg16-397923af.safetensors",
                "added": "2026-01-02T09:00:00+00:00",
                "tensors": 32,
                "values": 138357544,
                "size": 553433881,
                "licence": "BSD-3-Clause",
                "used_by": [],
            }
        }
    )

    name: str
    source: str
    added: str
    tensors: int
    values: int
    size: int
    licence: str | None
    used_by: tuple[str, ...]


class WeightsChange(BaseModel):
    """What becomes of stored weights; what is left out stays.

    Args:
        name: another one. licence: a name or a text; none to say nothing.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "vgg16-imagenet"}})

    name: str | None = Field(default=None, pattern=NAME_PATTERN)
    licence: str | None = Field(default=None, max_length=LONGEST_LICENCE)


def weights_facts(bench: Workbench, name: str) -> WeightsFacts:
    """Everything that is known of stored weights.

    Raises:
        NotThere: there are none of that name.
    """
    directory = directory_of(bench, name)
    card = read_weights_card(directory)
    return WeightsFacts(
        name=name,
        source=card.source,
        added=card.added,
        tensors=card.tensors,
        values=card.values,
        size=(directory / FILE).stat().st_size,
        licence=card.licence,
        used_by=tuple(runs_from(bench, directory)),
    )


def file_of(bench: Workbench, name: str) -> Path:
    """The file itself."""
    return directory_of(bench, name) / FILE


def change_weights(bench: Workbench, name: str, change: WeightsChange) -> WeightsFacts:
    """Give stored weights another name or licence.

    Raises:
        Conflict: the name is taken, or a run starts from them under their name.
    """
    bench.must_be_writable()
    directory = directory_of(bench, name)
    if "licence" in change.model_fields_set:
        card = read_weights_card(directory).model_copy(update={"licence": (change.licence or "").strip() or None})
        write_document(directory / CARD, card)
    if change.name is not None and change.name != name:
        refuse_taken(bench, change.name)
        with taking_away(bench.home):
            bench.catalogue.refresh()
            refuse_needed(name, list(runs_from(bench, directory)), "delete")
            with disk_errors(directory):
                directory.rename(bench.home.model(change.name))
        name = change.name
    bench.catalogue.refresh()
    return weights_facts(bench, name)


def delete_weights(bench: Workbench, name: str) -> None:
    """Remove stored weights.

    Raises:
        Conflict: a run starts from them; the sentence names which.
    """
    bench.must_be_writable()
    directory = directory_of(bench, name)
    with taking_away(bench.home):
        bench.catalogue.refresh()
        refuse_needed(name, list(runs_from(bench, directory)), "delete")
        remove(bench, directory)


def directory_of(bench: Workbench, name: str) -> Path:
    """Where stored weights lie.

    Raises:
        NotThere: there are none of that name.
    """
    try:
        directory = bench.home.model(name)
    except StorageError:
        directory = None
    if directory is None or not (directory / FILE).is_file() or not (directory / CARD).is_file():
        raise NotThere(f"there are no weights {name!r}", where="weights", remedy="look at the list of models")
    return directory
