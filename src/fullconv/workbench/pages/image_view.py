"""One image of a dataset, large, with its classes; the arrow keys lead to the next."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

from nicegui import ui
from nicegui.events import KeyEventArguments

from fullconv.workbench.opened import OpenedDataset
from fullconv.workbench.pages.asking import tried
from fullconv.workbench.pages.stacks import Stack, picture_address, swatch, view_controls
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.dataset_images import ImageFacts, image_of

SIZE = 1600


class ImageView:
    """A dialog that shows one image at a time.

    Args:
        opened: the dataset.
        numbers: gives the images that are stepped through, in their order.
    """

    def __init__(self, opened: OpenedDataset, numbers: Callable[[], list[int]]) -> None:
        self.opened = opened
        self._numbers = numbers
        self._order: list[int] = []
        self._place = 0
        self._stack: Stack | None = None
        with ui.dialog().props("maximized") as self.dialog, ui.card().classes("column no-wrap w-full q-pa-sm"):
            self._head()
            with ui.row().classes("w-full col no-wrap view-body"):
                self.container = ui.element("div").classes("view-picture")
                with ui.column().classes("view-side").style("gap: .35rem"):
                    self.controls = ui.element("div")
                    self.side = ui.column().classes("w-full").style("gap: .35rem")
        self.dialog.props('aria-label="Image"')
        self.dialog.on_value_change(lambda event: self._keys(bool(event.value)))
        self.keyboard = ui.keyboard(on_key=self._key, active=False, ignore=["input", "textarea", "select"])
        ui.add_css(STYLE)

    async def open(self, number: int) -> None:
        """Show an image; those that fit the filters come before and after it."""
        order = self._numbers()
        self._order = order if number in order else [number]
        self._place = self._order.index(number)
        self.controls.clear()
        with self.controls:
            view_controls(self.container)
        self.dialog.open()
        await self._show()

    def _head(self) -> None:
        with ui.row().classes("w-full items-center justify-between no-wrap"):
            with ui.column().classes("col").style("gap: 0; min-width: 0"):
                self.title = ui.label().classes("text-weight-medium ellipsis w-full").mark("image-name")
                self.place = ui.label().classes("faint")
            with ui.row().classes("no-wrap items-center").style("gap: .2rem"):
                self.previous = ui.button(icon="chevron_left", on_click=lambda: self._step(-1))
                self.following = ui.button(icon="chevron_right", on_click=lambda: self._step(1))
                close = ui.button(icon="close", on_click=self.dialog.close)
                for button, name in (
                    (self.previous, "Previous image"),
                    (self.following, "Next image"),
                    (close, "Close"),
                ):
                    button.props("flat round dense").props(f'aria-label="{name}"').tooltip(name)

    async def _step(self, by: int) -> None:
        place = self._place + by
        if 0 <= place < len(self._order):
            self._place = place
            await self._show()

    async def _key(self, event: KeyEventArguments) -> None:
        if not event.action.keydown or event.modifiers.ctrl or event.modifiers.meta or event.modifiers.alt:
            return
        steps = {"ArrowLeft": -1, "PageUp": -1, "ArrowRight": 1, "PageDown": 1}
        if event.key.name in steps:
            await self._step(steps[event.key.name])
        elif event.key.name == "Home":
            await self._step(-self._place)
        elif event.key.name == "End":
            await self._step(len(self._order) - 1 - self._place)

    def _keys(self, active: bool) -> None:
        self.keyboard.active = active

    async def _show(self) -> None:
        number = self._order[self._place]
        image = await tried(image_of, bench(), self.opened.name, number)
        if image is None or self._order[self._place] != number:
            return
        self.title.text = image.key
        self.place.text = f"{self._place + 1:,} of {len(self._order):,} · {image.split} · {image.width}×{image.height}"
        self.previous.set_enabled(self._place > 0)
        self.following.set_enabled(self._place < len(self._order) - 1)
        address, version = self._address(number), self.opened.version
        ratio = image.width / image.height
        if self._stack is None:
            with self.container:
                self._stack = Stack(address, size=SIZE, version=version, name=image.key, ratio=ratio, lazy=False)
        else:
            self._stack.show(address, version=version, name=image.key, ratio=ratio)
        self._stack.element.style(f"max-width: min(100%, calc((100vh - 7rem) * {ratio:.4f}))")
        self._describe(image)
        self._fetch_ahead()

    def _describe(self, image: ImageFacts) -> None:
        self.side.clear()
        colors = {entry.name: entry.color for entry in self.opened.classes.classes}
        with self.side:
            if image.classes is None:
                ui.label("The classes of this image are being counted.").classes("faint")
            shares = sorted((image.classes or {}).items(), key=lambda item: -item[1])
            for name, share in shares:
                with ui.row().classes("items-center no-wrap w-full").style("gap: .5rem"):
                    swatch(colors[name])
                    ui.label(name).classes("col ellipsis")
                    ui.label(f"{100 * share:.1f} %").classes("faint")
            if image.ignored:
                with ui.row().classes("items-center no-wrap w-full").style("gap: .5rem"):
                    swatch((255, 255, 255))
                    ui.label("ignored").classes("col faint")
                    ui.label(f"{100 * image.ignored:.1f} %").classes("faint")
            for problem in image.problems:
                ui.label(problem.replace("-", " ")).classes("bad")
            ui.label(image.file).classes("faint").style("overflow-wrap: anywhere; font-size: .85rem")

    def _fetch_ahead(self) -> None:
        """Let the browser load the neighbours, so that the next key shows them at once."""
        for place in (self._place + 1, self._place - 1):
            if 0 <= place < len(self._order):
                for layer in ("image", "labels"):
                    source = picture_address(
                        self._address(self._order[place]), layer=layer, size=SIZE, version=self.opened.version
                    )
                    ui.run_javascript(f"new Image().src = {json.dumps(source)}")

    def _address(self, number: int) -> str:
        return f"/api/v1/datasets/{quote(self.opened.name)}/images/{number}/picture"


STYLE = """
.view-body { gap: 1rem; align-items: flex-start; overflow: auto }
.view-picture { flex: 1 1 auto; min-width: 0; display: flex; justify-content: center }
.view-side { flex: 0 0 16rem; max-width: 100% }
@media (max-width: 800px) {
  .view-body { flex-wrap: wrap; align-content: flex-start } .view-picture, .view-side { flex: 1 1 100% } }
"""
