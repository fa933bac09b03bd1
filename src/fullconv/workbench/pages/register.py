"""All pages, by address."""

from __future__ import annotations

from nicegui import ui

from fullconv.workbench.pages import home


def register_pages() -> None:
    """Tell NiceGUI of every page."""
    ui.page("/")(home.home_page)
