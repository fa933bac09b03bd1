"""Choosing a folder of the server, within the allowed ones."""

from __future__ import annotations

from nicegui import ui

from fullconv.errors import FullconvError
from fullconv.workbench.pages.asking import asked, refuse
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.security.paths import Listing, listing


class FolderChooser:
    """A dialog that walks through folders; `choose` gives the one that was taken."""

    def __init__(self) -> None:
        with ui.dialog() as self.dialog, ui.card().classes("column no-wrap").style("width: 34rem; max-width: 95vw"):
            self.title = heading("Choose a folder", 2)
            self.place = ui.label().style("overflow-wrap: anywhere").mark("folder-place")
            self.images = ui.label().classes("faint")
            self.list = ui.list().props("bordered dense separator").classes("w-full")
            self.list.style("height: 45vh; overflow: auto")
            with ui.row().classes("w-full justify-end"):
                ui.button("Cancel", on_click=lambda: self.dialog.submit(None)).props("flat no-caps")
                self.take = ui.button("Use this folder", on_click=lambda: self.dialog.submit(self.path))
                self.take.props("no-caps unelevated")
        self.dialog.props('aria-label="Choose a folder"')
        self.path: str | None = None

    async def choose(self, start: str | None = None) -> str | None:
        """Ask for a folder.

        Args:
            start: where to begin; the allowed roots if that cannot be shown.
        """
        if start is None or not await self._show(start, quiet=True):
            await self._show(None)
        self.dialog.open()
        chosen = await self.dialog
        return str(chosen) if chosen else None

    async def _show(self, path: str | None, *, quiet: bool = False) -> bool:
        try:
            found = await asked(listing, bench().settings, path)
        except FullconvError as problem:
            if not quiet:
                refuse(problem)
            return False
        self.path = found.path
        self.place.text = found.path or "Folders of the server that may be used"
        self.images.text = f"{found.images:,} images right in it" if found.images else ""
        self.take.set_enabled(found.path is not None)
        self.list.clear()
        with self.list:
            self._lines(found)
        return True

    def _lines(self, found: Listing) -> None:
        if found.path is not None:
            self._line("arrow_upward", "up", found.parent, None)
        for folder in found.folders:
            self._line("folder", folder.name, folder.path, folder.images)
        if not found.folders:
            ui.label("No folders in here.").classes("faint q-pa-sm")
        if found.more:
            ui.label("There is more than is shown; write the path instead.").classes("faint q-pa-sm")

    def _line(self, icon: str, name: str, path: str | None, images: int | None) -> None:
        with ui.item(on_click=lambda: self._show(path)).props("clickable"):
            with ui.item_section().props("avatar").style("min-width: 2.2rem"):
                ui.icon(icon, size="1.2rem").classes("faint")
            with ui.item_section():
                ui.item_label(name).style("overflow-wrap: anywhere")
            if images:
                with ui.item_section().props("side"):
                    ui.item_label(f"{images:,} images").classes("faint")
