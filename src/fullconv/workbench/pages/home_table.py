"""A table of runs, datasets or models: sorted and filtered by the database, columns chosen by the visitor."""

from __future__ import annotations

from typing import Any

from nicegui import app, ui

from fullconv.workbench.pages.accessible_names import sort_by_keyboard
from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.home_actions import Actions
from fullconv.workbench.pages.home_columns import COLUMNS, SLOTS, SORTED, TITLES, USUAL, Shown, column, row
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.listing import Listing, Page, listed, listed_packages, values_of, values_of_packages

PER_PAGE = (25, 50, 100)
FILTERS = {"search", "state", "dataset", "group", "tag"}
NOTHING: dict[Shown, str] = {
    "run": "No run yet. New run begins one.",
    "dataset": "No dataset yet. New dataset makes one of a folder of images and labels.",
    "model": "No model yet. A run makes one when it is done.",
}


class HomeTable:
    """The table of one kind, with its filters and what can be done to a selection.

    Args:
        kind: of the things.
    """

    def __init__(self, kind: Shown) -> None:
        self.kind: Shown = kind
        self.wanted = Listing(limit=PER_PAGE[0])
        self._filters: dict[str, ui.select] = {}

    async def build(self) -> None:
        """Lay it out with its first page."""
        key = f"columns-{self.kind}"
        chosen = [name for name in app.storage.user.get(key, USUAL[self.kind]) if name in COLUMNS[self.kind]]
        with ui.row().classes("items-end w-full").style("gap: .4rem 1rem"):
            search = ui.input("Search").props("dense clearable debounce=300 maxlength=200").style("width: 9.5rem")
            search.on_value_change(lambda event: self._filter(search=(event.value or "")[:200]))
            for name in ("state", "dataset", "group", "tag"):
                self._add_filter(name)
            ui.space()
            columns = ui.select(
                {name: TITLES[name] for name in COLUMNS[self.kind] if name != "name"},
                value=[name for name in chosen if name != "name"],
                multiple=True,
            )
            columns.props('dense options-dense display-value="Columns" aria-label="Columns"').mark("columns")
        self.actions = Actions(self.kind, self._load)
        selects = self.kind != "dataset" or not bench().settings.read_only
        self.table = ui.table(
            columns=[column(name) for name in COLUMNS[self.kind]],
            rows=[],
            row_key="id",
            selection="multiple" if selects else None,
            pagination={"rowsPerPage": PER_PAGE[0], "sortBy": "created", "descending": True, "rowsNumber": 0},
        ).classes("w-full bg-transparent")
        self.table.props(f"flat bordered dense binary-state-sort :rows-per-page-options='{list(PER_PAGE)}'")
        self.table.props("hide-selected-banner")
        self.table.props["visible-columns"] = chosen
        sort_by_keyboard(self.table)
        for name, template in SLOTS.items():
            self.table.add_slot(name, template)
        self.table.on("request", self._request)
        self.table.on_select(lambda _: self.actions.show(self.table.selected))
        columns.on_value_change(lambda event: self._choose(event.value or []))
        await self._load()

    async def look(self) -> None:
        """Show what has changed; what was chosen stays chosen."""
        wanted = self.wanted
        page = await asked(self._page)
        if wanted is not self.wanted:
            return
        if page.total and not page.entries:  # the last part of the list is gone
            last = (page.total - 1) // wanted.limit
            self.wanted = wanted.model_copy(update={"offset": last * wanted.limit})
            self.table.pagination = {**self.table.pagination, "page": last + 1}
            page = await asked(self._page)
        await self._show(page)

    def _add_filter(self, name: str) -> None:
        select = ui.select([], label=name.capitalize(), clearable=True, with_input=True)
        select.props("dense options-dense").style("width: 9.5rem")
        select.on_value_change(lambda event: self._filter(**{name: event.value or None}))
        select.visible = False
        self._filters[name] = select

    async def _offer(self) -> None:
        """What occurs can be filtered by; models are all done."""
        found = await asked(values_of_packages, bench()) if self.kind == "model" else await asked(self._values)
        for name, select in self._filters.items():
            values = [] if (self.kind, name) == ("model", "state") else found[name]
            if values != select.options:
                select.set_options(values, value=select.value if select.value in values else None)
            select.visible = bool(values)

    def _values(self) -> dict[str, list[str]]:
        return values_of(bench(), self.kind)

    def _page(self) -> Page:
        if self.kind == "model":
            return listed_packages(bench(), self.wanted)
        return listed(bench(), self.kind, self.wanted)

    def _choose(self, names: list[str]) -> None:
        shown = ["name", *(name for name in COLUMNS[self.kind] if name in names and name != "name")]
        app.storage.user[f"columns-{self.kind}"] = shown
        self.table.props["visible-columns"] = shown

    async def _filter(self, **changes: Any) -> None:
        self.wanted = self.wanted.model_copy(update={**changes, "offset": 0})
        self.table.pagination = {**self.table.pagination, "page": 1}
        await self._load()

    async def _request(self, event: Any) -> None:
        asked_for = event.args["pagination"]
        size = min(max(1, int(asked_for["rowsPerPage"])), 1000)
        sort = asked_for.get("sortBy") if asked_for.get("sortBy") in SORTED else "created"
        self.table.pagination = {**asked_for, "sortBy": sort}
        changes: dict[str, Any] = {"offset": (max(1, int(asked_for["page"])) - 1) * size, "limit": size}
        changes |= {"sort": sort, "descending": bool(asked_for["descending"])}
        self.wanted = self.wanted.model_copy(update=changes)
        await self._load()

    async def _load(self) -> None:
        """Another part of the list: nothing in it is chosen yet."""
        self.table.selected = []
        await self.look()
        self.actions.show([])

    async def _show(self, page: Page) -> None:
        if not page.total:
            filtered = any(self.wanted.model_dump(include=FILTERS).values())
            told = "Nothing fits." if filtered else NOTHING[self.kind]
            if self.table.props.get("no-data-label") != told:
                self.table.props["no-data-label"] = told
        rows = [row(entry, self.kind) for entry in page.entries]
        if rows == self.table.rows and page.total == self.table.pagination["rowsNumber"]:
            return
        chosen = {one["id"] for one in self.table.selected}
        self.table.rows = rows
        self.table.selected = [one for one in rows if one["id"] in chosen]
        self.table.pagination = {**self.table.pagination, "rowsNumber": page.total}
        self.actions.show(self.table.selected)
        await self._offer()
