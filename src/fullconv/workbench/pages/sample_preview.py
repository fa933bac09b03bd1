"""Augmented samples as training will see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from fullconv.errors import FullconvError
from fullconv.workbench.pages.asking import asked, refuse
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.plans import Samples, view_samples

COUNT = 8
STYLE = """
.samples { display: grid; gap: .5rem; width: 100%;
  grid-template-columns: repeat(auto-fill, minmax(min(11rem, 45%), 1fr)) }
.samples figure { margin: 0 } .samples img { width: 100%; display: block; border-radius: 4px; background: var(--soft) }
.samples figcaption { color: var(--faint); font-size: .8rem; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap }
"""
VIEWS = {"picture": "Picture", "overlay": "Labels over it", "labels": "Labels"}


class SamplePreview:
    """A row of samples, with a button for the next ones.

    Args:
        settings: gives the plan as it is now.
    """

    def __init__(self, settings: Callable[[], dict[str, Any]]) -> None:
        ui.add_css(STYLE)
        self._settings = settings
        self._first = 0
        self._found: Samples | None = None
        with ui.row().classes("items-center").style("gap: .5rem 1rem"):
            self.button = ui.button("Show real samples", icon="visibility", on_click=lambda: self._load(0))
            self.button.props("outline no-caps dense").mark("show-samples")
            self.more = ui.button("Next ones", on_click=lambda: self._load(self._first + COUNT)).props(
                "flat no-caps dense"
            )
            self.epoch = ui.number("Epoch", value=1, min=1, max=100_000, step=1, precision=0).props("dense outlined")
            self.epoch.style("width: 6.5rem").on_value_change(lambda: self._load(0) if self._found else None)
            self.view = ui.toggle(VIEWS, value="picture", on_change=self._show).props("no-caps dense flat")
            self.spinner = ui.spinner(size="1.4em")
        self.note = ui.label().classes("faint")
        self.grid = ui.element("div").classes("samples").mark("samples")
        self.more.visible = self.spinner.visible = False

    def outdate(self) -> None:
        """The plan has changed since."""
        if self._found is not None:
            self.note.text = "The plan has changed since; show them again."

    async def _load(self, first: int) -> None:
        self.spinner.visible = True
        self.button.disable()
        try:
            epoch = int(self.epoch.value or 1)
            self._found = await asked(view_samples, bench(), self._settings(), epoch=epoch, first=first, count=COUNT)
            self._first = first
        except FullconvError as problem:
            refuse(problem)
            return
        finally:
            self.spinner.visible = False
            self.button.enable()
        self.more.visible = len(self._found.samples) == COUNT
        self.note.text = (
            f"Samples {first + 1} to {first + len(self._found.samples)} of epoch {epoch} with seed {self._found.seed}: "
            "the very pixels that a run learns from."
            if self._found.samples
            else "The epoch has no more samples."
        )
        self._show()

    def _show(self) -> None:
        if self._found is None:
            return
        self.grid.clear()
        with self.grid:
            for sample in self._found.samples:
                with ui.element("figure"):
                    image = ui.element("img")
                    image.props["src"] = getattr(sample, self.view.value)
                    image.props["alt"] = f"Sample {sample.place + 1}: {sample.key}"
                    with ui.element("figcaption"):
                        ui.label(f"{sample.key}, {sample.width}×{sample.height}").style("display: inline")
