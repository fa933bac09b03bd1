"""One run: how far it is, how it does, what it says, and what can be done with it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from nicegui import ui

from fullconv.errors import FullconvError
from fullconv.workbench.feeds import RunFeed
from fullconv.workbench.pages import run_details
from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.plan_time import seconds
from fullconv.workbench.pages.run_actions import RunActions
from fullconv.workbench.pages.run_charts import RunCharts
from fullconv.workbench.pages.run_details import RunLog, States, Warnings
from fullconv.workbench.pages.run_pictures import RunPictures
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.run_pictures import progress_of
from fullconv.workbench.services.runs import RunView, chart_facts, directory_of, run_of

LIVE_SECONDS = 1.0
ENDED_SECONDS = 5.0
"""An ended run may be taken up again from a shell."""
_WORDS = {
    "queued": "waits for its turn",
    "running": "is learning",
    "done": "is done",
    "failed": "failed",
    "aborted": "was aborted",
    "killed": "was killed: its process is gone",
}


async def run_page(name: str) -> None:
    """The page of a run."""
    with frame(name, "/"):
        ui.add_css(run_details.STYLE)
        try:
            view = await asked(run_of, bench(), name)
            feed = bench().feeds.of(directory_of(bench(), name))
            await asked(feed.look)
            facts = await asked(chart_facts, bench(), name)
            progress = await asked(progress_of, bench(), name)
        except FullconvError as problem:
            ui.status_code(404)
            heading(name)
            nothing_yet(str(problem), "To the list of runs", "/")
            return
        page = _RunPage(view, feed)
        page.charts = RunCharts(facts, feed.rows)
        page.pictures = RunPictures(name, progress)
        page.tabs()
        page.show(view)
        page.timer = ui.timer(LIVE_SECONDS, page.tick)


class _RunPage:
    charts: RunCharts
    pictures: RunPictures
    timer: ui.timer

    def __init__(self, view: RunView, feed: RunFeed) -> None:
        self.name, self.feed = view.name, feed
        self.rows, self.edition = len(feed.rows), feed.edition
        self._head(view)
        self.warnings = Warnings()

    def _head(self, view: RunView) -> None:
        with ui.row().classes("w-full items-start justify-between").style("gap: .6rem"):
            with ui.column().style("gap: .2rem; min-width: 0; flex: 1 1 20rem"):
                heading(view.name)
                with ui.row().style("gap: .2rem .5rem"):
                    self._dataset(view.dataset)
                    ui.label(f"{view.network}, weights {view.weights}, seed {view.seed}").classes("faint")
                    if view.group is not None:
                        ui.link(f"group {view.group}", f"/groups/{quote(view.group, safe='')}")
                self.state = ui.label().classes("text-weight-medium").props('role="status"').mark("run-state")
                self.error = ui.label().classes("bad").style("overflow-wrap: anywhere").mark("run-error")
            ui.link("JSON", f"/api/v1/runs/{quote(view.name)}").classes("faint")
        self.bar = ui.linear_progress(0, show_value=False).props('rounded aria-label="Progress"')
        self.numbers = ui.label().classes("faint").mark("run-numbers")
        self.actions = RunActions(view.name, self.tick)

    @staticmethod
    def _dataset(name: str) -> None:
        if "/" in name:
            ui.label(f"on {name}").style("overflow-wrap: anywhere")
        else:
            ui.label("on")
            ui.link(name, f"/datasets/{quote(name)}")

    def tabs(self) -> None:
        """Log, plan, states, files, notes."""
        with ui.column().classes("card"):
            with ui.tabs().props("no-caps align=left outside-arrows mobile-arrows dense").classes("w-full") as tabs:
                for key, label in _TABS.items():
                    ui.tab(key, label)
            with ui.tab_panels(tabs, value="log", animated=False).classes("w-full").style("background: transparent"):
                panels = {key: ui.tab_panel(key).classes("q-px-none") for key in _TABS}
        with panels["log"]:
            self.log = RunLog(self.name)
        with panels["states"]:
            self.states = States()

        async def opened() -> None:
            key = str(tabs.value)
            panel = panels[key]
            if key in ("plan", "files", "notes"):
                panel.clear()
                with panel:
                    await self._fill(key)

        tabs.on_value_change(opened)

    async def _fill(self, key: str) -> None:
        if key == "plan":
            await run_details.plan_tab(self.name)
        elif key == "files":
            await run_details.files_tab(self.name)
        else:
            run_details.notes_tab(await asked(run_of, bench(), self.name))

    async def tick(self) -> None:
        """Look what is new."""
        try:
            await asked(self.feed.look)
            view = await asked(run_of, bench(), self.name)
            fresh = self._show_rows()
            if fresh:
                await self.pictures.refresh()
            await self.log.grow()
        except FullconvError as problem:  # it was deleted, or its folder is being written anew
            self.state.text = str(problem)
            self.timer.interval = ENDED_SECONDS
            return
        self.show(view)
        self.timer.interval = LIVE_SECONDS if view.can_abort else ENDED_SECONDS

    def show(self, view: RunView) -> None:
        """Its state, in words."""
        self.state.text = (
            f"It {_WORDS[view.state]}." if view.job is None or not view.job.stopping else "It is stopping."
        )
        self.error.text = view.error or ""
        self.bar.value = view.progress
        self.bar.visible = view.state != "done"
        self.numbers.text = _numbers(view)
        self.warnings.show(view.warnings)
        self.states.show(view)
        self.actions.show(view)

    def _show_rows(self) -> bool:
        rows = self.feed.rows
        if self.feed.edition != self.edition or len(rows) < self.rows:
            self.edition = self.feed.edition
            self.charts.show(rows)
            fresh = True
        else:
            fresh = len(rows) > self.rows
            self.charts.extend(rows[self.rows :])
        self.rows = len(rows)
        return fresh


_TABS: dict[str, str] = {
    "log": "Log",
    "plan": "Plan",
    "states": "States and hardware",
    "files": "Checkpoints and files",
    "notes": "Notes",
}


def _numbers(view: RunView) -> str:
    parts: list[Any] = [f"epoch {view.epoch} of {view.epochs}"]
    if view.state == "running" and view.seconds_left is not None:
        parts.append(f"about {seconds(view.seconds_left)} left")
    if view.best_mean_iou is not None:
        parts.append(f"best mean IoU on validation images {view.best_mean_iou:.3f}")
    if view.scores is not None and view.scores.mean_iou is not None and view.scores.pixel_accuracy is not None:
        parts.append(
            f"on {view.scores.split} images: pixel accuracy {view.scores.pixel_accuracy:.1%}, "
            f"mean IoU {view.scores.mean_iou:.3f}"
        )
    return " · ".join(parts)
