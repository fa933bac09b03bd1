"""What a job said, in a dialog that grows with it."""

from __future__ import annotations

from nicegui import ui

from fullconv.errors import FullconvError
from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.services.jobs import JobView, end_of_log, job_of, log_of
from fullconv.workbench.tables import OPEN

LOOK_SECONDS = 1.0
MOST_LINES = 1000
STYLE = """
.job-log { font-family: ui-monospace, monospace; font-size: .82rem; height: min(24rem, 50vh); background: var(--soft);
  border-radius: 6px; border: 0 !important; color: var(--text); width: 100% }
.job-log * { white-space: pre-wrap !important; overflow-wrap: anywhere }
.job-log-card { width: 60rem; max-width: 95vw !important }
"""


class JobLog:
    """The dialog; it is open until it is closed, and gone then.

    Args:
        job: whose log.
        place: where the dialog is put: an element that stays.
    """

    def __init__(self, job: JobView, place: ui.element) -> None:
        self.job, self.offset = job, -1
        self._half = ""
        with place, ui.dialog() as self.dialog, ui.card().classes("job-log-card"):
            heading(job.title, 2)
            self.state = ui.label().props('role="status"').style("overflow-wrap: anywhere")
            self.log = ui.log(max_lines=MOST_LINES).classes("job-log")
            self.log.props('role="log" tabindex=0 aria-label="Log of the job"')
            with ui.row().classes("w-full justify-end items-center").style("gap: 1rem"):
                ui.link("JSON", f"/api/v1/jobs/{job.id}/log").classes("faint")
                ui.button("Close", on_click=self.dialog.close).props("flat no-caps")
            self.timer = ui.timer(LOOK_SECONDS, self._look)
        self.dialog.on("hide", self._gone)
        self.dialog.open()

    async def _look(self) -> None:
        try:
            self.job = await asked(job_of, bench(), self.job.id)
            if self.offset < 0:
                found = await asked(end_of_log, bench(), self.job.id)
            else:
                found = await asked(log_of, bench(), self.job.id, self.offset)
        except FullconvError as problem:
            self.state.text = str(problem)
            if isinstance(problem, NotThere):  # it was forgotten; a busy database may do better the next time
                self.timer.deactivate()
            return
        nothing = not found.text and self.offset <= 0
        self.offset = found.offset
        ended = self.job.state not in OPEN
        *whole, self._half = (self._half + found.text).split("\n")
        if ended and self._half:
            whole, self._half = [*whole, self._half], ""
        for line in whole[-MOST_LINES:]:
            self.log.push(line.rsplit("\r", 1)[-1])
        said = {"queued": "It waits for its turn.", "done": "It is done.", "aborted": "It was aborted."}
        text = self.job.error or said.get(self.job.state, "")
        self.state.text = "It has said nothing." if not text and nothing else text
        self.state.classes(replace="bad" if self.job.error else "faint")
        if ended:
            self.timer.deactivate()

    def _gone(self) -> None:
        self.timer.cancel()
        self.dialog.delete()
