"""A picture with its labels laid over it: layers that the browser mixes, so that opacity follows the slider at once."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from nicegui import app, ui

STYLE = """
:root { --label-opacity: .5 }
.stack { position: relative; width: 100%; overflow: hidden; background: var(--soft); display: block }
.stack img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; color: transparent }
.stack .labels, .stack .outline { image-rendering: pixelated }
.stack .labels { opacity: var(--label-opacity) }
.stack .outline { display: none }
.outlined .stack .outline { display: block }
.labels-alone .stack .photo { visibility: hidden }
.labels-alone .stack .labels { opacity: 1 }
.thumbs { display: grid; gap: .6rem; width: 100%;
  grid-template-columns: repeat(auto-fill, minmax(min(11rem, 46%), 1fr)) }
.thumb { border: 1px solid var(--line); border-radius: 6px; overflow: hidden; padding: 0; background: none;
  color: var(--text); text-align: left; font: inherit; width: 100%; min-width: 0 }
button.thumb { cursor: pointer }
button.thumb:hover { border-color: var(--accent) }
.thumb .name { display: block; font-size: .8rem; padding: .25rem .45rem; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; direction: rtl; text-align: left }
.swatch { display: inline-block; width: .9em; height: .9em; border-radius: 3px; border: 1px solid var(--line);
  vertical-align: -.1em; flex: none }
.views { gap: .4rem 1.2rem }
"""
LAYERS = (("image", "photo"), ("labels", "labels"), ("outline", "outline"))


class OwnSlider(ui.slider):
    """A slider whose place the browser keeps: it does not wait for the server's word, and never jumps back."""

    LOOPBACK = False


class Stack:
    """Image, labels and borders of one sample, one above the other.

    Args:
        address: of its picture, to which the layer and the size are added.
        size: longest side in pixels. version: of classes and colours.
        name: what is shown where there is no picture.
        ratio: width by height of the place it takes.
        lazy: loaded when it is scrolled into view.
    """

    def __init__(
        self, address: str, *, size: int, version: str, name: str, ratio: float = 4 / 3, lazy: bool = True
    ) -> None:
        self._size = size
        with ui.element("span").classes("stack").style(f"aspect-ratio: {ratio:.4f}") as self.element:
            self._images = [ui.element("img").classes(kind).props("decoding=async") for _, kind in LAYERS]
        for image in self._images:
            image.props["loading"] = "lazy" if lazy else "eager"
            image.props["draggable"] = "false"
        self.show(address, version=version, name=name)

    def show(self, address: str, *, version: str, name: str, ratio: float | None = None) -> None:
        """Another sample in the same place."""
        for (layer, kind), image in zip(LAYERS, self._images, strict=True):
            image.props["src"] = picture_address(address, layer=layer, size=self._size, version=version)
            image.props["alt"] = name if kind == "photo" else ""
            image.update()
        if ratio is not None:
            self.element.style(f"aspect-ratio: {ratio:.4f}")


def picture_address(address: str, *, layer: str, size: int, version: str) -> str:
    """Where a layer of a picture is found."""
    return f"{address}?{urlencode({'layer': layer, 'size': size, 'v': version})}"


def view_controls(container: ui.element, on_change: Callable[[], None] | None = None) -> None:
    """Opacity, borders and labels alone for all stacks in a container; what was chosen is kept for the next page.

    Args:
        container: that holds the stacks.
        on_change: called when borders or labels alone are switched.
    """
    kept = app.storage.user
    opacity = _number(kept.get("label_opacity"))

    def keep(name: str, css: str, on: bool) -> None:
        kept[name] = on
        container.classes(add=css) if on else container.classes(remove=css)
        if on_change is not None:
            on_change()

    with ui.row().classes("items-center views"):
        with ui.row().classes("items-center no-wrap").style("gap: .7rem"):
            ui.label("Labels").classes("faint")
            slider = OwnSlider(min=0, max=100, value=opacity).style("width: 9rem")
            slider.props('label aria-label="Opacity of the labels in percent"')
            # In the browser alone: every stack follows while the slider moves.
            slider.on(
                "update:model-value",
                js_handler="(value) => document.documentElement.style.setProperty('--label-opacity', value / 100)",
            )
            slider.on("change", lambda event: kept.update(label_opacity=_number(event.args)))
        for name, css, text in (("outline", "outlined", "Outline"), ("alone", "labels-alone", "Labels alone")):
            on = bool(kept.get(name))
            if on:
                container.classes(add=css)
            ui.switch(text, value=on, on_change=lambda event, n=name, c=css: keep(n, c, bool(event.value)))


def add_stack_style() -> None:
    """The style of stacks, with the opacity that was last chosen; once on every page that has some."""
    ui.add_css(STYLE + f":root {{ --label-opacity: {_number(app.storage.user.get('label_opacity')) / 100:.2f} }}")


def swatch(color: tuple[int, int, int] | list[int]) -> ui.element:
    """A small field in the colour of a class."""
    red, green, blue = color
    return ui.element("span").classes("swatch").style(f"background: rgb({red}, {green}, {blue})")


def _number(value: object) -> float:
    return min(100.0, max(0.0, float(value))) if isinstance(value, int | float) else 50.0
