"""The machine on the first page: processor, memory, disk and graphics cards now."""

from __future__ import annotations

from nicegui import ui

from fullconv.workbench.services.system import Card, System

STYLE = """
.gauges { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; width: 100% }
.gauge { display: flex; align-items: center; gap: .5rem; white-space: nowrap }
.gauge .q-linear-progress { width: 5rem }
"""


class Machine:
    """A bar for each part."""

    def __init__(self) -> None:
        self.place = ui.element("div").classes("gauges")
        self._gauges: list[tuple[str, ui.linear_progress, ui.label]] = []

    def show(self, system: System) -> None:
        """As it is now."""
        parts = [
            ("Processor", system.cpu, f"{system.cpu:.0%} of {system.cores} cores"),
            ("Memory", *_share(system.memory_used, system.memory)),
            ("Disk", *_share(system.disk_used, system.disk)),
        ]
        for number, card in enumerate(system.cards):
            parts += _card(card, card.name if len(system.cards) == 1 else f"{card.name} {number}")
        if [name for name, _, _ in self._gauges] != [name for name, _, _ in parts]:
            self.place.clear()
            with self.place:
                self._gauges = [_gauge(name) for name, _, _ in parts]
        for (_, bar, said), (_, share, told) in zip(self._gauges, parts, strict=True):
            bar.value = round(min(1.0, share), 2)
            said.text = told


def _gauge(name: str) -> tuple[str, ui.linear_progress, ui.label]:
    with ui.element("div").classes("gauge"):
        ui.label(name).classes("faint")
        bar = ui.linear_progress(0, show_value=False).props("rounded")
        bar.props["aria-label"] = name
        return name, bar, ui.label()


def _card(card: Card, name: str) -> list[tuple[str, float, str]]:
    memory = _share(card.memory_used, card.memory)
    if card.load is None:
        return [(name, *memory)]
    return [(name, card.load, f"{card.load:.0%} busy"), (f"{name}, memory", *memory)]


def _share(used: int, total: int) -> tuple[float, str]:
    return used / total, f"{used / 2**30:.1f} of {total / 2**30:.0f} GiB"
