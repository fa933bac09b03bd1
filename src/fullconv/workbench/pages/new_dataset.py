"""A new dataset: folders are chosen or uploaded, looked at while one goes on, and made a dataset by a job."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.parse import quote

from nicegui import ui
from pydantic import ValidationError

from fullconv.errors import FullconvError
from fullconv.workbench.folders import FolderRequest
from fullconv.workbench.pages.accessible_names import name_uploader
from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.check_view import CheckResult
from fullconv.workbench.pages.class_editor import STYLE
from fullconv.workbench.pages.folder_chooser import FolderChooser
from fullconv.workbench.pages.folder_options import FolderOptions
from fullconv.workbench.pages.job_progress import JobProgress
from fullconv.workbench.pages.stacks import add_stack_style
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.refusals import Conflict, NotThere
from fullconv.workbench.services.dataset_checks import (
    CheckView,
    begin_check,
    check_of,
    choose_in_check,
    end_check,
)
from fullconv.workbench.services.datasets import DatasetRequest, create_dataset

LOOK_SECONDS = 0.3
FOLDERS = "/api/v1/folders"
ARCHIVES = ".zip,.tar,.tgz,.tar.gz,.tar.bz2,.tar.xz,.tbz2,.txz"


async def new_dataset_page() -> None:
    """Where images and labels are; what is seen there; classes, splits, problems; and the button."""
    with frame("New dataset", "/datasets"):
        with ui.row().classes("w-full items-center justify-between"):
            heading("New dataset")
            json_link = ui.link("JSON", FOLDERS).classes("faint")
        if bench().settings.read_only:
            nothing_yet("Nothing can be made here.", "To the list of datasets", "/datasets")
            return
        add_stack_style()
        ui.add_css(STYLE)
        NewDataset(json_link).build()


class NewDataset:
    """The page's state: one check of the folders at a time, and the choices made with it.

    Args:
        json_link: leads to the check, and to the folders that there are where there is none.
    """

    def __init__(self, json_link: ui.link) -> None:
        self.json_link = json_link
        self.check: str | None = None
        self.checked: FolderRequest | None = None
        self.name_is_ours = True

    def build(self) -> None:
        """Put everything on the page."""
        with ui.column().classes("card"):
            heading("Images and labels", 2)
            self.chooser = FolderChooser()
            self.images = self._folder("Folder of images, or one folder with everything", "images")
            self.labels = self._folder("Folder of labels, where it is another", "labels")
            with ui.expansion("Upload an archive instead", icon="upload").classes("w-full").props("dense"):
                self._uploader()
            self.options = FolderOptions(self._look)
            self.fault = ui.label().classes("bad").props('role="alert"').style("overflow-wrap: anywhere")
        with ui.column().classes("card").props('role="status"').style("gap: .5rem") as self.status:
            with ui.row().classes("w-full items-center justify-between no-wrap"):
                self.message = ui.label().style("overflow-wrap: anywhere")
                self.cancel = ui.button("Cancel", on_click=self._cancel).props("flat no-caps dense")
            self.bar = ui.linear_progress(0, show_value=False).props('rounded aria-label="Progress"')
            self.explanation = ui.label().classes("faint")
        self.status.visible = False
        self.result = CheckResult(self._choose, self._look)
        with ui.column().classes("card") as self.finish:
            heading("Name", 2)
            with ui.row().classes("items-end w-full").style("gap: 1rem"):
                self.name = ui.input("Name of the dataset", on_change=self._named).props("dense maxlength=100")
                self.name.style("width: 22rem; max-width: 100%")
                self.create = ui.button("Create", on_click=self._create).props("no-caps unelevated")
            self.name_fault = ui.label().classes("bad").props('role="alert"')
            self.job = ui.column().classes("w-full")
        self.finish.visible = False
        self.timer = ui.timer(LOOK_SECONDS, self._poll, active=False)
        ui.context.client.on_delete(self._leave)  # a lost connection may come back, and the check goes on

    def _folder(self, label: str, name: str) -> ui.input:
        with ui.row().classes("w-full items-end no-wrap").style("gap: .6rem; max-width: 60rem"):
            field = ui.input(label, on_change=self._look).classes("col").mark(f"folder-{name}")
            field.props("dense debounce=700 spellcheck=false autocomplete=off maxlength=4096")

            async def browse() -> None:
                chosen = await self.chooser.choose(field.value or self.images.value or None)
                if chosen is not None:
                    field.value = chosen

            ui.button("Browse", icon="folder_open", on_click=browse).props("flat no-caps dense")
        return field

    def _uploader(self) -> None:
        ui.label("A zip or tar file with images and labels; it is unpacked in the workspace.").classes("faint")
        self.uploader = uploader = ui.element("q-uploader").props("method=POST send-raw auto-upload flat bordered")
        uploader.props["url"] = "/api/v1/datasets/upload"
        uploader.props["accept"] = ARCHIVES
        uploader.style("max-width: 100%; width: 30rem").mark("uploader")
        name_uploader(uploader, "Drop an archive here")
        done = "(info) => emit(info.files[0].name, info.xhr.responseText)"
        uploader.on("uploaded", lambda event: self._uploaded(*event.args), js_handler=done)
        uploader.on("failed", lambda event: self._not_uploaded(*event.args), js_handler=done)
        uploader.on("rejected", lambda: ui.notify(f"Choose one of {ARCHIVES.replace(',', ' ')}.", type="warning"))

    def _uploaded(self, name: object, answer: object) -> None:
        self.uploader.run_method("reset")  # another one can be dropped
        path = json.loads(str(answer))["path"]
        stem = str(name).split(".", maxsplit=1)[0]
        self.name_is_ours = False
        self.name.value = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stem)[:100]
        self.labels.value = ""
        self.images.value = path

    def _not_uploaded(self, name: object, answer: object) -> None:
        self.uploader.run_method("reset")
        try:
            said = str(json.loads(str(answer))["detail"])
        except (ValueError, KeyError, TypeError):
            said = f"{name} could not be uploaded."
        ui.notify(said, type="negative", multi_line=True, close_button="Close", timeout=12_000)

    def _request(self, *, choices: bool) -> FolderRequest:
        """What the page says.

        Args:
            choices: with names, colours, merged and dropped classes and splits, which need no other look at the files.
        """
        said: dict[str, object] = {"images": (self.images.value or "").strip(), **self.options.said()}
        if labels := (self.labels.value or "").strip():
            said["labels"] = labels
        said |= self.result.said(choices=choices)
        try:
            return FolderRequest(**said)
        except ValidationError as wrong:
            first = wrong.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise FullconvError(first["msg"].removeprefix("Value error, "), where=field) from None

    async def _look(self, *_: object) -> None:
        """Look at the folders anew."""
        await self._end()
        self.fault.text = ""
        if not (self.images.value or "").strip():
            self.status.visible = self.finish.visible = False
            self.result.clear()
            return
        try:
            request = self._request(choices=False)
            if self.checked is not None and request.images != self.checked.images:
                self.result.clear()
                request = self._request(choices=False)
            view = await asked(begin_check, bench(), request)
        except FullconvError as problem:
            self.fault.text = str(problem)
            self.status.visible = self.finish.visible = False
            self.result.clear()
            return
        self._begin(view.id)
        self.checked = request
        self.status.visible = True
        self._show_status(view)
        self.timer.activate()

    async def _poll(self) -> None:
        if self.check is None:
            self.timer.deactivate()
            return
        try:
            view = await asked(check_of, bench(), self.check)
        except NotThere:
            self.timer.deactivate()
            return
        if view.id != self.check:
            return
        self._show_status(view)
        if view.state in ("looking", "checking"):
            return
        self.timer.deactivate()
        if view.state != "done":
            self.finish.visible = False
            self.result.clear()
            return
        self.result.begin(view)
        if self.name_is_ours:
            self.name.value = view.name
            self.name_is_ours = True
        await self._choose()

    async def _choose(self) -> None:
        """The choices on the page, applied to what was found."""
        if self.check is None:
            return
        try:
            view = await asked(choose_in_check, bench(), self.check, self._request(choices=True))
        except NotThere:
            await self._look()
            return
        except Conflict:
            if not self.timer.active:
                await self._look()
            return
        except FullconvError as problem:
            self.result.refuse(problem)
            self.create.disable()
            return
        if view.id == self.check:
            self.result.show(view)
            self.finish.visible = True
            self.create.set_enabled(view.usable)
            self.name_fault.text = "" if view.usable else "Errors keep it from being used; see the problems."

    def _show_status(self, view: CheckView) -> None:
        running = view.state in ("looking", "checking")
        self.cancel.visible = self.bar.visible = running
        self.bar.value = view.progress
        self.message.classes(remove="bad")
        left = view.seconds_left
        if running:
            about = f", about {left:.0f} s left" if left is not None and left >= 2 else ""
            self.message.text = f"{view.message}{about}"
        elif view.state == "done":
            self.message.text = f"{view.pairs_found or 0:,} images with labels"
            if view.unmatched:
                files = "file" if view.unmatched == 1 else "files"
                self.message.text += f", {view.unmatched:,} {files} without partner"
        else:
            self.message.text = view.error or "Cancelled."
            self.message.classes(add="bad")
        self.explanation.text = view.explanation or ""

    async def _cancel(self) -> None:
        await self._end()
        self.message.text = "Cancelled."
        self.cancel.visible = self.bar.visible = False

    async def _end(self) -> None:
        """Stop the check that goes on, if one does."""
        self.timer.deactivate()
        check = self.check
        self._begin(None)
        if check is not None:
            try:
                await asked(end_check, bench(), check)
            except NotThere:
                return

    def _begin(self, check: str | None) -> None:
        self.check = check
        self.json_link.props["href"] = FOLDERS if check is None else f"/api/v1/checks/{check}"

    def _leave(self) -> None:
        """Nobody looks at the check any more. It is only told so: the page is gone, and waits for nothing."""
        if self.check is not None and self.timer.active:
            with suppress(NotThere):
                end_check(bench(), self.check)

    def _named(self) -> None:
        self.name_is_ours = False
        self.name_fault.text = ""

    async def _create(self) -> None:
        self.create.disable()
        try:
            plan = self._request(choices=True)
            request = DatasetRequest(**plan.model_dump(), name=(self.name.value or "").strip())
            job = await asked(create_dataset, bench(), request)
        except ValidationError:
            self.name_fault.text = (
                "Use letters, digits, dot, dash and underscore, 100 at most, a letter or digit first."
            )
            self.create.enable()
            return
        except FullconvError as problem:
            self.name_fault.text = str(problem)
            self.create.enable()
            return
        self.job.clear()
        with self.job:
            JobProgress(
                job.id, on_done=lambda result: self._made(str(result.get("dataset"))), on_failed=self.create.enable
            )

    def _made(self, name: str) -> None:
        with self.job:
            link = ui.button(f"Open {name}", icon="arrow_forward").props("tag=a no-caps unelevated")
            link.props["href"] = f"/datasets/{quote(name)}"
