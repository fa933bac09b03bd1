"""What else there is of a run: its log, its plan, its states, its files, and what people wrote beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from nicegui import ui
from pydantic import ValidationError

from fullconv.training.status import Change
from fullconv.workbench.annotations import Annotations
from fullconv.workbench.pages.asking import asked, tried
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.run_files import checkpoints_of, run_log
from fullconv.workbench.services.run_starting import clone_of
from fullconv.workbench.services.runs import Hardware, RunView, Said, annotate_run

MIB, GIB = 2**20, 2**30
LOG_LINES = 400
STYLE = """
.as-text { white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: .85rem;
  background: var(--soft); padding: .6rem; border-radius: 6px; width: 100%; max-height: 28rem; overflow: auto }
.said { border-left: 3px solid var(--bad); padding: .3rem .7rem; background: var(--soft); width: 100%; gap: .1rem;
  border-radius: 0 6px 6px 0; overflow-wrap: anywhere }
.states { display: grid; grid-template-columns: max-content 1fr; gap: .2rem .9rem; margin: 0 }
.states dt { color: var(--faint); font-variant-numeric: tabular-nums } .states dd { margin: 0 }
.run-log { font-family: ui-monospace, monospace; font-size: .82rem; height: 18rem; background: var(--soft);
  border-radius: 6px; border: 0 !important; color: var(--text); width: 100% }
"""


class Warnings:
    """What the guard said, each with its remedy."""

    def __init__(self) -> None:
        self._shown: list[Said] = []
        self.element = ui.column().classes("w-full").style("gap: .5rem").mark("run-warnings")

    def show(self, said: Sequence[Said]) -> None:
        """All of them."""
        if list(said) == self._shown:
            return
        self._shown = list(said)
        self.element.clear()
        with self.element:
            for one in said:
                with ui.column().classes("said"):
                    ui.label(one.sentence[:1].upper() + one.sentence[1:] + ".")
                    if one.cause:
                        ui.label(f"Likely cause: {one.cause}.").classes("faint")
                    if one.remedy:
                        ui.label(f"What to do: {one.remedy}.")


class RunLog:
    """The end of the log, growing.

    Args:
        name: of the run.
    """

    def __init__(self, name: str) -> None:
        self.name, self.offset = name, 0
        self.log = ui.log(max_lines=LOG_LINES).classes("run-log").mark("run-log")
        self.log.props('role="log" tabindex=0 aria-label="Log of the run"')

    async def grow(self) -> None:
        """Read on."""
        found = await asked(run_log, bench(), self.name, self.offset)
        self.offset = found.offset
        for line in found.text.splitlines()[-LOG_LINES:]:
            self.log.push(line)


class States:
    """The states that a run had, and what it computes on."""

    def __init__(self) -> None:
        self._shown: list[Change] = []
        self.list = ui.element("dl").classes("states").mark("run-history")
        self.hardware = ui.label().classes("faint")

    def show(self, view: RunView) -> None:
        """As they are now."""
        self.hardware.text = hardware_text(view.hardware)
        if view.history == self._shown:
            return
        self._shown = list(view.history)
        self.list.clear()
        with self.list:
            for change in view.history:
                with ui.element("dt"):
                    ui.label(when(change.when))
                with ui.element("dd"):
                    ui.label(change.state)


def hardware_text(hardware: Hardware) -> str:
    """What it computes on, in one line.

    >>> hardware_text(Hardware(host="ada", process=7, device="cpu", devices=1, precision="fp32", memory=2**30, cpu=1.5))
    'on ada, cpu, fp32, process 7 with 1,024 MiB of memory, 1.5 cores busy'
    """
    parts = [f"on {hardware.host}" if hardware.host else "", hardware.device or "", hardware.precision or ""]
    if hardware.devices > 1:
        parts.append(f"{hardware.devices} processes together")
    if hardware.process is not None and hardware.memory is not None:
        parts.append(f"process {hardware.process} with {hardware.memory / MIB:,.0f} MiB of memory")
    if hardware.cpu is not None:
        parts.append(f"{hardware.cpu:.1f} cores busy")
    for card in hardware.cards:
        load = "" if card.load is None else f" {card.load:.0%} busy,"
        parts.append(f"{card.name}{load} with {card.memory_used / GIB:.1f} of {card.memory / GIB:.0f} GiB in use")
    if hardware.computed_on:
        parts.append(f"scored on: {hardware.computed_on}")
    return ", ".join(part for part in parts if part)


def when(moment: str) -> str:
    """A time as people read it.

    >>> when("2026-01-02T09:00:00.123+00:00")
    '2026-01-02 09:00:00 UTC'
    """
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M:%S} UTC"


async def plan_tab(name: str) -> None:
    """The plan that runs, as YAML."""
    clone = await tried(clone_of, bench(), name)
    if clone is not None:
        ui.label("What differs from the defaults; the run's folder has all of it in experiment.yaml.").classes("faint")
        ui.label(clone.yaml).classes("as-text").props("tabindex=0").mark("run-plan")


async def files_tab(name: str) -> None:
    """Checkpoints, and everything to take away."""
    found = await tried(checkpoints_of, bench(), name) or []
    if not found:
        ui.label("There is no checkpoint yet: one is written after every epoch.").classes("faint")
    address = f"/api/v1/runs/{quote(name)}"
    with ui.element("ul").style("margin: 0; padding-left: 1.2rem"):
        for checkpoint in found:
            with ui.element("li"):
                ui.link(f"{checkpoint.name}.ckpt", f"{address}/checkpoints/{quote(checkpoint.name)}")
                said = f": {checkpoint.bytes / MIB:,.1f} MiB, written {when(checkpoint.written)}"
                ui.label(said).style("display: inline")
    ui.link("Everything but checkpoints, as ZIP", f"{address}/download")
    ui.link("The numbers as JSON", f"{address}/metrics")


def notes_tab(view: RunView) -> None:
    """Tags and a note; both can be changed, unless the workbench can only be looked at."""
    writable = not bench().settings.read_only
    tags = ui.input_chips("Tags", value=list(view.tags), new_value_mode="add-unique")
    tags.props("dense maxlength=40").style("max-width: 40rem; width: 100%").mark("run-tags")
    note = ui.textarea("Note", value=view.note).props("outlined autogrow maxlength=20000")
    note.style("max-width: 60rem; width: 100%").mark("run-note")
    tags.set_enabled(writable)
    note.set_enabled(writable)

    async def save() -> None:
        try:
            wanted = Annotations(tags=tuple(tags.value or ()), note=note.value or "")
        except ValidationError as wrong:
            ui.notify(wrong.errors()[0]["msg"].removeprefix("Value error, "), type="negative")
            return
        if await tried(annotate_run, bench(), view.name, wanted) is not None:
            ui.notify("Saved.", type="positive")

    if writable:
        ui.button("Save", on_click=save).props("no-caps unelevated")
