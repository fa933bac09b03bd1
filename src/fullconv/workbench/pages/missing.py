"""What is shown where no page is."""

from __future__ import annotations

from nicegui import ui

from fullconv.workbench.pages.theme import frame, heading, nothing_yet


def missing_page() -> None:
    """The page of every address that leads nowhere."""
    with frame("Not found", ""):
        ui.status_code(404)
        heading("There is no such page")
        nothing_yet("The address may be mistyped.", "To the first page", "/")


def failed_page() -> None:
    """What is shown instead of a page that cannot be made; the server's log has the reason."""
    with frame("Something went wrong", ""):
        heading("Something went wrong")
        nothing_yet("Nobody foresaw this; the server's log has more.", "To the first page", "/")
