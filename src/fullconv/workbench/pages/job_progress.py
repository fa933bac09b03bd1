"""How far a job is, on the page that started it."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from nicegui import ui

from fullconv.errors import FullconvError
from fullconv.workbench.pages.asking import asked, refuse, tried
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.services.jobs import JobView, abort_job, job_of

LOOK_SECONDS = 0.5
_STATES = {"queued": "waiting for its turn", "claimed": "starting", "running": "", "done": "done", "aborted": "aborted"}


class JobProgress:
    """A bar with what is being done, a button to abort, and how it ended.

    Args:
        number: of the job.
        on_done: called with the job's result when it is done, and awaited where it can be; what is awaited ends with
            this bar, so that it is taken away last.
        on_failed: called when it ended otherwise.
    """

    def __init__(
        self,
        number: int,
        *,
        on_done: Callable[[dict[str, Any]], object],
        on_failed: Callable[[], object] | None = None,
    ) -> None:
        self.number, self._on_done, self._on_failed = number, on_done, on_failed
        with ui.column().classes("card w-full").props('role="status"').style("gap: .5rem") as self.element:
            with ui.row().classes("w-full items-center justify-between no-wrap"):
                self.title = ui.label().classes("text-weight-medium")
                self.abort = ui.button("Abort", on_click=self._abort).props("flat no-caps dense")
            self.bar = ui.linear_progress(0, show_value=False).props('rounded aria-label="Progress"')
            self.message = ui.label().classes("faint").style("overflow-wrap: anywhere")
        self.timer = ui.timer(LOOK_SECONDS, self._look)

    async def _look(self) -> None:
        try:
            job = await asked(job_of, bench(), self.number)
        except NotThere as problem:  # somebody forgot it
            self.timer.deactivate()
            refuse(problem)
            return
        except FullconvError:  # a busy database: the next look may do better
            return
        self._show(job)
        if job.state not in ("queued", "claimed", "running"):
            self.timer.deactivate()
            self.abort.visible = False
            ended: object = None
            if job.state == "done":
                ended = self._on_done(job.result or {})
            elif self._on_failed is not None:
                ended = self._on_failed()
            if isawaitable(ended):
                await ended

    def _show(self, job: JobView) -> None:
        self.title.text = job.title
        self.bar.value = job.progress
        said = job.message if job.state == "running" else _STATES.get(job.state, job.state)
        if job.state == "running" and job.seconds_left is not None and job.seconds_left >= 2:
            said += f", about {job.seconds_left:.0f} s left"
        if job.stopping:
            said = "stopping"
        if job.error:
            said = job.error
            self.message.classes(remove="faint", add="bad")
        self.message.text = said

    async def _abort(self) -> None:
        self.abort.disable()
        await tried(abort_job, bench(), self.number)
