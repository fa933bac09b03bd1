"""Choosing networks of the catalogue: what each costs and how far it sees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from nicegui import ui

from fullconv.workbench.pages.accessible_names import sort_by_keyboard
from fullconv.workbench.pages.plan_time import PlanTime
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.services.networks import NetworkView, list_catalogue

_COLUMNS: list[dict[str, Any]] = [
    {"name": "name", "label": "Network", "field": "name", "align": "left", "sortable": True},
    {"name": "stride", "label": "Stride", "field": "stride", "sortable": True},
    {"name": "reach", "label": "Reach, pixels", "field": "reach", "sortable": True},
    {"name": "parameters", "label": "Parameters, millions", "field": "parameters", "sortable": True},
    {"name": "macs", "label": "Multiply-adds, billions", "field": "macs", "sortable": True},
    {"name": "tiles", "label": "Exact tiles", "field": "tiles", "sortable": True},
]


class NetworkChoice:
    """A dialog with the catalogue; `choose` gives the names that were taken.

    Args:
        price: tells what memory a network would take here, in a sentence.
        forecast: starts the job that times it; gives its number, or None where it cannot.
    """

    def __init__(
        self, price: Callable[[str], Awaitable[str]], forecast: Callable[[str], Awaitable[int | None]]
    ) -> None:
        self._price, self._forecast = price, forecast
        with ui.dialog() as self.dialog, ui.card().classes("column no-wrap").style("width: 60rem; max-width: 95vw"):
            heading("Choose a network", 2)
            ui.label(
                "The stride is how many pixels lie between two scores: finer sees thin things. The reach is how far "
                "around its place a score can read. Where tiles are exact, images of any size can be predicted."
            ).classes("faint")
            with ui.row().classes("w-full items-center").style("gap: .4rem 1.2rem"):
                self.search = ui.input("Search", on_change=self._filter).props("dense outlined clearable debounce=200")
                self.search.style("flex: 1 1 14rem").mark("network-search")
                self.exact = ui.switch("Exact tiles only", on_change=self._filter)
                self.several = ui.switch("Several networks, a run of each", on_change=self._switch)
            self.table = ui.table(rows=[], columns=_COLUMNS, row_key="name", selection="single", pagination=12)
            self.table.props("flat dense wrap-cells").classes("w-full").on_select(self._show).mark("network-table")
            sort_by_keyboard(self.table)
            self.chosen = ui.label().classes("faint").style("overflow-wrap: anywhere")
            with ui.row().classes("items-center").style("gap: .3rem 1rem; min-height: 2.2rem"):
                self.picture = ui.link("Layers and receptive fields as a picture", "#", new_tab=True)
                self.ask = ui.button("What does it take here?", icon="memory", on_click=self._ask)
                self.ask.props("flat dense no-caps").mark("network-price")
                self.time = PlanTime(self._ask_time)
            self.price = ui.label().style("overflow-wrap: anywhere").props('role="status"')
            self.time.tell_here()
            with ui.row().classes("w-full justify-end"):
                ui.button("Cancel", on_click=lambda: self.dialog.submit([])).props("flat no-caps")
                self.take = ui.button("Use it", on_click=lambda: self.dialog.submit(self._names()))
                self.take.props("no-caps unelevated").mark("network-take")
        self.dialog.props('aria-label="Choose a network"')

    async def choose(self, present: list[str]) -> list[str]:
        """Ask for networks.

        Args:
            present: names that are chosen now.
        """
        self.several.value = len(present) > 1
        self._filter()
        self.table.selected = [_row(entry) for entry in list_catalogue("") if entry.name in present]
        self._show()
        self.dialog.open()
        chosen = await self.dialog
        return list(chosen or [])

    def _filter(self) -> None:
        found = list_catalogue(self.search.value or "", exact=bool(self.exact.value))
        self.table.rows = [_row(entry) for entry in found]

    def _switch(self) -> None:
        self.table.selection = "multiple" if self.several.value else "single"
        if not self.several.value:
            self.table.selected = self.table.selected[:1]
        self._show()

    def _show(self) -> None:
        names = self._names()
        self.take.text = f"Use these {len(names)}" if len(names) > 1 else "Use it"
        self.take.set_enabled(bool(names))
        self.picture.visible = self.ask.visible = len(names) == 1
        self.time.forget()
        self.time.button.visible = len(names) == 1 and not bench().settings.read_only
        self.price.text = ""
        self.chosen.text = f"Chosen: {', '.join(names)}" if names else "None is chosen."
        if names:
            self.picture.props["href"] = f"/api/v1/networks/{quote(names[0])}/picture"
            self.picture.update()

    async def _ask(self) -> None:
        (name,) = self._names()
        self.ask.props("loading")
        said = await self._price(name)
        self.ask.props(remove="loading")
        if self._names() == [name]:
            self.price.text = said

    async def _ask_time(self) -> int | None:
        (name,) = self._names()
        return await self._forecast(name)

    def _names(self) -> list[str]:
        return [str(row["name"]) for row in self.table.selected]


def _row(entry: NetworkView) -> dict[str, Any]:
    return {
        "name": entry.name,
        "stride": entry.stride,
        "reach": "all" if entry.reach is None else max(entry.reach),
        "parameters": round(entry.parameters / 1e6, 2),
        "macs": round(entry.multiply_adds / 1e9, 2),
        "tiles": f"from multiples of {entry.total_stride}" if entry.exact_tiling else "no",
    }
