"""How long a plan takes here: asked for, done as a job with a few real steps, and told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from fullconv.workbench.pages.job_progress import JobProgress
from fullconv.workbench.pages.theme import bench

MIB = 2**20


class PlanTime:
    """A button, and at a place of its own the progress of the job and what it found.

    Args:
        forecast: starts the job; gives its number, or None where it cannot.
    """

    place: ui.element

    def __init__(self, forecast: Callable[[], Awaitable[int | None]]) -> None:
        self._forecast = forecast
        self._possible, self._asked = True, False
        self._version = 0
        self.button = ui.button("How long does it take here?", icon="timer", on_click=self._ask)
        self.button.props("flat dense no-caps").mark("ask-time")
        self.button.tooltip("Does a few real steps in a job of their own")
        self.button.visible = not bench().settings.read_only

    def tell_here(self) -> None:
        """Progress and result are to be shown at this place of the page."""
        self.place = ui.column().classes("w-full")

    def forget(self) -> None:
        """Another plan takes another time."""
        self._version += 1
        self._asked = False
        self.place.clear()
        self._show()

    def allow(self, possible: bool) -> None:
        """Whether it can be asked for: a plan that is wrong takes no time."""
        self._possible = possible
        self._show()

    def _show(self) -> None:
        self.button.set_enabled(self._possible and not self._asked)

    async def _ask(self) -> None:
        version = self._version
        self._asked = True
        self._show()
        number = await self._forecast()
        if version != self._version:
            return
        self.place.clear()
        if number is None:
            self._failed()
            return
        with self.place:
            progress = JobProgress(number, on_done=lambda result: done(result), on_failed=self._failed)

        def done(result: dict[str, Any]) -> None:
            progress.element.delete()
            with self.place:
                _show_times(result)

    def _failed(self) -> None:
        self._asked = False
        self._show()


def _show_times(result: dict[str, Any]) -> None:
    """What a few real steps showed."""
    times, memory = result.get("times"), result.get("memory", {})
    if times is None:
        ui.label("A few steps were tried, and memory did not suffice.").classes("notice wrong")
        return
    lines = {
        "Step": seconds(times["step"]),
        "Epoch": f"{seconds(times['epoch'])}, and {seconds(times['validation'])} for a validation",
        "Whole run": f"about {seconds(times['run'])}, as this machine is now",
    }
    if memory.get("checked") and memory.get("peak"):
        lines["Largest batch"] = f"{memory['largest_batch']}, tried: {memory['peak'] / MIB:,.0f} MiB"
    with ui.element("dl").classes("facts").mark("plan-times"):
        for name, text in lines.items():
            fact(name).text = text


def fact(name: str) -> ui.label:
    """An entry of a list of facts, whose text is still to come."""
    with ui.element("dt"):
        ui.label(name)
    with ui.element("dd"):
        return ui.label()


def seconds(value: float) -> str:
    """A time as people say it.

    >>> seconds(0.25), seconds(75), seconds(5400), seconds(9000)
    ('250 ms', '75.0 s', '90 min', '2.5 h')
    """
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"
