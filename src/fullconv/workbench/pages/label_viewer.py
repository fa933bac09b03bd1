"""The element that shows a trial: panes of image, prediction and truth, moved and zoomed together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nicegui import ui
from nicegui.elements import leaflet

from fullconv.workbench.trials.views import TrialView

PANES = {
    "image": "Image",
    "overlay": "Overlay",
    "labels": "Label map",
    "sure": "How sure",
    "truth": "Truth",
    "errors": "Errors",
}
NEED_TRUTH = ("truth", "errors")
BACKGROUND = ("background", "_background_")
STYLE = """
.label-viewer { width: 100%; min-width: 0 }
.viewer-panes { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)) }
.viewer-panes.alone { grid-template-columns: 1fr }
.viewer-panes figure { margin: 0; min-width: 0 }
.viewer-panes figcaption { color: var(--faint); font-size: .85rem; padding-bottom: .15rem }
.viewer-frame { position: relative; overflow: hidden; max-height: 75vh; width: 100%; background: var(--soft);
  border: 1px solid var(--line); border-radius: 6px }
.viewer-plane { position: absolute; inset: 0; background: transparent; cursor: crosshair; z-index: 0 }
.viewer-plane:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px }
.viewer-plane.leaflet-container { background: transparent; font: inherit }
.viewer-plane.sharp canvas { image-rendering: pixelated }
.viewer-cross { position: absolute; left: -7px; top: -7px; width: 14px; height: 14px; border-radius: 50%;
  border: 2px solid #fff; box-shadow: 0 0 0 1px #000; pointer-events: none; z-index: 1 }
.viewer-reading { display: flex; flex-wrap: wrap; gap: .25rem .6rem; align-items: center; min-height: 1.9rem;
  padding-top: .35rem; font-variant-numeric: tabular-nums }
"""
_LEAFLET = Path(leaflet.__file__).parent / "dist"


class LabelViewer(ui.element, component="label_viewer.js", esm={"nicegui-leaflet": str(_LEAFLET)}):
    """Panes that show one image.

    Args:
        legend: identifier of the legend's element, whose rows with `data-class` are marked under the pointer.
        panes: that are shown, of `PANES`.
        settings: `opacity` 0 to 1, `outline` in pixels, `mask` 0 to 1.
    """

    def __init__(self, trial: TrialView, *, legend: str, panes: Sequence[str], settings: dict[str, float]) -> None:
        super().__init__()
        self.add_resource(_LEAFLET)
        self._props["legend"] = legend
        self._props["panes"] = list(panes)
        self._props["settings"] = dict(settings)
        self._props["trial"] = _told(trial)

    def show_panes(self, panes: Sequence[str]) -> None:
        """Other panes, in this order."""
        self._props["panes"] = [pane for pane in PANES if pane in panes]

    def handler(self, call: str, arguments: str = "()") -> str:
        """A handler for the browser alone.

        Args:
            call: of a method of the viewer, as "highlight(3)".
            arguments: of the handler, which the call may use.
        """
        return f"{arguments} => getElement({self.id})?.{call}"


def hidden_at_first(trial: TrialView) -> tuple[int, ...]:
    """Classes whose colour is not laid over the image unless asked for: what a dataset calls its background."""
    return tuple(entry.index for entry in trial.classes if entry.name.lower() in BACKGROUND)


def _told(trial: TrialView) -> dict[str, Any]:
    return {
        "id": trial.id,
        "title": trial.title,
        "tiles": f"/api/v1/trials/{trial.id}/tiles",
        "width": trial.width,
        "height": trial.height,
        "levels": trial.levels,
        "tile": trial.tile,
        "frame": trial.frame,
        "truth": trial.undefined is not None,
        "classes": [{"name": entry.name, "color": list(entry.color)} for entry in trial.classes],
        "hidden": list(hidden_at_first(trial)),
    }
