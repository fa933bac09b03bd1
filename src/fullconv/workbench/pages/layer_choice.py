"""Which model and which image the layers are shown for."""

from __future__ import annotations

from typing import Any

from nicegui import events, ui

from fullconv.errors import FullconvError
from fullconv.workbench.held_images import LARGEST
from fullconv.workbench.pages.accessible_names import name_uploader
from fullconv.workbench.pages.asking import asked as ask
from fullconv.workbench.pages.asking import refuse
from fullconv.workbench.pages.layer_addresses import page_address
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.predicting.images import Upload, plain_name
from fullconv.workbench.security.uploads import received
from fullconv.workbench.services.dataset_images import ImageQuery, list_images
from fullconv.workbench.services.layer_images import SHAPES, locate
from fullconv.workbench.services.layers import Asked, hold_image
from fullconv.workbench.services.predictable import Predictable

KINDS = {SHAPES: "Simple shapes", "dataset": "From a dataset", "path": "A file on the server", "upload": "Upload"}
MATCHES = 100


class LayerChoice:
    """The choices at the head of the page; each leads to the page of what was chosen.

    Args:
        asked: what is chosen now.
        models: to choose from. heads: of the model, where it has several.
    """

    def __init__(self, asked: Asked, models: list[Predictable], heads: tuple[str, ...] = ()) -> None:
        self.asked = asked
        kind, _, rest = asked.image.partition(":")
        self._rest = rest
        with ui.row().classes("w-full items-end").style("gap: .4rem 1rem"):
            names = {f"{entry.kind}:{entry.name}": _told(entry, models) for entry in models}
            meant = [f"{which}:{asked.model}" for which in ("model", "run") if asked.kind in (None, which)]
            present = next((key for key in meant if key in names), None)
            self.model = ui.select(names, label="Model", value=present)
            self.model.props("dense options-dense").classes("col").style("min-width: min(16rem, 100%)")
            self.model.on_value_change(lambda event: self._other_model(str(event.value)))
            if heads:
                head = ui.select(list(heads), label="Head", value=asked.head or heads[0]).props("dense options-dense")
                head.style("min-width: 8rem").on_value_change(lambda event: self._go(head=event.value))
            self.kind = ui.select(KINDS, label="Image", value=kind if kind in KINDS else SHAPES)
            self.kind.props("dense options-dense").style("min-width: 12rem").on_value_change(self._kind_chosen)
            self.more = ui.row().classes("col items-end no-wrap").style("min-width: min(18rem, 100%); gap: .6rem")
        with self.more:
            self._build_more()

    def _go(self, **changes: Any) -> None:
        ui.navigate.to(page_address(self.asked.model_copy(update=changes)))

    def _other_model(self, chosen: str) -> None:
        kind, _, name = chosen.partition(":")
        self._go(kind=kind, model=name, head=None)

    def _kind_chosen(self) -> None:
        if self.kind.value == SHAPES:
            self._go(image=SHAPES)
            return
        self._rest = ""
        self.more.clear()
        with self.more:
            self._build_more()

    def _build_more(self) -> None:
        if self.kind.value == "dataset":
            self._of_dataset()
        elif self.kind.value == "path":
            self._of_path()
        elif self.kind.value == "upload":
            self._of_upload()

    def _of_dataset(self) -> None:
        names = [entry.name for entry in bench().catalogue.entries("dataset")]
        name, _, key = self._rest.partition(":")
        if not names:
            ui.label("There is no dataset yet.").classes("faint")
            return
        dataset = ui.select(names, label="Dataset", value=name if name in names else names[0])
        dataset.props("dense options-dense").classes("col")
        images = ui.select([key] if key else [], label="Its image", value=key or None, with_input=True)
        images.props("dense options-dense").classes("col")

        async def find(text: str = "") -> None:
            try:
                page = await ask(list_images, bench(), str(dataset.value), ImageQuery(search=text[:200], limit=MATCHES))
            except FullconvError as problem:
                refuse(problem)
                return
            found = [image.key for image in page.images]
            kept = [str(images.value)] if images.value else []
            images.set_options(list(dict.fromkeys([*kept, *found])))

        async def other_dataset() -> None:
            images.value = None
            await find()

        dataset.on_value_change(other_dataset)
        images.on("input-value", lambda event: find(str(event.args or "")), throttle=0.3)

        def show() -> None:
            if images.value and images.value != key:
                self._go(image=f"dataset:{dataset.value}:{images.value}")

        images.on_value_change(show)
        ui.timer(0.01, find, once=True)

    def _of_path(self) -> None:
        path = ui.input("Path of an image", value=self._rest).props("dense").classes("col")

        async def go() -> None:
            image = f"path:{str(path.value or '').strip()}"[:5000]
            try:
                await ask(locate, bench(), image)
            except FullconvError as problem:
                path.error = str(problem)
                return
            self._go(image=image)

        path.on("keydown.enter", go)
        ui.button("Show", on_click=go).props("no-caps unelevated dense").style("padding: .2rem .8rem")

    def _of_upload(self) -> None:
        async def uploaded(event: events.UploadEventArguments) -> None:
            name = plain_name(event.file.name)
            try:
                folder = bench().scratch.folder("uploads")
                path = await received(event.file, LARGEST, folder=folder, where=name)
                token = await hold_image(bench(), Upload(name, path))
            except FullconvError as problem:
                refuse(problem)
                return
            self._go(image=f"upload:{token}")

        upload = ui.upload(on_upload=uploaded, auto_upload=True, max_files=1)
        upload.props('accept="image/*,.tif,.tiff" flat bordered').classes("col")
        name_uploader(upload, "Drop an image here")


def _told(entry: Predictable, models: list[Predictable]) -> str:
    """A model's name; of a run where the store has one of that name, too."""
    namesake = any(other.name == entry.name and other.kind != entry.kind for other in models)
    return f"{entry.name} (of the run)" if namesake and entry.kind == "run" else entry.name
