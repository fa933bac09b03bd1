"""Weights of the store as a table, with what can be done about them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from nicegui import ui

from fullconv.workbench.pages.asking import asked, tried
from fullconv.workbench.pages.questions import ask, ask_for_text
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.services.listing import Entry, Listing, listed
from fullconv.workbench.services.models import NAME_PATTERN
from fullconv.workbench.services.weights import WeightsChange, change_weights, delete_weights, weights_facts


class WeightsTable:
    """A row per weight file; not there where there is none."""

    async def build(self) -> None:
        with ui.column().classes("w-full").style("gap: .5rem") as self.place:
            heading("Weights", 2)
            ui.label("Start values for runs, by name.").classes("faint")
            self.rows = ui.column().classes("w-full").style("gap: .4rem")
        await self.load()

    async def load(self) -> None:
        """Read the list again."""
        found = await asked(listed, bench(), "weights", Listing(limit=200))
        self.place.visible = bool(found.entries)
        self.rows.clear()
        with self.rows:
            for entry in found.entries:
                self._row(entry)
            if found.total > len(found.entries):
                ui.label(f"and {found.total - len(found.entries)} more").classes("faint")

    def _row(self, entry: Entry) -> None:
        facts = entry.facts
        with ui.row().classes("card items-center justify-between").style("gap: .3rem 1rem; padding: .5rem .8rem"):
            with ui.column().style("gap: 0; min-width: 0"):
                ui.label(entry.name).classes("text-weight-medium").style("overflow-wrap: anywhere")
                if entry.problem is not None:
                    ui.label(entry.problem).classes("bad").style("overflow-wrap: anywhere")
                else:
                    said = f"{facts['values'] / 1e6:.2f} million numbers in {facts['tensors']} tensors"
                    said += f", {facts['bytes'] / 2**20:.1f} MiB, from {facts['source']}"
                    said += f" · {facts['licence']}" if facts.get("licence") else ""
                    ui.label(said).classes("faint").style("overflow-wrap: anywhere")
            with ui.row().style("gap: .3rem"):
                _link("Use for a run", "play_arrow", f"/runs/new?weights={quote(entry.name)}")
                _link("Download", "download", f"/api/v1/weights/{quote(entry.name)}/file")
                if not bench().settings.read_only:
                    _button("Rename", "edit", lambda: self._rename(entry.name))
                    _button("Delete", "delete", lambda: self._delete(entry.name))

    async def _rename(self, name: str) -> None:
        wanted = await ask_for_text("Rename these weights", "Name", name, NAME_PATTERN)
        if wanted and wanted != name:
            await tried(change_weights, bench(), name, WeightsChange(name=wanted))
            await self.load()

    async def _delete(self, name: str) -> None:
        facts = await tried(weights_facts, bench(), name)
        if facts is None:
            return
        text = "The file goes from this machine."
        if facts.used_by:
            text = f"It cannot be deleted: it is needed by {', '.join(facts.used_by[:5])}."
        if await ask(f"Delete {name}?", text, "Delete", "Keep", possible=not facts.used_by):
            await tried(delete_weights, bench(), name)
            await self.load()


def _button(text: str, icon: str, action: Any) -> None:
    ui.button(icon=icon, on_click=action).props(f'flat round dense aria-label="{text}"').tooltip(text)


def _link(text: str, icon: str, address: str) -> None:
    button = ui.button(icon=icon).props(f'tag=a flat round dense aria-label="{text}"').tooltip(text)
    button.props["href"] = address
