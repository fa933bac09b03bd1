"""Layers: what a network makes of an image, layer by layer, and who reads what."""

from __future__ import annotations

from nicegui import ui

from fullconv.errors import FullconvError
from fullconv.workbench.layers.views import InfluenceView, LayersView, LayerView, UnitsView
from fullconv.workbench.pages import layer_panel, layer_picture
from fullconv.workbench.pages.asking import asked as ask
from fullconv.workbench.pages.asking import refuse
from fullconv.workbench.pages.layer_addresses import page_address, rest_address
from fullconv.workbench.pages.layer_choice import LayerChoice
from fullconv.workbench.pages.layer_list import LayerList
from fullconv.workbench.pages.layer_picture import LayerPicture
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.layer_images import SHAPES
from fullconv.workbench.services.layers import (
    Asked,
    influence_of,
    list_layers,
    pixel_of,
    unit_of,
)
from fullconv.workbench.services.predictable import Predictable, predictable_models
from fullconv.workbench.stored import PackageKind

NARROW = 700
LEAD = (
    "Every layer of a network is a stack of maps, one per channel. A bright cell is a unit that answers strongly to "
    "the part of the image that it reads: its receptive field."
)


async def layers_page(
    model: str = "",
    kind: str = "",
    image: str = SHAPES,
    head: str | None = None,
    layer: str | None = None,
    unit: str | None = None,
) -> None:
    """The page of layers; model, image and what is chosen are in the address."""
    with frame("Layers", "/layers"):
        ui.add_css(layer_picture.STYLE + layer_panel.STYLE)
        heading("Layers")
        ui.label(LEAD).classes("faint")
        models = await ask(predictable_models, bench())
        if not models and not model:
            nothing_yet("There is no model yet.", "Train one", "/runs/new")
            return
        which: PackageKind | None = "run" if kind == "run" else "model" if kind == "model" else None
        if not model:
            model, which = models[0].name, models[0].kind
        asked = Asked.model_construct(model=model[:100], kind=which, image=image[:5000] or SHAPES, head=head or None)
        page = LayersPage(asked, models, layer, _unit_of(unit))
        page.begin()


class LayersPage:
    """One visitor's look at a model and an image.

    Args:
        asked: which. models: that can be chosen.
        layer: the one that is opened first. unit: (channel, row, column) of it that is chosen first.
    """

    def __init__(
        self, asked: Asked, models: list[Predictable], layer: str | None, unit: tuple[int, int, int] | None
    ) -> None:
        self.asked, self.models, self._layer, self._unit = asked, models, layer, unit
        self._chosen: tuple[str, int, int, int] | None = None

    def begin(self) -> None:
        """Show that it is being computed; go on when the browser is there."""
        self.head = ui.column().classes("w-full").style("gap: .6rem")
        with self.head:
            LayerChoice(self.asked, self.models)
        with ui.row().classes("items-center").props("role=status") as self.waiting:
            ui.spinner()
            ui.label("The network looks at the image.")
        self.body = ui.column().classes("w-full")
        ui.timer(0.01, self._load, once=True)

    async def _load(self) -> None:
        try:
            self.view = await list_layers(bench(), self.asked)
        except FullconvError as problem:
            self.waiting.delete()
            with self.body:
                shapes = page_address(self.asked.model_copy(update={"image": SHAPES, "head": None}))
                nothing_yet(str(problem), "Look at the simple shapes instead", shapes)
            return
        try:
            width = int(await ui.run_javascript("return window.innerWidth", timeout=10.0) or NARROW)
        except TimeoutError:  # a browser that is busy, or far away, gets what fits most
            width = NARROW
        self.waiting.delete()
        if self.view.heads:
            self.head.clear()
            with self.head:
                LayerChoice(self.asked, self.models, self.view.heads)
        with self.body:
            self._summary(self.view)
            with ui.element("div").classes("layers-body"):
                with ui.column().classes("layers-side"):
                    self.picture = LayerPicture(self.asked, self.view, self._choose_pixel, self._again)
                self.list = LayerList(self.asked, self.view, 3 if width < NARROW else 6, self._choose_unit)
        first = self._first()
        if first is not None:
            await self.list.open(first)
            if first == self._layer:
                self.list.scroll_to(first)
            if self._unit is not None and self._layer == first:
                channel, row, column = self._unit
                await self._choose_unit(first, channel, row, column)
                await self.list.show_channel(first, channel)

    def _first(self) -> str | None:
        """The layer that is opened at the start: the one in the address, else the first with filters."""
        names = [layer.name for layer in self.view.layers]
        if self._layer in names:
            return self._layer
        return next((layer.name for layer in self.view.layers if layer.filters), names[0] if names else None)

    def _summary(self, view: LayersView) -> None:
        size = f"{view.columns}×{view.rows}"
        seen = f"{view.seen_columns}×{view.seen_rows}"
        resized = "" if seen == size else f", which the network gets as {seen}"
        with ui.row().classes("w-full items-center justify-between").style("gap: .2rem 1rem"):
            ui.label(f"{view.title}: {size} pixels{resized}").classes("text-weight-medium").style(
                "overflow-wrap: anywhere"
            )
            ui.link("JSON", rest_address(self.asked, "layers")).classes("faint")
        with ui.expansion("The network, to scale").classes("w-full layer-row").props("dense") as drawn:
            for sentence in view.summary:
                ui.label(sentence)
            drawing = (
                ui.element("div").classes("w-full").style("overflow-x: auto; max-height: 80vh").props("tabindex=0")
            )
        if any(layer.stride is not None for layer in view.layers):
            drawn.on_value_change(lambda event: self._draw(drawing) if event.value else None)

    def _draw(self, drawing: ui.element) -> None:
        if drawing.default_slot.children:
            return
        with drawing:
            picture = ui.element("img").style("width: 100%; min-width: 720px; background: #fff")
            picture.props["src"] = rest_address(self.asked, "network", v=self.view.tag)
            picture.props["alt"] = "Every layer with its stride and receptive field, drawn over the image"

    async def _choose_unit(self, layer: str, channel: int, row: int, column: int) -> None:
        self._chosen = (layer, channel, row, column)
        try:
            unit = await unit_of(bench(), self.asked, layer, row, column, channel)
            influence: InfluenceView | None = None
            if self.picture.shows == "influence":
                influence, _ = await influence_of(bench(), self.asked, layer, row, column, channel)
        except FullconvError as problem:
            refuse(problem)
            return
        if self._chosen != (layer, channel, row, column):  # another one was chosen meanwhile
            return
        self.picture.show_unit(unit, self._layer_of(layer), influence)
        self.list.mark_unit(unit)
        ui.navigate.history.replace(page_address(self.asked, layer=layer, unit=f"{channel},{row},{column}"))

    async def _choose_pixel(self, row: int, column: int) -> None:
        self._chosen = None
        try:
            found = await pixel_of(bench(), self.asked, row, column)
        except FullconvError as problem:
            refuse(problem)
            return
        if self._chosen is not None or self.picture.pixel != (row, column):
            return
        main = {layer.name for layer in self.view.layers if layer.main}
        lines = [(units.layer, _units_said(units)) for units in found.layers if units.layer in main]
        self.picture.show_pixel(row, column, lines)
        self.list.mark_units({units.layer: units for units in found.layers})

    async def _again(self) -> None:
        """Something else is to be drawn for the same unit."""
        if self._chosen is not None:
            await self._choose_unit(*self._chosen)

    def _layer_of(self, name: str) -> LayerView:
        return next(layer for layer in self.view.layers if layer.name == name)


def _units_said(units: UnitsView) -> str:
    if units.whole and not units.rows:
        return "all units"
    if not units.count:
        return "no unit"
    rows, columns = ("+".join(_ends(*run) for run in runs) for runs in (units.rows, units.columns))
    return f"{units.count:,} of {units.of:,}: rows {rows}, columns {columns}"


def _ends(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"


def _unit_of(text: str | None) -> tuple[int, int, int] | None:
    """Channel, row and column as they stand in the address.

    >>> _unit_of("3,10,20"), _unit_of("3,x"), _unit_of(None)
    ((3, 10, 20), None, None)
    """
    parts = (text or "").split(",")
    if len(parts) != 3 or not all(part.isdecimal() and len(part) < 8 for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])
