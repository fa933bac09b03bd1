"""The layers of a network, one below the other; what is inside is made when a layer is opened."""

from __future__ import annotations

from nicegui import ui

from fullconv.workbench.layers.views import LayersView, LayerView, UnitsView, UnitView
from fullconv.workbench.pages.layer_panel import ChooseUnit, LayerPanel, sides
from fullconv.workbench.services.layers import Asked


class LayerList:
    """All layers.

    Args:
        asked: model and image. view: their layers.
        across: tiles in a row.
        on_unit: told layer, channel, row and column of a unit that was chosen.
    """

    def __init__(self, asked: Asked, view: LayersView, across: int, on_unit: ChooseUnit) -> None:
        self.asked, self.view, self.across, self._on_unit = asked, view, across, on_unit
        self.panels: dict[str, LayerPanel] = {}
        self._unit: UnitView | None = None
        self._units: dict[str, UnitsView] = {}
        with ui.column().classes("w-full").style("gap: .4rem; min-width: 0"):
            with ui.row().classes("w-full items-center").style("gap: .3rem 1rem"):
                self.search = ui.input("Find a layer", on_change=self._filter).props("dense clearable").classes("col")
                self.search.style("min-width: 12rem")
                self.every = ui.switch("Norms, activations and sums, too", on_change=self._filter)
            self.rows = {layer.name: self._row(layer) for layer in view.layers}
            self.none = ui.label("No layer has that in its name.").classes("faint")
        self._filter()

    async def open(self, name: str) -> None:
        """Open a layer."""
        self.rows[name].visible = True
        await self._build(name)
        self.rows[name].value = True

    def scroll_to(self, name: str) -> None:
        """Bring a layer to the top of the window."""
        ui.run_javascript(f'document.getElementById("{self.rows[name].html_id}").scrollIntoView({{block: "start"}})')

    async def show_channel(self, name: str, channel: int) -> None:
        """Turn an opened layer to the page of a channel."""
        if name in self.panels:
            await self.panels[name].show_channel(channel)

    def mark_unit(self, unit: UnitView) -> None:
        """Frame a unit."""
        self._unit, self._units = unit, {}
        for name, panel in self.panels.items():
            panel.mark_unit(unit if name == unit.layer else None)

    def mark_units(self, units: dict[str, UnitsView]) -> None:
        """Colour the units that read a pixel, layer by layer."""
        self._unit, self._units = None, units
        for name, panel in self.panels.items():
            panel.mark_units(units.get(name))

    def _row(self, layer: LayerView) -> ui.expansion:
        row = ui.expansion(layer.name, caption=caption(layer)).classes("w-full layer-row").mark("layer")
        row.props("dense")

        async def opened() -> None:
            if row.value:
                await self._build(layer.name)

        row.on_value_change(opened)
        return row

    async def _build(self, name: str) -> None:
        if name in self.panels:
            return
        layer = next(layer for layer in self.view.layers if layer.name == name)
        panel = self.panels[name] = LayerPanel(self.asked, self.view, layer, self.across, self._on_unit)
        with self.rows[name], ui.column().classes("w-full").style("gap: .5rem"):
            await panel.build()
        if self._unit is not None and self._unit.layer == name:
            panel.mark_unit(self._unit)
        elif name in self._units:
            panel.mark_units(self._units[name])

    def _filter(self) -> None:
        wanted = str(self.search.value or "").casefold()
        for layer in self.view.layers:
            fits = wanted in layer.name.casefold() or wanted in layer.operation.casefold()
            self.rows[layer.name].visible = fits and (layer.main or self.every.value or layer.name in self.panels)
        self.none.visible = not any(row.visible for row in self.rows.values())


def caption(layer: LayerView) -> str:
    """A layer in one line."""
    parts = [layer.operation, f"{layer.channels} × {layer.rows}×{layer.columns}"]
    if layer.stride is not None and layer.receptive_field is not None:
        across = "×".join(dict.fromkeys(f"{side:g}" for side in layer.stride))
        where = "at every pixel" if across == "1" else f"every {across} pixels"
        parts.append(f"a unit {where}, which reads {sides(layer.receptive_field)}")
    elif layer.whole:
        parts.append("reads the whole image")
    if layer.parameters:
        parts.append(f"{layer.parameters:,} parameters")
    return " · ".join(parts)
