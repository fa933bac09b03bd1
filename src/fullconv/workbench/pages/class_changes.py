"""Other classes for a dataset that exists: names, colours, merged and ignored ones."""

from __future__ import annotations

from nicegui import ui

from fullconv.errors import FullconvError
from fullconv.workbench.opened import OpenedDataset
from fullconv.workbench.pages.asking import asked, refuse
from fullconv.workbench.pages.class_editor import STYLE, ClassEditor, edits_of, rows_of
from fullconv.workbench.pages.job_progress import JobProgress
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.datasets import DatasetFacts, change_classes


def class_changes(opened: OpenedDataset, facts: DatasetFacts) -> None:
    """The table to change classes with, closed until somebody wants it."""
    if bench().settings.read_only:
        return
    ui.add_css(STYLE)
    head = opened.head
    with ui.expansion("Change classes", icon="edit").classes("w-full card q-pa-none"):
        ui.label(
            "The label files stay as they are. Everything but colours is counted again. Models that are finished keep "
            "the classes that they learned; a run that was stopped cannot go on with other classes."
        ).classes("faint")
        rows = rows_of(head.table(), head.edits)
        editor = ClassEditor(rows, lambda: save.enable())
        editor.show_shares({entry.name: entry.share for entry in facts.classes})

        async def change() -> None:
            save.disable()
            try:
                job = await asked(change_classes, bench(), opened.name, edits_of(rows, dict(head.edits.remap)))
            except FullconvError as problem:
                refuse(problem)
                save.enable()
                return
            if job is None:
                ui.navigate.reload()
                return
            with place:
                JobProgress(job.id, on_done=lambda result: ui.navigate.reload())

        save = ui.button("Apply", on_click=change).props("no-caps unelevated")
        save.disable()
        place = ui.column().classes("w-full")
