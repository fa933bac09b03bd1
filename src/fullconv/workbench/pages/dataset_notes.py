"""Tags and a note beside a dataset."""

from __future__ import annotations

from nicegui import ui
from pydantic import ValidationError

from fullconv.workbench.annotations import Annotations
from fullconv.workbench.pages.asking import tried
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.datasets import DatasetFacts, annotate_dataset


def notes_tab(facts: DatasetFacts) -> None:
    """Both can be changed, unless the workbench can only be looked at."""
    writable = not bench().settings.read_only
    tags = ui.input_chips("Tags", value=list(facts.tags), new_value_mode="add-unique")
    tags.props("dense maxlength=40").style("max-width: 40rem; width: 100%")
    note = ui.textarea("Note", value=facts.note).props("outlined autogrow maxlength=20000")
    note.style("max-width: 60rem; width: 100%")
    tags.set_enabled(writable)
    note.set_enabled(writable)

    async def save() -> None:
        try:
            wanted = Annotations(tags=tuple(tags.value or ()), note=note.value or "")
        except ValidationError as wrong:
            ui.notify(wrong.errors()[0]["msg"].removeprefix("Value error, "), type="negative")
            return
        if await tried(annotate_dataset, bench(), facts.name, wanted) is not None:
            ui.notify("Saved.", type="positive")

    if writable:
        ui.button("Save", on_click=save).props("no-caps unelevated")
    if facts.needed_by:
        ui.label("Runs on this dataset").classes("text-weight-medium q-mt-md")
        for run in facts.needed_by[:50]:
            ui.link(run, f"/runs/{run}").style("overflow-wrap: anywhere")
        if len(facts.needed_by) > 50:
            ui.label(f"and {len(facts.needed_by) - 50} more").classes("faint")
