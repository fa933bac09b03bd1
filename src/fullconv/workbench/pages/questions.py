"""Small dialogs: a question to be answered yes or no, and one line of text."""

from __future__ import annotations

import re

from nicegui import ui

from fullconv.workbench.pages.theme import heading


async def ask(question: str, text: str, yes: str, no: str, *, possible: bool = True) -> bool:
    """Whether the visitor is sure.

    Args:
        possible: whether yes can be said at all; the text says why not.
    """
    with ui.dialog() as dialog, ui.card():
        heading(question, 2)
        ui.label(text).style("overflow-wrap: anywhere")
        with ui.row().classes("w-full justify-end"):
            ui.button(no, on_click=lambda: dialog.submit(False)).props("flat no-caps")
            sure = ui.button(yes, on_click=lambda: dialog.submit(True)).props("no-caps unelevated").mark("sure")
            sure.set_enabled(possible)
    answer = await dialog
    dialog.delete()
    return bool(answer)


async def ask_for_text(
    question: str, label: str, value: str, pattern: str | None = None, *, most: int = 100
) -> str | None:
    """One line of text; None where the visitor thought better of it.

    Args:
        value: that stands there at first.
        pattern: that it must fit. most: letters.
    """
    with ui.dialog() as dialog, ui.card().style("min-width: min(24rem, 90vw)"):
        heading(question, 2)
        field = ui.input(label, value=value).props(f"dense autofocus maxlength={most}").classes("w-full")
        field.mark("answer")

        def submit() -> None:
            text = (field.value or "").strip()
            if pattern is not None and not re.fullmatch(pattern, text):
                field.error = "Use letters, digits, dot, dash and underscore."
                return
            dialog.submit(text)

        field.on("keydown.enter", submit)
        with ui.row().classes("w-full justify-end"):
            ui.button("Leave it", on_click=lambda: dialog.submit(None)).props("flat no-caps")
            ui.button("Save", on_click=submit).props("no-caps unelevated").mark("save")
    answer = await dialog
    dialog.delete()
    return None if answer is None else str(answer)
