"""Home: what runs, what there is, what the machine does."""

from __future__ import annotations

from nicegui import ui

from fullconv.workbench.pages import home_columns, home_jobs, job_log
from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.home_groups import GroupsTable
from fullconv.workbench.pages.home_jobs import Jobs
from fullconv.workbench.pages.home_machine import STYLE as MACHINE_STYLE
from fullconv.workbench.pages.home_machine import Machine
from fullconv.workbench.pages.home_table import HomeTable
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.home import Home, home_now

LOOK_SECONDS = 2.0
TABS = {"run": "Runs", "dataset": "Datasets", "model": "Models", "group": "Groups"}


async def home_page() -> None:
    """The first page."""
    with frame("Home", "/"):
        ui.add_css(MACHINE_STYLE + home_jobs.STYLE + job_log.STYLE + home_columns.STYLE)
        with ui.row().classes("w-full items-center justify-between"):
            heading("Home")
            with ui.row().classes("items-center").style("gap: 1rem"):
                ui.link("JSON", "/api/v1/home").classes("faint")
                if not bench().settings.read_only:
                    ui.button("New dataset", icon="add").props("href=/datasets/new tag=a no-caps flat")
                    ui.button("New run", icon="add").props("href=/runs/new tag=a no-caps unelevated")
        page = _Page()
        await page.look()
        ui.timer(0.05, page.catch_up, once=True)
        ui.timer(LOOK_SECONDS, page.look, immediate=False)


class _Page:
    """What changes by itself."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.jobs = Jobs(self.look)
        self.things = ui.column().classes("w-full")
        self._known = False
        self._tabs: dict[str, ui.tab] = {}
        self._tables: dict[str, HomeTable | GroupsTable] = {}
        with self.things:
            ui.label("Looking what there is …").classes("faint").props('role="status"')

    async def look(self) -> None:
        """Show how things are now."""
        now = await asked(home_now, bench())
        self.machine.show(now.system)
        self.jobs.show(now)
        if not self._tabs:
            await self._first(now)
            return
        for kind, tab in self._tabs.items():
            tab.label = _title(kind, now)
        self._tabs["group"].visible = bool(now.counts["group"])
        table = self._tables.get(str(self.tabs.value))
        if table is not None:
            await table.look()

    async def catch_up(self) -> None:
        """Read what a shell made a moment ago; the page is there already."""
        await asked(bench().catalogue.refresh)
        self._known = True
        await self.look()

    async def _first(self, now: Home) -> None:
        """Lay out the tables as soon as there is something to show in them."""
        if not any(now.counts.values()):
            if self._known:
                self._known = False
                self.things.clear()
                start = None if bench().settings.read_only else "Make a dataset of a folder of images and labels"
                with self.things:
                    nothing_yet("Nothing here yet. It begins with a dataset.", start, "/datasets/new")
            return
        first = next(kind for kind in TABS if now.counts[kind])
        self.things.clear()
        with self.things:
            with ui.tabs().props("no-caps dense align=left inline-label outside-arrows mobile-arrows") as self.tabs:
                self._tabs = {kind: ui.tab(kind, _title(kind, now)) for kind in TABS}
            self.tabs.classes("w-full")
            self._tabs["group"].visible = bool(now.counts["group"])
            with ui.tab_panels(self.tabs, value=first, animated=False).classes("w-full bg-transparent"):
                self._panels = {kind: ui.tab_panel(kind).style("padding: .5rem 0") for kind in TABS}
        self.tabs.on_value_change(lambda event: self._opened(str(event.value)))
        await self._opened(first)

    async def _opened(self, kind: str) -> None:
        """Build a table when it is looked at for the first time."""
        if kind in self._tables:
            await self._tables[kind].look()
            return
        self._tables[kind] = table = GroupsTable() if kind == "group" else HomeTable(kind)  # type: ignore[arg-type]
        with self._panels[kind]:
            await table.build()


def _title(kind: str, now: Home) -> str:
    return f"{TABS[kind]} ({now.counts[kind]:,})"
