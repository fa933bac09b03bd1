"""Home: what runs, what there is, what the machine does."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from fullconv.workbench.catalogue import Kind
from fullconv.workbench.pages.asking import asked, tried
from fullconv.workbench.pages.home_table import HomeTable
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.jobs import JobView, abort_job, list_jobs, move_job
from fullconv.workbench.services.listing import Listing, listed
from fullconv.workbench.services.sparklines import drawn, sparkline
from fullconv.workbench.services.system import System, system_now

LOOK_SECONDS = 2.0
TABS: tuple[tuple[Kind, str], ...] = (("run", "Runs"), ("dataset", "Datasets"), ("model", "Models"))
STYLE = """
.gauges { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; width: 100% }
.gauge { display: flex; align-items: center; gap: .5rem; white-space: nowrap }
.gauge .q-linear-progress { width: 5rem }
.job { display: grid; grid-template-columns: minmax(0, 2fr) 120px minmax(0, 2fr) auto; gap: .3rem 1rem; width: 100%;
  align-items: center; border-bottom: 1px solid var(--line); padding: .5rem 0 }
.job:last-child { border-bottom: 0 }
.job .name { overflow-wrap: anywhere }
.spark { color: var(--accent); display: block }
@media (max-width: 600px) { .job { grid-template-columns: minmax(0, 1fr) auto } .job .spark { display: none } }
"""


async def home_page() -> None:
    """The first page."""
    with frame("Home", "/"):
        ui.add_css(STYLE)
        with ui.row().classes("w-full items-center justify-between"):
            heading("Home")
            with ui.row().classes("items-center").style("gap: 1rem"):
                ui.link("JSON", "/api/v1/home").classes("faint")
                if not bench().settings.read_only:
                    ui.button("New dataset", icon="add").props("href=/datasets/new tag=a no-caps flat")
                    ui.button("New run", icon="add").props("href=/runs/new tag=a no-caps unelevated")
        gauges, jobs = ui.element("div").classes("gauges"), ui.column().classes("w-full").style("gap: 0")
        live = _Live(gauges, jobs)
        await live.look()
        ui.timer(LOOK_SECONDS, live.look)
        await asked(bench().catalogue.refresh)  # what a shell made a moment ago is shown, too
        totals = {kind: (await asked(listed, bench(), kind, Listing(limit=1))).total for kind, _ in TABS}
        if not any(totals.values()):
            start = None if bench().settings.read_only else "Make a dataset of a folder of images and labels"
            nothing_yet("Nothing here yet. It begins with a dataset.", start, "/datasets/new")
            return
        with ui.tabs().props("no-caps dense align=left inline-label").classes("w-full") as tabs:
            for kind, title in TABS:
                ui.tab(kind, f"{title} ({totals[kind]:,})")
        first = next(kind for kind, _ in TABS if totals[kind])
        with ui.tab_panels(tabs, value=first, animated=False).classes("w-full bg-transparent"):
            for kind, _ in TABS:
                with ui.tab_panel(kind).style("padding: .5rem 0"):
                    await HomeTable(kind).build()


class _Live:
    """What changes by itself: the machine and the jobs.

    Args:
        gauges, jobs: the elements that hold them.
    """

    def __init__(self, gauges: ui.element, jobs: ui.element) -> None:
        self.gauges, self.jobs = gauges, jobs
        self._shown: object = None

    async def look(self) -> None:
        """Show how things are now; what has not changed stays as it is, so that nobody loses the focus."""
        system = await asked(system_now, bench())
        running = await asked(list_jobs, bench(), states=("claimed", "running"))
        waiting = await asked(list_jobs, bench(), states=("queued",))
        self._machine(system)
        lines = {job.id: await self._line(job) for job in running}
        state = ([job.model_dump() for job in (*running, *waiting)], lines)
        if state == self._shown:
            return
        self._shown = state
        self.jobs.clear()
        with self.jobs:
            if not running and not waiting:
                ui.label("Nothing runs.").classes("faint")
                return
            with ui.column().classes("card").style("gap: 0").props('role="list" aria-label="Jobs"'):
                for job in running:
                    self._job(job, lines[job.id])
                for place, job in enumerate(waiting):
                    self._job(job, "", before=waiting[place - 1].id if place else None)

    @staticmethod
    async def _line(job: JobView) -> str:
        kind, _, name = (job.subject or "").partition(":")
        if kind != "run":
            return ""
        return drawn(await tried(sparkline, bench(), name) or [])

    def _machine(self, system: System) -> None:
        shares = [("Processor", system.cpu, f"{system.cpu:.0%} of {system.cores} cores")]
        shares.append(("Memory", system.memory_used / system.memory, _of(system.memory_used, system.memory)))
        shares.append(("Disk", system.disk_used / system.disk, _of(system.disk_used, system.disk)))
        shares += [
            (card.name, card.memory_used / card.memory, _of(card.memory_used, card.memory)) for card in system.cards
        ]
        self.gauges.clear()
        with self.gauges:
            for name, share, told in shares:
                with ui.element("div").classes("gauge"):
                    ui.label(name).classes("faint")
                    ui.linear_progress(min(1.0, share), show_value=False).props(f'rounded aria-label="{told}"')
                    ui.label(told)

    def _job(self, job: JobView, line: str, before: int | None = None) -> None:
        with ui.element("div").classes("job").props('role="listitem"'):
            address = _address(job)
            with ui.element("div").classes("name"):
                if address is None:
                    ui.label(job.title)
                else:
                    ui.link(job.title, address)
            with ui.element("svg").classes("spark").props('width=120 height=28 aria-hidden="true"'):
                ui.element("polyline").props(f'points="{line}" fill=none stroke=currentColor stroke-width=1.5')
            with ui.element("div"):
                if job.state in ("claimed", "running"):
                    ui.linear_progress(job.progress, show_value=False).props('rounded aria-label="Progress"')
                ui.label(_standing(job)).classes("faint")
            with ui.row().classes("no-wrap").style("gap: 0"):
                if bench().settings.read_only:
                    return
                if before is not None:
                    earlier = ui.button(icon="arrow_upward", on_click=lambda: self._move(job.id, before))
                    earlier.props('flat dense round aria-label="Earlier"')
                stop = ui.button(icon="stop", on_click=lambda: self._abort(job.id))
                stop.props('flat dense round aria-label="Abort"').set_enabled(not job.stopping)

    async def _move(self, number: int, before: int) -> None:
        await tried(move_job, bench(), number, before)
        await self.look()

    async def _abort(self, number: int) -> None:
        await tried(abort_job, bench(), number)
        await self.look()


def _address(job: JobView) -> str | None:
    kind, _, name = (job.subject or "").partition(":")
    return f"/runs/{quote(name)}" if kind == "run" else None


def _standing(job: JobView) -> str:
    if job.stopping:
        return "stopping"
    if job.state == "queued":
        return "waits for its turn"
    if job.state == "claimed":
        return "is starting"
    parts = [job.message or "runs"]
    if job.seconds_left is not None:
        minutes = job.seconds_left / 60
        parts.append(f"about {minutes:.0f} min left" if minutes >= 2 else f"about {job.seconds_left:.0f} s left")
    return ", ".join(parts)


def _of(used: int, total: int) -> str:
    return f"{used / 2**30:.1f} of {total / 2**30:.0f} GiB"
