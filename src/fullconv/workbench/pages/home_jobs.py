"""Jobs on the first page: those that run and wait, and those that ended lately."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from nicegui import ui

from fullconv.workbench.pages.asking import tried
from fullconv.workbench.pages.job_log import JobLog
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.home import Home
from fullconv.workbench.services.jobs import JobView, abort_job, move_job, remove_job
from fullconv.workbench.services.retrying import retry_job
from fullconv.workbench.services.sparklines import drawn
from fullconv.workbench.tables import ACTIVE

STYLE = """
.jobs { padding: .2rem 1rem; gap: 0 }
.job { display: grid; grid-template-columns: minmax(0, 2fr) 120px minmax(0, 2fr) 6.5rem; gap: .3rem 1rem; width: 100%;
  align-items: center; border-bottom: 1px solid var(--line); padding: .5rem 0 }
.job.ended { grid-template-columns: minmax(0, 2fr) minmax(0, 3fr) 6.5rem }
.job:last-child { border-bottom: 0 }
.job .name, .job .said { overflow-wrap: anywhere }
.job .name a { color: var(--accent) } .job .which { font-size: .85rem; line-height: 1.2 }
.job .acts { justify-content: flex-end }
.spark { color: var(--accent); display: block }
.ended-jobs .jobs { max-height: 22rem; overflow: auto }
.ended-jobs .q-item { padding: 0 } .ended-jobs .q-expansion-item__content > * { padding: .3rem 0 0 }
@media (max-width: 600px) { .job, .job.ended { grid-template-columns: minmax(0, 1fr) auto }
  .job .spark { display: none } .job .said { grid-column: 1; grid-row: 2 } .job .acts { grid-row: 1 / span 2 } }
"""
WORDS = {"done": "done", "failed": "failed", "aborted": "aborted"}


class Jobs:
    """The list; what has not changed stays as it is, so that nobody loses the focus.

    Args:
        changed: called after something was done.
    """

    def __init__(self, changed: Callable[[], Awaitable[None]]) -> None:
        self._changed = changed
        self._open: list[_Line] = []
        self._ended: list[_Line] = []
        self.place = ui.column().classes("w-full").style("gap: .3rem")
        with self.place:
            self.open = ui.column().classes("card jobs").props('role="list" aria-label="Jobs"')
            self.none = ui.label("Nothing runs.").classes("faint")
            with ui.expansion().classes("w-full ended-jobs").props("dense dense-toggle") as self.expansion:
                self.ended = ui.column().classes("card jobs")
                self.ended.props('role="list" aria-label="Jobs that ended lately"')
        self._failures: frozenset[int] = frozenset()

    def show(self, now: Home) -> None:
        """Show how things are now."""
        waiting = [job.id for job in now.jobs if job.state == "queued"]
        before = dict(zip(waiting[1:], waiting, strict=False))
        if [(line.number, line.waits) for line in self._open] != [(job.id, job.id in waiting) for job in now.jobs]:
            self.open.clear()
            with self.open:
                self._open = [_Line(self, job, waits=job.id in waiting, before=before.get(job.id)) for job in now.jobs]
        for line, job in zip(self._open, now.jobs, strict=True):
            line.show(job, now.courses.get(job.id, []))
        self.open.visible, self.none.visible = bool(now.jobs), not now.jobs
        self._show_ended(now)

    def _show_ended(self, now: Home) -> None:
        wanted = [(job.id, job.id in now.repeatable) for job in now.ended]
        if [(line.number, line.retry) for line in self._ended] != wanted:
            self.ended.clear()
            with self.ended:
                self._ended = [_Line(self, job, retry=job.id in now.repeatable) for job in now.ended]
        for line, job in zip(self._ended, now.ended, strict=True):
            line.show(job, [])
        failures = frozenset(job.id for job in now.ended if job.state == "failed" and job.id in now.repeatable)
        failed = f", {len(failures)} failed" if failures else ""
        self.expansion.text = f"Ended lately: {len(now.ended)}{failed}"
        self.expansion.visible = bool(now.ended)
        if failures - self._failures:
            self.expansion.value = True
        self._failures = failures

    async def act(self, service: Callable[..., object], *given: object) -> None:
        """Do something and show what came of it."""
        await tried(service, bench(), *given)
        await self._changed()


class _Line:
    """One job.

    Args:
        jobs: the list that it stands in.
        waits: it has not begun. before: the job that it can be put before.
        retry: it can be done again.
    """

    def __init__(
        self, jobs: Jobs, job: JobView, *, waits: bool = False, before: int | None = None, retry: bool = False
    ) -> None:
        self.number, self.waits, self.retry, self.job = job.id, waits, retry, job
        self._jobs = jobs
        ended = job.ended is not None
        with ui.element("div").classes("job ended" if ended else "job").props('role="listitem"'):
            with ui.element("div").classes("name"):
                if (address := page_of(job)) is None:
                    ui.label(job.title)
                else:
                    ui.link(job.title, address)
                kind, _, name = (job.subject or "").partition(":")
                if kind == "run":
                    ui.label(name).classes("which faint")
            if not ended:
                with ui.element("svg").classes("spark").props('width=120 height=28 aria-hidden="true"'):
                    self.course = ui.element("polyline").props("fill=none stroke=currentColor stroke-width=1.5")
            with ui.element("div").classes("said"):
                self.bar = ui.linear_progress(0, show_value=False).props('rounded aria-label="Progress"')
                self.said = ui.label()
            with ui.row().classes("acts no-wrap items-center").style("gap: 0"):
                self._actions(before, ended=ended)

    def _actions(self, before: int | None, *, ended: bool) -> None:
        number = self.number
        if not self.waits:
            _button("article", "Log of", self.job, lambda: JobLog(self.job, self._jobs.place))
        if bench().settings.read_only:
            return
        if ended:
            if self.retry:
                _button("replay", "Retry", self.job, lambda: self._jobs.act(retry_job, number))
            _button("close", "Forget", self.job, lambda: self._jobs.act(remove_job, number))
            return
        if before is not None:
            _button("arrow_upward", "Earlier:", self.job, lambda: self._jobs.act(move_job, number, before))
        self.stop = _button("stop", "Abort", self.job, lambda: self._jobs.act(abort_job, number))

    def show(self, job: JobView, course: list[float]) -> None:
        """How it is now."""
        self.job = job
        self.said.text = standing(job, time.time())
        self.said.classes(replace="bad" if job.state == "failed" else "faint")
        self.bar.visible = job.state in ACTIVE
        self.bar.value = job.progress
        if job.ended is None:
            points = drawn(course)
            if self.course.props.get("points") != points:
                self.course.props["points"] = points
            if not bench().settings.read_only:
                self.stop.set_enabled(not job.stopping)


def page_of(job: JobView) -> str | None:
    """The address of what a job works on, or of what it made."""
    kind, _, name = (job.subject or "").partition(":")
    place = quote(name, safe="")
    if kind == "dataset":  # there is none before it is made
        return f"/datasets/{place}" if job.kind != "dataset" or job.state == "done" else None
    if kind == "evaluation":
        return f"/api/v1/evaluations/{place}/report" if job.state == "done" else "/test?tab=dataset"
    folder = {"run": "runs", "prediction": "predictions", "group": "groups"}.get(kind)
    return f"/{folder}/{place}" if folder else None


def standing(job: JobView, now: float) -> str:
    """Where a job stands, in words.

    Args:
        now: seconds since 1970.
    """
    if job.ended is not None:
        said = f"{WORDS[job.state]} {ago(now - job.ended)}"
        return f"{said}: {job.error}" if job.error and job.state == "failed" else said
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


def ago(seconds: float) -> str:
    """How long something is past.

    >>> ago(5), ago(130), ago(7300), ago(200_000)
    ('just now', '2 min ago', '2 h ago', '2 days ago')
    """
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    return f"{seconds // 3600:.0f} h ago" if seconds < 2 * 86400 else f"{seconds // 86400:.0f} days ago"


def _button(icon: str, verb: str, job: JobView, act: Callable[[], object]) -> ui.button:
    button = ui.button(icon=icon, on_click=act).props("flat dense round")
    name = (job.subject or "").partition(":")[2]
    button.props["aria-label"] = f"{verb} {job.title}" + (f", {name}" if name and name not in job.title else "")
    with button:
        ui.tooltip(verb.removesuffix(" of").removesuffix(":")).props("aria-hidden=true")
    return button
