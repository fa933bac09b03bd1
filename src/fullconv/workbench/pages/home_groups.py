"""The groups of runs on the first page."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from nicegui import ui

from fullconv.workbench.pages.accessible_names import sort_by_keyboard
from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.home_columns import SLOTS
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.groups import list_groups

_COLUMNS: list[dict[str, Any]] = [
    {"name": "name", "label": "Name", "field": "name", "align": "left", "sortable": True},
    {"name": "runs", "label": "Runs", "field": "runs", "sortable": True},
    {"name": "done", "label": "Done", "field": "done", "sortable": True},
    {"name": "summary", "label": "Summary", "field": "summary", "align": "left", "sortable": True},
]


class GroupsTable:
    """The table: each leads to the page of the group."""

    async def build(self) -> None:
        """Lay it out."""
        self.table = ui.table(columns=_COLUMNS, rows=[], row_key="name", pagination=25).classes("w-full bg-transparent")
        self.table.props("flat bordered dense").add_slot("body-cell-name", SLOTS["body-cell-name"])
        sort_by_keyboard(self.table)
        await self.look()

    async def look(self) -> None:
        """Show what has changed."""
        rows = [
            {
                "name": group.name,
                "address": f"/groups/{quote(group.name, safe='')}",
                "runs": group.runs,
                "done": group.done,
                "summary": "written" if group.summed_up else "not yet",
            }
            for group in await asked(list_groups, bench())
        ]
        if rows != self.table.rows:
            self.table.rows = rows
