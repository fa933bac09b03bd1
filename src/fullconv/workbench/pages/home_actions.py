"""What can be done to the rows that are chosen: compare, tag, abort, delete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import quote

from nicegui import ui

from fullconv.workbench.pages.asking import tried
from fullconv.workbench.pages.home_columns import Shown
from fullconv.workbench.pages.questions import ask
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.services.compare_views import MOST_MODELS
from fullconv.workbench.services.listing import values_of
from fullconv.workbench.services.selection import Outcome, Selection, done_to

MOST_TOLD = 3
"""Refusals that are told one by one."""
Row = dict[str, Any]


class Actions:
    """A row of buttons for what is chosen in a table, or what could be done, while nothing is.

    Args:
        kind: of the table.
        acted: called after something was done.
    """

    def __init__(self, kind: Shown, acted: Callable[[], Awaitable[None]]) -> None:
        self.kind: Shown = kind
        self._acted = acted
        self._rows: list[Row] = []
        writable = not bench().settings.read_only
        with ui.row().classes("items-center").style("gap: .3rem; min-height: 2.2rem"):
            self.hint = ui.label(_hint(kind, writable=writable)).classes("faint")
            with ui.row().classes("items-center").style("gap: .3rem") as self.row:
                self.count = ui.label().props('role="status"')
                if kind != "dataset":
                    self.compare = ui.button("Compare", on_click=self._compare).props("flat dense no-caps")
                if writable:
                    ui.button("Tag", on_click=self._tag).props("flat dense no-caps")
                    if kind == "run":
                        ui.button("Abort", on_click=self._abort).props("flat dense no-caps")
                    delete = ui.button("Delete", on_click=self._delete).props("flat dense no-caps")
                    delete.style("color: var(--bad) !important")
        self.show([])

    def show(self, rows: Sequence[Row]) -> None:
        """For these rows."""
        self._rows = list(rows)
        self.row.visible, self.hint.visible = bool(rows), not rows
        self.count.text = f"{len(rows)} chosen"
        if self.kind != "dataset":
            possible = 2 <= len(rows) <= MOST_MODELS
            self.compare.text = "Compare" if possible else f"Compare: choose 2 to {MOST_MODELS}"
            self.compare.set_enabled(possible)

    def _compare(self) -> None:
        lacking = [row["name"] for row in self._rows if not row["predicts"]]
        if lacking:
            ui.notify(f"{lacking[0]} has no model yet; a run has one when it is done.", type="negative")
            return
        ui.navigate.to("/compare?models=" + quote(",".join(row["name"] for row in self._rows), safe=","))

    async def _tag(self) -> None:
        rows = self._rows
        known = await tried(values_of, bench(), self.kind)
        with ui.dialog() as dialog, ui.card():
            heading(f"Tag {_told(rows)}", 2)
            tag = ui.input("Tag", autocomplete=(known or {}).get("tag")).props("autofocus maxlength=40 dense")
            tag.on("keydown.enter", lambda: dialog.submit("tag"))
            with ui.row().classes("w-full justify-end"):
                ui.button("Take away", on_click=lambda: dialog.submit("untag")).props("no-caps flat")
                ui.button("Add", on_click=lambda: dialog.submit("tag")).props("no-caps unelevated")
        action, text = await dialog, (tag.value or "").strip()
        dialog.delete()
        if action and text:
            await self._do(rows, action, text)

    async def _abort(self) -> None:
        rows = self._rows
        text = "Each stops after the step in hand, and can go on later from its last whole epoch."
        if await ask(f"Abort {_told(rows)}?", text, "Abort", "Keep"):
            await self._do(rows, "abort")

    async def _delete(self) -> None:
        """Delete what is chosen; a model that belongs to a run goes with the run."""
        rows = [row for row in self._rows if self.kind != "model" or row["of"] == "model"]
        kept = [row for row in self._rows if row not in rows]
        said = []
        if rows:
            said.append(f"{_named(rows)}: this cannot be undone. What others need is not deleted.")
        if len(kept) == 1:
            said.append(f"{_named(kept)} belongs to its run, and is deleted with it under Runs.")
        elif kept:
            said.append(f"{_named(kept)} belong to their runs, and are deleted with them under Runs.")
        if await ask(f"Delete {_told(rows or kept)}?", " ".join(said), "Delete", "Keep", possible=bool(rows)):
            await self._do(rows, "delete")

    async def _do(self, rows: Sequence[Row], action: str, tag: str | None = None) -> None:
        """Do it, kind by kind, and say what was refused."""
        refused: list[Outcome] = []
        if len(rows) > MOST_TOLD:
            self.count.text = f"{len(rows)} chosen, at work …"
        for kind in dict.fromkeys(row["of"] for row in rows):
            names = [row["name"] for row in rows if row["of"] == kind]
            selection = Selection.model_validate({"kind": kind, "names": names, "action": action, "tag": tag})
            refused += [one for one in await tried(done_to, bench(), selection) or () if one.problem is not None]
        said = [str(one.problem) for one in refused[:MOST_TOLD]]
        if len(refused) > MOST_TOLD:
            said.append(f"{len(refused) - MOST_TOLD} more were refused.")
        for sentence in said:
            ui.notify(sentence, type="negative", multi_line=True, close_button="Close", timeout=12_000)
        await self._acted()


def _hint(kind: Shown, *, writable: bool) -> str:
    """What can be done.

    >>> _hint("run", writable=True)
    'Choose runs to compare, tag, abort or delete them.'
    """
    verbs = [] if kind == "dataset" else ["compare"]
    if writable:
        verbs += ["tag", *(["abort"] if kind == "run" else []), "delete"]
    if not verbs:
        return ""
    told = verbs[0] if len(verbs) == 1 else f"{', '.join(verbs[:-1])} or {verbs[-1]}"
    return f"Choose {kind}s to {told} them."


def _told(rows: Sequence[Row]) -> str:
    return str(rows[0]["name"]) if len(rows) == 1 else f"{len(rows)} chosen"


def _named(rows: Sequence[Row]) -> str:
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return ", ".join(str(row["name"]) for row in rows[:5]) + more
