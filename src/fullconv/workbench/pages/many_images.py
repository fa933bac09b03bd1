"""Many images on a model: a folder of the server or uploads become a job, whose pictures lie in a gallery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nicegui import events, ui

from fullconv.errors import FullconvError
from fullconv.workbench.pages.accessible_names import name_uploader, sort_by_keyboard
from fullconv.workbench.pages.asking import asked, refuse, tried
from fullconv.workbench.pages.folder_chooser import FolderChooser
from fullconv.workbench.pages.job_progress import JobProgress
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.predicting.images import Upload, plain_name
from fullconv.workbench.security.uploads import received
from fullconv.workbench.services.folder_predictions import (
    FolderPredictionView,
    FolderWish,
    list_predictions,
    predict_folder,
    predict_uploads,
)
from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.stored import PackageKind

MOST_FILES = 500
_COLUMNS = (("created", "Made"), ("model", "Model"), ("source", "Images from"), ("total", "Images"), ("state", "State"))
_LINK = """<q-td :props="props"><a :href="props.row.link" style="color: var(--accent)">{{ props.value }}</a></q-td>"""
Model = tuple[str, PackageKind, str | None]
"""Name, kind, head."""


class ManyImages:
    """The panel of the page Test.

    Args:
        model: gives the one that is chosen.
    """

    def __init__(self, model: Callable[[], Model]) -> None:
        self._model = model
        if bench().settings.read_only:
            ui.label("This workbench can only be looked at: no jobs are started.").classes("faint")
        else:
            with ui.element("div").classes("image-choice"):
                with ui.element("div").classes("drop w-full"):
                    self._uploads()
                with ui.column().style("gap: .6rem; min-width: 0"):
                    self._of_folder()
            self.job = ui.column().classes("w-full")
        self.list = ui.column().classes("w-full").style("gap: .4rem")
        ui.timer(0.01, self._show, once=True)

    def _uploads(self) -> None:
        async def dropped(event: events.MultiUploadEventArguments) -> None:
            upload.reset()
            kept: list[Upload] = []
            try:
                for file in event.files:
                    name = plain_name(file.name)
                    limit, folder = bench().settings.limits.upload, bench().scratch.folder("uploads")
                    kept.append(Upload(name, await received(file, limit, folder=folder, where=name)))
                name, kind, head = self._model()
                job = await asked(predict_uploads, bench(), name, kept, kind=kind, head=head)
            except FullconvError as problem:
                refuse(problem)
                return
            finally:
                for entry in kept:
                    entry.path.unlink(missing_ok=True)
            self._follow(job)

        upload = ui.upload(
            multiple=True,
            auto_upload=True,
            max_files=MOST_FILES,
            on_multi_upload=dropped,
            on_rejected=lambda: ui.notify(f"Up to {MOST_FILES} images at a time.", type="negative"),
        )
        upload.props('accept="image/*,.tif,.tiff" flat').mark("drop-many")
        name_uploader(upload, "Drop images here, or choose files", several=True)

    def _of_folder(self) -> None:
        chooser = FolderChooser()

        async def choose() -> None:
            path = await chooser.choose(str(self.folder.value or "") or None)
            if path is not None:
                self.folder.value = path

        self.folder = ui.input("Or a folder on the server, with all folders in it").props("dense maxlength=4000")
        self.folder.classes("w-full")
        with self.folder.add_slot("append"):
            ui.button(icon="folder_open", on_click=choose).props('flat dense round aria-label="Choose a folder"')
        self.probabilities = ui.checkbox("Write the probabilities of all classes too").props("dense")
        ui.button("Predict all", on_click=self._start).props("no-caps unelevated").classes("self-start")

    async def _start(self) -> None:
        self.folder.error = None
        name, kind, head = self._model()
        try:
            wish = FolderWish(
                model=name,
                kind=kind,
                head=head,
                folder=str(self.folder.value or "").strip()[:5000] or "/",
                probabilities=bool(self.probabilities.value),
            )
            job = await asked(predict_folder, bench(), wish)
        except FullconvError as problem:
            self.folder.error = str(problem)
            return
        self._follow(job)

    def _follow(self, job: JobView) -> None:
        name = (job.subject or "").partition(":")[2]
        self.job.clear()

        def done(result: dict[str, Any]) -> None:
            ui.navigate.to(f"/predictions/{quote(name)}")

        with self.job:
            JobProgress(job.id, on_done=done, on_failed=self._show)
            ui.link("See what is done so far", f"/predictions/{quote(name)}")

    async def _show(self) -> None:
        found = await tried(list_predictions, bench())
        self.list.clear()
        if not found:
            return
        with self.list:
            heading("Earlier predictions", 2)
            columns = [{"name": key, "label": label, "field": key, "sortable": True} for key, label in _COLUMNS]
            for column in columns:
                column["align"] = "right" if column["name"] == "total" else "left"
            table = ui.table(columns=columns, rows=[_row(entry) for entry in found], row_key="link", pagination=10)
            table.classes("w-full").props("flat dense wrap-cells")
            sort_by_keyboard(table).add_slot("body-cell-created", _LINK)


def _row(entry: FolderPredictionView) -> dict[str, object]:
    failed = f", {len(entry.failed)} could not be read" if entry.failed else ""
    return {
        "created": entry.created.replace("T", " ").removesuffix("+00:00"),
        "model": entry.model + (f" ({entry.head})" if entry.head else ""),
        "source": "uploads" if entry.source is None else Path(entry.source).name,
        "total": entry.total,
        "state": f"done{failed}" if entry.done else "not finished",
        "link": f"/predictions/{quote(entry.name)}",
    }
