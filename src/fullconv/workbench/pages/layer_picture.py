"""The image beside the layers: what a unit reads is drawn on it, and a click on a pixel asks who reads it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape
from typing import Literal

from nicegui import events, ui

from fullconv.workbench.layers.views import InfluenceView, LayersView, LayerView, UnitView
from fullconv.workbench.pages.accessible_names import name_picture
from fullconv.workbench.pages.layer_addresses import rest_address
from fullconv.workbench.pages.stacks import OwnSlider
from fullconv.workbench.services.layers import Asked

Over = Literal["field", "activation", "influence"]
OVERS: dict[Over, str] = {"field": "Its field", "activation": "Its channel", "influence": "Influence on it"}
STYLE = """
.layers-body { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 8fr); gap: 1.2rem; width: 100%;
  align-items: start }
.layers-side { position: sticky; top: 4.7rem; gap: .6rem; min-width: 0; max-height: calc(100vh - 5.2rem);
  overflow-y: auto; padding: 3px }
.layers-frame { width: 100% }
.layers-picture { width: 100%; line-height: 0; background: var(--soft); border-radius: 6px; overflow: hidden }
.layers-picture:focus-visible, .tiles:focus-visible { outline-offset: -2px }
.marked { fill: none; vector-effect: non-scaling-stroke }
.marked.under { stroke: #fff; stroke-width: 5 } .marked.over { stroke: #d9480f; stroke-width: 2.2 }
.marked.inner { stroke-dasharray: 5 4 }
.ring { fill: none; stroke: #d9480f; stroke-width: 2.2; vector-effect: non-scaling-stroke }
.glance { width: 9rem; height: 9rem; border-radius: 6px; display: block; background: var(--soft) }
.centre { fill: #d9480f; stroke: #fff; stroke-width: 1.5; vector-effect: non-scaling-stroke }
@media (max-width: 900px) {
  .layers-body { display: block }
  .layers-body > *, .layers-side > * { margin-bottom: .6rem }
  .layers-body .layers-side { display: contents }
  .layers-frame { position: sticky; top: 4.5rem; z-index: 5; margin-bottom: .6rem }
}
"""


class LayerPicture:
    """The image, what is drawn on it, and the words for it.

    Args:
        asked: model and image.
        view: their layers.
        on_pixel: told which pixel was chosen.
        on_over: told that something else is to be drawn.
    """

    def __init__(
        self,
        asked: Asked,
        view: LayersView,
        on_pixel: Callable[[int, int], Awaitable[None]],
        on_over: Callable[[], Awaitable[None]],
    ) -> None:
        self.asked, self.view, self._on_pixel = asked, view, on_pixel
        self.pixel: tuple[int, int] | None = None
        source = rest_address(asked, "input", v=view.tag)
        with ui.element("div").classes("layers-frame"):
            self.image = ui.interactive_image(source, on_mouse=self._clicked, sanitize=False)
        self.image.classes("layers-picture")
        self.image.mark("layers-picture")
        self.image.props("tabindex=0")
        name_picture(
            self.image,
            f"The image, {view.columns}×{view.rows} pixels. Click a pixel, or move it with the arrow keys, to see "
            "which units read it.",
        )
        for key, step in (("up", (-1, 0)), ("down", (1, 0)), ("left", (0, -1)), ("right", (0, 1))):
            self.image.on(f"keydown.{key}.prevent", lambda event, by=step: self._moved(by, event), args=["shiftKey"])
        with ui.row().classes("w-full items-center").style("gap: .2rem .8rem") as self.choices:
            self.over = ui.toggle(dict(OVERS), value="field", on_change=on_over).props("no-caps dense unelevated")
            self.over.classes("framed").props('aria-label="What is drawn on the image"')
            self.opacity = OwnSlider(min=0, max=1, step=0.05, value=0.65, on_change=self._redraw).style("width: 8rem")
            self.opacity.props('aria-label="Opacity of what is drawn" label')
        self.choices.visible = False
        self.said = ui.column().classes("w-full").style("gap: .2rem").props("aria-live=polite").mark("layers-said")
        with self.said:
            ui.label(
                "Click a cell of a tile to see which part of the image it reads, or a pixel of the image to see who "
                "reads it. The arrow keys move either."
            ).classes("faint")
        self._draw: Callable[[], str] = str

    @property
    def shows(self) -> Over:
        """What is to be drawn beside the field."""
        value: Over = self.over.value
        return value

    def show_unit(self, unit: UnitView, layer: LayerView, influence: InfluenceView | None) -> None:
        """Draw what a unit reads, and say it."""
        self.pixel = None
        self.choices.visible = True
        self.opacity.visible = self.shows != "field"
        self._draw = lambda: self._unit_drawn(unit, layer, influence)
        self._redraw()
        self.said.clear()
        with self.said, ui.row().classes("w-full no-wrap items-start justify-between").style("gap: .8rem"):
            self._say(unit, layer, influence)
            self._glance(unit)

    def _say(self, unit: UnitView, layer: LayerView, influence: InfluenceView | None) -> None:
        name = layer.channel_names[unit.channel] if layer.channel_names else None
        value = "not a number" if unit.value is None else f"{unit.value:.4g}"
        channel = f"channel {unit.channel}" + (f" ({name})" if name else "")
        with ui.column().classes("col").style("gap: .2rem; min-width: 0"):
            ui.label(unit.layer).classes("text-weight-medium").style("overflow-wrap: anywhere")
            ui.label(f"{channel}, row {unit.row}, column {unit.column}: {value}")
            ui.label(unit.says)
            for sentence in unit.whole:
                ui.label(sentence).classes("faint")
            if influence is not None:
                ui.label(_of_influence(influence))

    def show_pixel(self, row: int, column: int, lines: list[tuple[str, str]]) -> None:
        """Mark a pixel, and say which units read it.

        Args:
            lines: name of a layer, and its units.
        """
        self.pixel = (row, column)
        self.choices.visible = False
        self._draw = lambda: self._pixel_drawn(row, column)
        self._redraw()
        self.said.clear()
        with self.said:
            ui.label(f"Row {row}, column {column} is read by").classes("text-weight-medium")
            with ui.element("div").classes("w-full").style("max-height: 16rem; overflow-y: auto").props("tabindex=0"):
                for name, units in lines:
                    with ui.row().classes("w-full no-wrap justify-between").style("gap: .8rem; font-size: .85rem"):
                        ui.label(name).classes("ellipsis").style("direction: rtl; min-width: 0")
                        ui.label(units).classes("faint").style("white-space: nowrap")

    def _unit_drawn(self, unit: UnitView, layer: LayerView, influence: InfluenceView | None) -> str:
        parts = []
        place = f"{unit.layer}"
        if self.shows == "activation":
            url = rest_address(self.asked, "layers", place, "activations", unit.channel, v=self.view.tag)
            parts.append(self._laid(url, *self._placed(layer)))
        if self.shows == "influence":
            where = ("layers", place, "units", unit.row, unit.column, "influence")
            url = rest_address(self.asked, *where, channel=unit.channel, v=self.view.tag)
            parts.append(self._laid(url, 0, 0, self.view.columns, self.view.rows))
        rows, columns = unit.rows, unit.columns
        if rows is not None and columns is not None:
            radius = max(self.view.columns, self.view.rows) / 130
            across = 0
            if rows.first is not None and rows.last is not None and columns.first is not None:
                assert columns.last is not None
                across = columns.last - columns.first + 1
                parts.append(_box("unit-field", (rows.first, rows.last), (columns.first, columns.last)))
            if across > 8 * radius or not across:  # in a smaller field it would hide what is there
                middle = f'cx="{columns.centre + 0.5:g}" cy="{rows.centre + 0.5:g}"'
                parts.append(f'<circle class="centre" {middle} r="{radius:g}"/>')
        if influence is not None and influence.rows is not None and influence.columns is not None:
            parts.append(_box("unit-influence inner", influence.rows, influence.columns))
        return "".join(parts)

    def _pixel_drawn(self, row: int, column: int) -> str:
        around = f'cx="{column + 0.5:g}" cy="{row + 0.5:g}" r="{max(self.view.columns, self.view.rows) / 45:g}"'
        box = f'x="{column}" y="{row}" width="1" height="1"'
        return (
            f'<circle class="marked under" {around}/><circle class="ring" {around}/>'
            f'<rect class="pixel" fill="#d9480f" {box}/>'
        )

    def _glance(self, unit: UnitView) -> None:
        """The part of the image that a unit reads, as large as there is room, with what is laid over it."""
        rows, columns = unit.rows, unit.columns
        if rows is None or columns is None or rows.first is None or rows.last is None or columns.first is None:
            return
        assert columns.last is not None
        width, height = columns.last - columns.first + 1, rows.last - rows.first + 1
        if width * height > 0.6 * self.view.columns * self.view.rows:
            return
        edge = max(1, max(width, height) // 12)
        place = f"{columns.first - edge} {rows.first - edge} {width + 2 * edge} {height + 2 * edge}"
        source = escape(rest_address(self.asked, "input", v=self.view.tag))
        photo = (
            f'<image href="{source}" x="0" y="0" width="{self.view.columns}" height="{self.view.rows}" '
            'preserveAspectRatio="none" style="image-rendering: pixelated"/>'
        )
        ui.html(
            f'<svg class="glance" viewBox="{place}" role="img"><title>What it reads, enlarged</title>{photo}'
            f"{self._draw()}</svg>",
            sanitize=False,  # numbers, and addresses in which all names are quoted
        )

    def _placed(self, layer: LayerView) -> tuple[float, float, float, float]:
        """x, y, width and height that a layer's cells take on the image."""
        across, down = self.view.columns / self.view.seen_columns, self.view.rows / self.view.seen_rows
        if layer.stride is None or layer.offset is None:
            return 0, 0, self.view.columns, self.view.rows
        (high, wide), (top, left) = layer.stride, layer.offset
        return (
            (left + 0.5 - wide / 2) * across,
            (top + 0.5 - high / 2) * down,
            wide * layer.columns * across,
            high * layer.rows * down,
        )

    def _laid(self, url: str, x: float, y: float, width: float, height: float) -> str:
        return (
            f'<image href="{escape(url)}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'opacity="{float(self.opacity.value):g}" preserveAspectRatio="none" style="image-rendering: pixelated"/>'
        )

    def _redraw(self) -> None:
        shrunk = min(1.0, 1024 / max(self.view.rows, self.view.columns))
        width, height = round(self.view.columns * shrunk), round(self.view.rows * shrunk)
        scale = f"scale({width / self.view.columns:.6f} {height / self.view.rows:.6f})"
        self.image.content = f'<g transform="{scale}">{self._draw()}</g>'

    async def _clicked(self, event: events.MouseEventArguments) -> None:
        shrunk = max(1.0, max(self.view.rows, self.view.columns) / 1024)
        await self._choose(int(event.image_y * shrunk), int(event.image_x * shrunk))

    async def _moved(self, step: tuple[int, int], event: events.GenericEventArguments) -> None:
        by = 10 if event.args.get("shiftKey") else 1
        row, column = self.pixel or (self.view.rows // 2, self.view.columns // 2)
        await self._choose(row + by * step[0], column + by * step[1])

    async def _choose(self, row: int, column: int) -> None:
        row = min(max(row, 0), self.view.rows - 1)
        column = min(max(column, 0), self.view.columns - 1)
        self.pixel = (row, column)
        await self._on_pixel(row, column)


def _box(kind: str, rows: tuple[int, int], columns: tuple[int, int]) -> str:
    """A frame around pixels, first and last included: dark on light, so that it is seen on any image."""
    place = f'x="{columns[0]}" y="{rows[0]}" width="{columns[1] - columns[0] + 1}" height="{rows[1] - rows[0] + 1}"'
    return f'<rect class="marked under" {place}/><rect class="marked over {kind}" {place}/>'


def _of_influence(found: InfluenceView) -> str:
    if found.rows is None or found.columns is None:
        return "No pixel moves it: what it reads is held back on the way, by a ReLU for example."
    width, height = found.columns[1] - found.columns[0] + 1, found.rows[1] - found.rows[0] + 1
    said = f"The middle 95 % of its gradient lie on {width}×{height} pixels (dashed)"
    return f"{said}, {found.share:.0%} of its field." if found.share is not None else f"{said}."
