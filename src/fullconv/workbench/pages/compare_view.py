"""One image as all models see it: side by side, with the differences and the truth, and two of them under a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from fullconv.workbench.pages.stacks import Stack, picture_address, swatch, view_controls
from fullconv.workbench.pages.swipe import Side, Swipe
from fullconv.workbench.services.compare_views import CompareView, ImageComparison

SIZE = 1024
STYLE = """
.panes { display: grid; gap: .7rem; width: 100%;
  grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)) }
.panes figure { margin: 0; min-width: 0 }
.panes figcaption { display: flex; justify-content: space-between; gap: .2rem .8rem; flex-wrap: wrap;
  padding-bottom: .2rem }
.panes figcaption .name { font-weight: 600; overflow-wrap: anywhere }
.photo-alone .labels, .photo-alone .outline { display: none !important }
.photo-alone .photo { visibility: visible !important }
.solid .labels { opacity: 1 !important }
.solid .outline { display: none !important }
.class-key { display: flex; flex-wrap: wrap; gap: .2rem .9rem }
.class-key > div { display: flex; align-items: center; gap: .35rem }
"""
PHOTO, SOLID = "photo-alone", "solid"


class ImagePanes:
    """Pictures of one image of a comparison.

    Args:
        view: the comparison.
        step: called with 1 for the next image, and −1 for the one before.
    """

    def __init__(self, view: CompareView, step: Callable[[int], Any]) -> None:
        self.id, self.version = view.id, view.version
        names = [model.name for model in view.models]
        self.sides = {"input": ("Input", "0", PHOTO)}
        self.sides |= {str(place): (name, str(place), "") for place, name in enumerate(names)}
        self.sides["difference"] = ("Difference" if len(names) == 2 else "Differences", "difference", SOLID)
        if view.with_truth:
            self.sides["truth"] = ("Truth", "truth", "")
            for place, name in enumerate(names):
                self.sides[f"errors-{place}"] = (f"Errors of {name}", f"errors-{place}", SOLID)
        self.image: ImageComparison | None = None
        self.stacks: dict[str, tuple[Stack, ui.label]] = {}
        self.swipe: Swipe | None = None
        with ui.column().classes("w-full").style("gap: .6rem") as self.container:
            with ui.row().classes("w-full items-center justify-between").style("gap: .3rem 1rem"):
                with ui.row().classes("items-center no-wrap").style("gap: .3rem; min-width: 0"):
                    self.back = ui.button(icon="chevron_left", on_click=lambda: step(-1))
                    self.ahead = ui.button(icon="chevron_right", on_click=lambda: step(1))
                    for button, said in ((self.back, "Previous image"), (self.ahead, "Next image")):
                        button.props("flat round dense").props(f'aria-label="{said}"').tooltip(said)
                    self.title = ui.label().classes("text-weight-medium").style("overflow-wrap: anywhere")
                    self.title.mark("image-name")
                view_controls(self.container)
            self.panes = ui.element("div").classes("panes")
            self._key(view)
            self._choices()
            self.frame = ui.element("div").style("width: 100%; max-width: 62rem")

    def show(self, image: ImageComparison, place: int, total: int) -> None:
        """Show an image.

        Args:
            place: of it in the list, from 0 on. total: how many there are.
        """
        self.image = image
        ratio = image.width / image.height
        self.stand(image, place, total)
        shown = [side for side in self.sides if not side.startswith("errors")]
        for side in shown:
            name, _, css = self.sides[side]
            if side in self.stacks:
                stack, said = self.stacks[side]
                stack.show(self._address(side), version=self.version, name=name, ratio=ratio)
            else:
                with self.panes, ui.element("figure").classes(css):
                    with ui.element("figcaption"):
                        ui.label(name).classes("name")
                        said = ui.label().classes("faint")
                    stack = Stack(
                        self._address(side), size=SIZE, version=self.version, name=name, ratio=ratio, lazy=False
                    )
                self.stacks[side] = (stack, said)
            said.text = _scores(image, side)
        self._swipe()

    def stand(self, image: ImageComparison, place: int, total: int) -> None:
        """Say where the image stands in the list, which may grow; see `show`."""
        where = f"{place + 1:,} of {total:,}"
        self.title.text = f"{image.key} · {where} · different on {100 * image.disagreement:.1f} %"
        self.back.set_enabled(place > 0)
        self.ahead.set_enabled(place + 1 < total)

    def _key(self, view: CompareView) -> None:
        """Colours of the classes and of the differences; filled with what the comparison knows."""
        with ui.element("div").classes("class-key").props('aria-label="Classes"'):
            for entry in view.classes:
                with ui.element("div"):
                    swatch(entry.color)
                    ui.label(entry.name + (f" (not in {', '.join(entry.lacking)})" if entry.lacking else ""))
        with ui.element("div").classes("class-key faint").props('aria-label="Difference"'):
            for color in view.key:
                with ui.element("div"):
                    swatch(color.color)
                    ui.label(color.meaning)

    def _choices(self) -> None:
        names = {side: name for side, (name, _, _) in self.sides.items()}
        with ui.row().classes("items-end").style("gap: .4rem 1rem"):
            self.left = ui.select(names, label="Left of the line", value="0", on_change=self._swipe)
            self.right = ui.select(names, label="Right of the line", value="1", on_change=self._swipe)
            for choice in (self.left, self.right):
                choice.props("dense options-dense").style("min-width: 12rem")

    def _swipe(self) -> None:
        if self.image is None:
            return
        first, second = (self._side(str(choice.value)) for choice in (self.left, self.right))
        ratio = self.image.width / self.image.height
        if self.swipe is None:
            with self.frame:
                self.swipe = Swipe(first, second, ratio=ratio)
        else:
            self.swipe.show(first, second, ratio=ratio)

    def _side(self, side: str) -> Side:
        name, _, css = self.sides[side]
        address = self._address(side)
        layers = [("photo", "image"), *(() if css == PHOTO else (("labels", "labels"), ("outline", "outline")))]
        return Side(
            name,
            [(kind, picture_address(address, layer=layer, size=SIZE, version=self.version)) for kind, layer in layers],
            css,
        )

    def _address(self, side: str) -> str:
        assert self.image is not None
        return f"/api/v1/compare/{self.id}/images/{self.image.number}/{self.sides[side][1]}/picture"


def _scores(image: ImageComparison, side: str) -> str:
    """What stands beside a model's name: how well it does on this image."""
    if not side.isdigit() or not image.mean_iou:
        return ""
    score, accuracy = image.mean_iou[int(side)], image.pixel_accuracy[int(side)]
    if score is None or accuracy is None:
        return ""
    return f"mIoU {100 * score:.1f} % · pixels {100 * accuracy:.1f} %"
