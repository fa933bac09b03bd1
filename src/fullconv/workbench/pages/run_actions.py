"""What can be done with a run: stop it, go on with it, train it again, change its plan, delete it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from nicegui import ui

from fullconv.workbench.pages.asking import asked, tried
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.services.run_ending import abort_run, delete_run, needed_by
from fullconv.workbench.services.run_starting import resume_run, retry_run
from fullconv.workbench.services.runs import RunView


class RunActions:
    """A row of buttons; those that cannot be used now are not there.

    Args:
        name: of the run.
        changed: called after something was done.
    """

    def __init__(self, name: str, changed: Callable[[], Awaitable[None]]) -> None:
        self.name, self._changed = name, changed
        writable = not bench().settings.read_only
        place = quote(name)
        with ui.row().classes("items-center").style("gap: .4rem"):
            self.abort = _button("Abort", "stop", self._abort, writable).mark("abort-run")
            self.resume = _button("Go on", "play_arrow", self._resume, writable).mark("resume-run")
            self.clone = _link("Change and train", "edit", f"/runs/new?clone={place}", writable).mark("clone-run")
            self.retry = _button("Train again", "replay", self._retry, writable).mark("retry-run")
            self.test = _link("Test", "image_search", f"/test?run={place}")
            self.layers = _link("Layers", "layers", f"/layers?model={place}&kind=run")
            self.report = _link("Report", "description", f"/api/v1/runs/{place}/report/report.html").mark("run-report")
            self.report.props("target=_blank rel=noopener")
            _link("Download", "download", f"/api/v1/runs/{place}/download")
            self.delete = _button("Delete", "delete", self._delete, writable).mark("delete-run")
        self._writable = writable

    def show(self, view: RunView) -> None:
        """As the run is now."""
        stopping = view.job is not None and view.job.stopping
        self.abort.visible = self._writable and view.can_abort
        self.abort.text = "Aborting" if stopping else "Abort"
        self.abort.set_enabled(not stopping)
        self.resume.visible = self._writable and view.resumable
        self.retry.visible = self._writable and not view.can_abort
        self.delete.visible = self._writable and not view.can_abort
        self.test.visible = self.layers.visible = view.has_model
        self.report.visible = view.has_report

    async def _abort(self) -> None:
        sure = await _ask(
            "Abort this run?",
            "It stops after the step in hand, and can go on later from its last whole epoch.",
            "Abort",
            "Let it run",
        )
        if sure:
            await tried(abort_run, bench(), self.name)
            await self._changed()

    async def _resume(self) -> None:
        with ui.dialog() as dialog, ui.card():
            heading("Go on with this run?", 2)
            ui.label("It goes on from its last whole epoch, or begins where it has none.")
            rate = ui.number("Another learning rate from here on", min=0, format="%g").props("dense outlined clearable")
            rate.style("width: 100%").props('hint="empty: as planned"').mark("resume-rate")
            with ui.row().classes("w-full justify-end"):
                ui.button("Not now", on_click=lambda: dialog.submit(False)).props("flat no-caps")
                ui.button("Go on", on_click=lambda: dialog.submit(True)).props("no-caps unelevated").mark("resume-sure")
        sure, wanted = await dialog, rate.value
        dialog.delete()
        if sure:
            await tried(resume_run, bench(), self.name, learning_rate=float(wanted) if wanted else None)
            await self._changed()

    async def _retry(self) -> None:
        sure = await _ask(
            "Train the same plan again?",
            "A new run begins from the start; this one stays as it is.",
            "Train again",
            "No",
        )
        if sure:
            started = await tried(retry_run, bench(), self.name)
            if started is not None:
                ui.navigate.to(f"/runs/{quote(started.runs[0])}")

    async def _delete(self) -> None:
        needed = await asked(needed_by, bench(), self.name)
        text = "Its plan, numbers, checkpoints, report and model are removed."
        if needed:
            text = f"It cannot be deleted: it is needed by {', '.join(needed[:5])}{' …' if len(needed) > 5 else ''}."
        sure = await _ask("Delete this run?", text, "Delete", "Keep", possible=not needed)
        if sure and await tried(_deleted, self.name):
            ui.navigate.to("/")


def _deleted(name: str) -> bool:
    delete_run(bench(), name)
    return True


async def _ask(question: str, text: str, yes: str, no: str, *, possible: bool = True) -> bool:
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


def _button(text: str, icon: str, action: Callable[[], Awaitable[None]], there: bool) -> ui.button:
    button = ui.button(text, icon=icon, on_click=action).props("outline no-caps dense")
    button.visible = there
    return button


def _link(text: str, icon: str, address: str, there: bool = True) -> ui.button:
    button = ui.button(text, icon=icon).props("tag=a outline no-caps dense")
    button.props["href"] = address
    button.visible = there
    return button
