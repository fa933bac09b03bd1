"""One layer, opened: its numbers, its channels as tiles, and its filters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product

from nicegui import events, ui

from fullconv.errors import FullconvError
from fullconv.geometry.tables import counted, shown
from fullconv.workbench.layers.tiles import Sheet
from fullconv.workbench.layers.views import Ends, LayersView, LayerView, Pair, SheetView, SheetWish, UnitsView, UnitView
from fullconv.workbench.pages.accessible_names import name_picture
from fullconv.workbench.pages.asking import refuse
from fullconv.workbench.pages.layer_addresses import rest_address
from fullconv.workbench.pages.layer_histogram import histogram
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.layer_pictures import activations, filters, sheet_of_view
from fullconv.workbench.services.layers import Asked

PER_PAGE = 24
TILE = 160
ChooseUnit = Callable[[str, int, int, int], Awaitable[None]]
STYLE = """
.tiles { width: 100%; line-height: 0 } .tiles img { image-rendering: pixelated }
.layer-row { border: 1px solid var(--line); border-radius: 8px; scroll-margin-top: 5rem }
.layer-row .q-item { padding: .3rem .8rem } .layer-row .q-item__label--caption { color: var(--faint) }
.layer-row .nicegui-expansion-content { padding: .2rem .8rem .8rem } .layer-row .q-tab-panel { padding: .4rem 0 0 }
.framed { border: 1px solid var(--line) }
.layer-row .q-item__label { overflow-wrap: anywhere }
.layer-head { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 3fr); gap: .6rem 1.2rem; width: 100% }
.layer-facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(7.6rem, 100%), 1fr));
  gap: .25rem 1rem; width: 100%; margin: 0; align-content: start; font-size: .93rem; line-height: 1.35 }
.layer-facts dt { font-size: .78rem; color: var(--faint) } .layer-facts dd { margin: 0 }
@media (max-width: 700px) { .layer-head { grid-template-columns: minmax(0, 1fr) } }
.cells { fill: #ff922b; fill-opacity: .35; stroke: #fff; stroke-width: 1.2; vector-effect: non-scaling-stroke }
.cell { fill: none; stroke: #fff; stroke-width: 4; vector-effect: non-scaling-stroke }
.cell.over { stroke: #d9480f; stroke-width: 2 }
"""


class LayerPanel:
    """What is inside an opened layer.

    Args:
        asked: model and image. view: their layers. layer: this one.
        across: tiles in a row.
        on_unit: told layer, channel, row and column of a unit that was chosen.
    """

    def __init__(self, asked: Asked, view: LayersView, layer: LayerView, across: int, on_unit: ChooseUnit) -> None:
        self.asked, self.view, self.layer, self.across, self._on_unit = asked, view, layer, across, on_unit
        self.sheet: Sheet | None = None
        self.first = 0
        self.unit: UnitView | None = None
        self.units: UnitsView | None = None

    async def build(self) -> None:
        """Make it, into the element that is open."""
        with ui.element("div").classes("layer-head"):
            _facts(self.layer)
            histogram(self.layer.statistics)
        if self.layer.whole:
            whole = "; ".join(self.layer.whole)
            ui.label(f"Its units may depend on the whole image: {whole}.").classes("faint").style("font-size: .85rem")
        if not self.layer.filters:
            await self._activations()
            return
        with ui.tabs().props("no-caps align=left dense").classes("w-full") as tabs:
            ui.tab("activations", "Activations")
            ui.tab("filters", "Filters")
        with ui.tab_panels(tabs, value="activations", animated=False).classes("w-full").style("background: none"):
            with ui.tab_panel("activations").classes("q-pa-none"):
                await self._activations()
            panel = ui.tab_panel("filters").classes("q-pa-none")
        shown_filters = _FilterTiles(self.asked, self.view, self.layer, self.across, panel)
        tabs.on_value_change(shown_filters.build)

    def mark_unit(self, unit: UnitView | None) -> None:
        """Frame a unit, or none."""
        self.unit, self.units = unit, None
        self._draw()

    def mark_units(self, units: UnitsView | None) -> None:
        """Colour the units that read a pixel, on every tile."""
        self.unit, self.units = None, units
        self._draw()

    async def show_channel(self, channel: int) -> None:
        """Turn to the page of a channel."""
        page = channel // PER_PAGE + 1
        if self.pages.value != page:
            self.pages.value = page

    async def _activations(self) -> None:
        layer = self.layer
        with ui.row().classes("w-full items-center").style("gap: .3rem 1rem"):
            self.scale = ui.toggle(
                {"channel": "Each by itself", "layer": "All alike"}, value="channel", on_change=self._show
            )
            self.scale.props('no-caps dense unelevated aria-label="How brightness is scaled"')
            self.scale.classes("framed")
            count = -(-layer.channels // PER_PAGE)
            self.pages = ui.pagination(1, count, direction_links=True, on_change=self._show)
            self.pages.props('max-pages=6 aria-label="Pages of channels"')
            self.pages.visible = count > 1
            ui.link("JSON", rest_address(self.asked, "layers", layer.name, "activations")).classes("faint")
        self.tiles = ui.interactive_image(on_mouse=self._clicked, sanitize=False).classes("tiles").mark("tiles")
        self.tiles.props("tabindex=0")
        name_picture(
            self.tiles,
            f"Channels of {layer.name} as tiles. Click a cell, or move it with the arrow keys, to see what it reads; "
            "page up and page down change the channel.",
        )
        steps = {"up": (0, -1, 0), "down": (0, 1, 0), "left": (0, 0, -1), "right": (0, 0, 1)}
        for key, step in {**steps, "page-up": (-1, 0, 0), "page-down": (1, 0, 0)}.items():
            self.tiles.on(f"keydown.{key}.prevent", lambda event, by=step: self._moved(by, event), args=["shiftKey"])
        self.legend = ui.label().classes("faint").style("font-size: .85rem")
        await self._show()

    async def _show(self) -> None:
        wish = SheetWish(page=int(self.pages.value or 1) - 1, per_page=PER_PAGE, across=self.across, longest=TILE)
        try:
            found = await activations(bench(), self.asked, self.layer.name, wish, self.scale.value)
        except FullconvError as problem:
            refuse(problem)
            return
        self.sheet, self.first = sheet_of_view(found.sheet), found.sheet.first
        url = rest_address(
            self.asked,
            *("layers", self.layer.name, "activations"),
            **wish.model_dump(),
            scale=self.scale.value,
            v=self.view.tag,
        )
        self.tiles.set_source(url)
        _fit(self.tiles, found.sheet, self.across)
        last = found.sheet.first + found.sheet.count - 1
        names = ", ".join(channel.name for channel in found.channels if channel.name)
        self.legend.text = (
            f"Channels {found.sheet.first} to {last} of {found.sheet.total}, row by row"
            + (f" ({names})" if names else "")
            + ": dark is little, bright is much, "
            + ("each from its own" if self.scale.value == "channel" else "all from the layer's")
            + " 1st to 99th percentile."
        )
        self._draw()

    def _draw(self) -> None:
        if self.sheet is None:
            return
        parts = []
        if self.units is not None:
            for tile in range(self.sheet.count):
                boxes = (self.sheet.box(tile, rows, columns) for rows, columns in product(*_runs(self.units)))
                parts += [f'<rect class="cells" {_place(box)}/>' for box in boxes]
        if self.unit is not None and 0 <= self.unit.channel - self.first < self.sheet.count:
            row, column = self.unit.row, self.unit.column
            box = _place(self.sheet.box(self.unit.channel - self.first, (row, row), (column, column)))
            parts.append(f'<rect class="cell" {box}/><rect class="cell over" {box}/>')
        self.tiles.content = "".join(parts)

    async def _clicked(self, event: events.MouseEventArguments) -> None:
        found = None if self.sheet is None else self.sheet.cell_at(event.image_x, event.image_y)
        if found is not None:
            await self._on_unit(self.layer.name, self.first + found[0], found[1], found[2])

    async def _moved(self, step: tuple[int, int, int], event: events.GenericEventArguments) -> None:
        by = 10 if event.args.get("shiftKey") else 1
        ends = (self.layer.channels, self.layer.rows, self.layer.columns)
        now = (self.first, self.layer.rows // 2, self.layer.columns // 2)
        if self.unit is not None:
            now = (self.unit.channel, self.unit.row, self.unit.column)
        moved = [min(max(place + by * way, 0), end - 1) for place, way, end in zip(now, step, ends, strict=True)]
        await self._on_unit(self.layer.name, moved[0], moved[1], moved[2])
        await self.show_channel(moved[0])


class _FilterTiles:
    """The filters of a layer; made when somebody looks at them."""

    def __init__(self, asked: Asked, view: LayersView, layer: LayerView, across: int, panel: ui.element) -> None:
        self.asked, self.view, self.layer, self.across, self.panel = asked, view, layer, across, panel
        self.sheet: SheetView | None = None
        self.of: int | None = None
        self.built = False

    async def build(self) -> None:
        """Make it, once."""
        if self.built:
            return
        self.built = True
        with self.panel:
            self.explanation = ui.label().style("padding: .4rem 0")
            with ui.row().classes("w-full items-center").style("gap: .3rem 1rem"):
                self.number = ui.number("Filter", min=0, max=self.layer.channels - 1, precision=0).props(
                    "dense clearable"
                )
                self.number.style("width: 8rem").on_value_change(self._chosen)
                self.pages = ui.pagination(1, 1, direction_links=True, on_change=self._show)
                self.pages.props('max-pages=6 aria-label="Pages of filters"')
                ui.link("JSON", rest_address(self.asked, "layers", self.layer.name, "filters")).classes("faint")
            self.tiles = ui.interactive_image(on_mouse=self._clicked, sanitize=False).classes("tiles").mark("filters")
            name_picture(self.tiles)
        await self._show()

    async def _show(self) -> None:
        wish = SheetWish(
            page=int(self.pages.value or 1) - 1, per_page=4 * PER_PAGE, across=2 * self.across, longest=TILE // 2
        )
        try:
            found, _ = await filters(bench(), self.asked, self.layer.name, wish, self.of, draw=False)
            if found.view == "matrix":  # one tile, as large as there is room
                wish = wish.model_copy(update={"longest": 512})
                found, _ = await filters(bench(), self.asked, self.layer.name, wish, self.of, draw=False)
        except FullconvError as problem:
            refuse(problem)
            return
        self.sheet = found.sheet
        self.explanation.text = found.explanation
        self.pages.max = found.sheet.pages
        self.pages.visible = found.sheet.pages > 1
        address = ("layers", self.layer.name, "filters")
        self.tiles.set_source(rest_address(self.asked, *address, **wish.model_dump(), of=self.of, v=self.view.tag))
        _fit(self.tiles, found.sheet, 2 * self.across)
        self.chooses = found.view in ("strength", "colour", "weights")
        self.tiles.props["aria-label"] = found.explanation
        self.tiles.update()

    async def _chosen(self) -> None:
        self.of = None if self.number.value is None else int(self.number.value)
        self.pages.value = 1
        await self._show()

    async def _clicked(self, event: events.MouseEventArguments) -> None:
        if self.sheet is None or self.of is not None or not self.chooses:
            return
        found = sheet_of_view(self.sheet).cell_at(event.image_x, event.image_y)
        if found is not None:
            self.number.value = self.sheet.first + found[0]


def _facts(layer: LayerView) -> None:
    about = layer.statistics
    rows: list[tuple[str, str]] = [("Shape", f"{layer.channels} × {layer.rows}×{layer.columns}")]
    if layer.kernel is not None:
        padding = layer.padding if isinstance(layer.padding, str) else _both(layer.padding)
        rows.append(("Its own window", f"{_both(layer.kernel)}, step {_both(layer.step)}, padding {padding or 0}"))
        if layer.dilation not in (None, (1, 1)):
            rows.append(("Dilation", _both(layer.dilation)))
    if layer.stride is not None:
        rows.append(("Stride on the image", f"{_both(layer.stride)} pixels"))
        rows.append(("Unit 0 sits at", f"pixel {_both(layer.offset)}"))
        rows.append(("Receptive field", f"{sides(layer.receptive_field)} pixels"))
    if layer.parameters:
        rows.append(("Parameters", f"{layer.parameters:,}"))
    if layer.multiply_adds:
        rows.append(("Multiply-adds", counted(layer.multiply_adds)))
    rows.append(("Mean, deviation", f"{about.mean:.3g} ± {about.std:.3g}"))
    rows.append(("Least, greatest", f"{about.least:.3g} … {about.greatest:.3g}"))
    rows.append(("Zeros", f"{about.zeros:.1%}"))
    if about.constant:
        rows.append(("Channels of one value", f"{about.constant} of {layer.channels}"))
    if about.broken:
        rows.append(("Not a number", f"{about.broken:,}"))
    with ui.element("dl").classes("layer-facts"):
        for name, value in rows:
            with ui.element("div"):
                with ui.element("dt"):
                    ui.label(name)
                with ui.element("dd"):
                    ui.label(value)


def _fit(image: ui.interactive_image, sheet: SheetView, across: int) -> None:
    """Few tiles are not blown up to the whole width."""
    share = min(1.0, sheet.across / across) if sheet.count > 1 else 0.55
    image.style(f"max-width: {share:.1%}")


def sides(field: Ends | None) -> str:
    """Pixels across and down."""
    return "" if field is None else f"{field[1]}×{field[0]}"


def _both(pair: tuple[int, int] | Pair | None) -> str:
    if pair is None:
        return ""
    rows, columns = (shown(round(value, 4)) if isinstance(value, int) else f"{value:.6g}" for value in pair)
    return rows if rows == columns else f"{rows}×{columns}"


def _runs(units: UnitsView) -> tuple[tuple[Ends, ...], tuple[Ends, ...]]:
    return units.rows, units.columns


def _place(box: tuple[float, float, float, float]) -> str:
    x, y, width, height = box
    return f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
