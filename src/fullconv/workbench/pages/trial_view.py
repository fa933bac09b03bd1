"""A trial on a page: panes, sliders, legend and scores."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from nicegui import app, ui

from fullconv.workbench.pages.label_viewer import NEED_TRUTH, PANES, STYLE, LabelViewer, hidden_at_first
from fullconv.workbench.pages.stacks import OwnSlider, swatch
from fullconv.workbench.pages.theme import heading
from fullconv.workbench.trials.views import TrialClass, TrialView

LEGEND = "legend"
VIEW_STYLE = (
    STYLE
    + """
.trial { display: grid; grid-template-columns: minmax(0, 1fr) 19rem; gap: 1.2rem; width: 100%; align-items: start }
.trial-side { display: flex; flex-direction: column; gap: .8rem; min-width: 0 }
.trial-controls { display: flex; flex-direction: column; gap: .5rem }
@media (max-width: 900px) {
  .trial { grid-template-columns: minmax(0, 1fr) } .trial-side { display: contents } .trial-controls { order: -1 } }
.legend { display: flex; flex-direction: column; width: 100% }
.legend .row-head, .legend button { display: grid; grid-template-columns: 1.1rem minmax(0, 1fr) 4rem; gap: .5rem;
  align-items: center; padding: .22rem .4rem; text-align: right }
.legend.scored .row-head, .legend.scored button { grid-template-columns: 1.1rem minmax(0, 1fr) 3.6rem 3.6rem 3.2rem }
.legend .row-head { color: var(--faint); font-size: .8rem }
.legend button { border: 0; background: none; color: var(--text); font: inherit; cursor: pointer; border-radius: 5px;
  font-variant-numeric: tabular-nums }
.legend .name { text-align: left; overflow-wrap: anywhere }
.legend button:hover, .legend button.under { background: var(--soft); box-shadow: inset 3px 0 0 var(--accent) }
.legend button[aria-pressed=false] .name { text-decoration: line-through; color: var(--faint) }
.legend button[aria-pressed=false] .swatch { opacity: .25 }
.sliders { display: grid; grid-template-columns: 4.5rem minmax(0, 1fr); gap: .1rem .8rem; align-items: center }
.panes-choice { display: flex; flex-wrap: wrap; gap: 0 .8rem }
.scores { display: flex; gap: 1.4rem; flex-wrap: wrap }
.scores b { font-size: 1.25rem; font-variant-numeric: tabular-nums }
"""
)
_SLIDERS = (
    ("opacity", "Opacity", 0, 100, 1, 50, "value / 100", "Opacity of the classes' colours in percent"),
    ("outline", "Outline", 0, 6, 1, 1, "value", "Width of the classes' outlines in pixels"),
    ("mask", "Mask", 0, 100, 1, 0, "value / 100", "How much classes that are switched off are blacked out, in percent"),
)


class TrialDisplay:
    """What a finished trial looks like.

    Args:
        trial: that is shown.
    """

    def __init__(self, trial: TrialView) -> None:
        self.trial = trial
        self.truth = trial.undefined is not None
        kept = app.storage.user
        panes = [pane for pane in _strings(kept.get("test_panes")) if pane in PANES] or _first_panes()
        settings = {name: _kept(name, first) for name, _, _, _, _, first, _, _ in _SLIDERS}
        with ui.element("div").classes("trial"):
            given = {"opacity": settings["opacity"] / 100, "mask": settings["mask"] / 100}
            self.viewer = LabelViewer(trial, legend=LEGEND, panes=panes, settings=settings | given)
            with ui.element("div").classes("trial-side"):
                with ui.element("div").classes("trial-controls"):
                    self._panes(panes)
                    self._sliders(settings)
                if self.truth:
                    self._scores()
                self._legend()
                self._facts()

    def _panes(self, chosen: Sequence[str]) -> None:
        boxes: dict[str, ui.checkbox] = {}

        def choose() -> None:
            panes = [name for name, box in boxes.items() if box.value]
            if not panes:
                boxes["overlay"].value = True
                return
            app.storage.user["test_panes"] = panes
            self.viewer.show_panes(panes)

        with ui.element("div").classes("panes-choice").props('role="group" aria-label="What is shown"'):
            for name, title in PANES.items():
                boxes[name] = ui.checkbox(title, value=name in chosen, on_change=choose).props("dense")
                boxes[name].visible = self.truth or name not in NEED_TRUTH

    def _sliders(self, settings: dict[str, float]) -> None:
        with ui.element("div").classes("sliders"):
            for name, title, low, high, step, _, expression, hint in _SLIDERS:
                ui.label(title).classes("faint")
                slider = OwnSlider(min=low, max=high, step=step, value=settings[name]).mark(name)
                slider.props(f'label aria-label="{hint}"').tooltip(hint)
                # In the browser alone: the picture follows while the slider moves.
                call = self.viewer.handler(f"set({{{name}: {expression}}})", "(value)")
                slider.on("update:model-value", js_handler=call)
                slider.on("change", lambda event, name=name: _keep(name, event.args))
        ui.button("Whole image", icon="fit_screen").props("flat dense no-caps").classes("self-start").on(
            "click", js_handler=self.viewer.handler("whole()")
        )

    def _scores(self) -> None:
        with ui.element("div").classes("scores"):
            for title, value in (("Pixel accuracy", self.trial.pixel_accuracy), ("Mean IoU", self.trial.mean_iou)):
                with ui.column().style("gap: 0"):
                    ui.label(title).classes("faint")
                    with ui.element("b"):
                        ui.label(_percent(value)).style("display: inline")

    def _legend(self) -> None:
        shown = [entry for entry in self.trial.classes if entry.share or entry.truth]
        absent = [entry for entry in self.trial.classes if not (entry.share or entry.truth)]
        shown.sort(key=lambda entry: -entry.share)
        hidden = hidden_at_first(self.trial)
        with ui.column().style("gap: .2rem").classes("w-full"):
            heading("Classes", 2)
            ui.label("Point at one to see it alone; click to switch its colour off.").classes("faint")
            with ui.element("div").classes("legend" + (" scored" if self.truth else "")).props(f"id={LEGEND}"):
                with ui.element("div").classes("row-head").props("aria-hidden=true"):
                    ui.label()
                    ui.label("").classes("name")
                    for title in ("found", "truth", "IoU %") if self.truth else ("share",):
                        ui.label(title)
                for entry in shown:
                    self._row(entry, pressed=entry.index not in hidden)
            if absent:
                ui.label("Not found: " + ", ".join(entry.name for entry in absent)).classes("faint")

    def _row(self, entry: TrialClass, *, pressed: bool) -> None:
        row = ui.element("button").props(f'type="button" data-class={entry.index} aria-pressed={str(pressed).lower()}')
        for event in ("mouseenter", "focus"):
            row.on(event, js_handler=self.viewer.handler(f"highlight({entry.index})"))
        for event in ("mouseleave", "blur"):
            row.on(event, js_handler=self.viewer.handler("highlight(-1)"))
        row.on("click", js_handler=self.viewer.handler(f"toggle({entry.index}, event.currentTarget)", "(event)"))
        with row:
            swatch(list(entry.color))
            ui.label(entry.name).classes("name")
            ui.label(_percent(entry.share))
            if self.truth:
                ui.label(_percent(entry.truth)).classes("faint")
                ui.label("" if entry.iou is None else f"{100 * entry.iou:.0f}")

    def _facts(self) -> None:
        trial = self.trial
        said = [f"{trial.width}×{trial.height} pixels", f"network {1000 * trial.seconds.get('network', 0):.0f} ms"]
        if trial.undefined:
            said.append(f"truth undefined on {_percent(trial.undefined)}, shown white")
        ui.label(", ".join(said) + ".").classes("faint")
        if trial.missing:
            ui.label(f"The model does not know {', '.join(trial.missing)}; these pixels count as undefined.").classes(
                "faint"
            )
        address = f"/api/v1/trials/{quote(trial.id)}"
        ui.link("JSON", address).classes("faint")


def _first_panes() -> list[str]:
    return ["image", "overlay", "truth", "errors"]


def _strings(kept: object) -> list[str]:
    return [entry for entry in kept if isinstance(entry, str)] if isinstance(kept, list) else []


def _kept(name: str, first: float) -> float:
    kept = app.storage.user.get(f"test_{name}")
    return float(kept) if isinstance(kept, int | float) else float(first)


def _keep(name: str, value: object) -> None:
    if isinstance(value, int | float):
        app.storage.user[f"test_{name}"] = value


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share:.1f} %" if share >= 0.001 or share == 0 else "< 0.1 %"
