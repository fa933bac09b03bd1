"""Two pictures of one image under a line that is moved by hand or by the arrow keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nicegui import ui

STYLE = """
.swipe { touch-action: pan-y; cursor: ew-resize; user-select: none; border-radius: 6px }
.swipe-side { position: absolute; inset: 0 }
.swipe-line { position: absolute; top: 0; bottom: 0; width: 0; border-left: 2px solid #fff; margin-left: -1px;
  box-shadow: 0 0 0 1px rgba(0, 0, 0, .55); pointer-events: none }
.swipe-line span { position: absolute; top: 50%; left: -1px; transform: translate(-50%, -50%); background: #fff;
  color: #1b1f24; border-radius: 1rem; padding: .1rem .5rem .2rem; font-weight: 600; letter-spacing: .1rem;
  box-shadow: 0 0 0 1px rgba(0, 0, 0, .55); white-space: nowrap }
.swipe-range { position: absolute; left: 0; bottom: 0; width: 100%; height: 1px; opacity: 0; margin: 0;
  pointer-events: none }
.swipe-range:focus-visible + .swipe-line span { outline: 3px solid var(--accent); outline-offset: 2px }
.swipe-name { position: absolute; left: .4rem; top: .4rem; max-width: 45%; background: rgba(0, 0, 0, .65); color: #fff;
  border-radius: 4px; padding: 0 .4rem; font-size: .85rem; pointer-events: none; overflow-wrap: anywhere }
.swipe-second { left: auto; right: .4rem }
"""


@dataclass(frozen=True)
class Side:
    """What is seen on one side of the line.

    Args:
        name: for people.
        layers: (kind, address) from below: "photo", "labels", "outline".
        css: classes that change how they are drawn.
    """

    name: str
    layers: Sequence[tuple[str, str]]
    css: str = ""


class Swipe(ui.element, component="swipe.js"):
    """The element.

    Args:
        first, second: left and right of the line. ratio: width by height.
    """

    def __init__(self, first: Side, second: Side, *, ratio: float) -> None:
        super().__init__()
        self.show(first, second, ratio=ratio)

    def show(self, first: Side, second: Side, *, ratio: float) -> None:
        """Other pictures; the line stays where it is."""
        self._props["ratio"] = round(ratio, 4)
        self._props["sides"] = [
            {
                "name": side.name,
                "css": side.css,
                "layers": [{"kind": kind, "src": address} for kind, address in side.layers],
            }
            for side in (first, second)
        ]
        self.update()
