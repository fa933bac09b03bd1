"""What the network says of a few validation images, epoch by epoch, beside their truth."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.stacks import OwnSlider, add_stack_style
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.services.run_pictures import Progress, progress_of

STYLE = """
.progress-pictures { display: grid; gap: .8rem 1rem; width: 100%;
  grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)) }
.progress-pictures .pair { display: grid; grid-template-columns: 1fr 1fr; gap: .4rem; margin: 0; min-width: 0 }
.progress-pictures figcaption { grid-column: 1 / -1; color: var(--faint); font-size: .8rem; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap }
.progress-pictures .stack { border-radius: 4px; position: relative }
.progress-pictures .stack img { position: static; height: auto; display: block }
.progress-pictures .stack img + img { position: absolute; inset: 0; height: 100% }
.progress-pictures .tag { position: absolute; left: .3rem; bottom: .3rem; font-size: .7rem; padding: 0 .35rem;
  border-radius: 3px; background: var(--soft); color: var(--text); opacity: .85 }
.progress-pictures.opaque .stack .labels { opacity: 1 }
"""
VIEWS = {"colors": "Over the image", "alone": "Labels alone", "errors": "Errors"}


class RunPictures:
    """Pictures with a slider over the epochs.

    Args:
        name: of the run.
        found: of which images and epochs there are pictures.
    """

    def __init__(self, name: str, found: Progress) -> None:
        add_stack_style()
        ui.add_css(STYLE)
        self.address = f"/api/v1/runs/{quote(name)}/progress"
        self.name = name
        self.found = Progress(images=[], epochs=[], version=0)
        with ui.column().classes("card").mark("run-pictures") as self.element:
            heading("What it says of a few validation images", 2)
            with ui.row().classes("w-full items-center").style("gap: .4rem 1.2rem"):
                self.label = ui.label().style("min-width: 6.5rem").mark("progress-epoch")
                self.slider = ui.slider(min=0, max=1, step=1, value=0).style("flex: 1 1 12rem; max-width: 30rem")
                self.slider.props('aria-label="Epoch"').on_value_change(self._show).mark("progress-slider")
                self.view = ui.toggle(VIEWS, value="colors", on_change=self._show).props("no-caps dense flat")
                ui.label("Opacity").classes("faint")
                opacity = OwnSlider(min=0, max=100, value=55).style("width: 8rem")
                opacity.props('aria-label="Opacity of the labels in percent"')
                opacity.on(
                    "update:model-value",
                    js_handler="(value) => document.documentElement.style.setProperty('--label-opacity', value / 100)",
                )
            self.grid = ui.element("div").classes("progress-pictures")
        self._said: list[ui.element] = []
        self.update(found)

    async def refresh(self) -> None:
        """Look whether there are pictures of new epochs."""
        self.update(await asked(progress_of, bench(), self.name))

    def update(self, found: Progress) -> None:
        """Show these; whoever looks at the latest epoch goes on to the next one."""
        if found == self.found:
            return
        latest = not self.found.epochs or int(self.slider.value) >= len(self.found.epochs) - 1
        present = self.found.epochs[int(self.slider.value)] if self.found.epochs and not latest else None
        images = self.found.images
        self.found = found
        self.element.visible = bool(found.epochs and found.images)
        if not self.element.visible:
            return
        if images != found.images:
            self._build()
        last = len(found.epochs) - 1
        self.slider.props["max"] = max(1, last)
        self.slider.set_enabled(last > 0)
        place = last
        if present is not None:  # thinned out epochs may have moved it
            place = min(range(len(found.epochs)), key=lambda index: abs(found.epochs[index] - present))
        if self.slider.value == place:
            self._show()
        else:
            self.slider.value = place

    def _build(self) -> None:
        self.grid.clear()
        self._said = []
        with self.grid:
            for place, key in enumerate(self.found.images):
                with ui.element("figure").classes("pair"):
                    self._said.append(self._stack(place, f"prediction for {key}", "network"))
                    truth = self._stack(place, f"truth of {key}", "truth")
                    truth.props["src"] = f"{self.address}/truth/{place}?view=colors"
                    with ui.element("figcaption"):
                        ui.label(key).style("display: inline")

    def _stack(self, place: int, name: str, tag: str) -> ui.element:
        with ui.element("span").classes("stack"):
            photo = ui.element("img").classes("photo").props("decoding=async")
            photo.props["src"] = f"{self.address}/truth/{place}?view=image"
            photo.props["alt"] = ""
            labels = ui.element("img").classes("labels").props("decoding=async")
            labels.props["alt"] = name
            ui.label(tag).classes("tag")
        return labels

    def _show(self) -> None:
        if not self.found.epochs:
            return
        epoch = self.found.epochs[min(int(self.slider.value), len(self.found.epochs) - 1)]
        self.label.text = f"epoch {epoch}"
        self.slider.props["aria-valuetext"] = f"epoch {epoch}"
        errors = self.view.value == "errors"
        opaque = self.view.value != "colors"
        self.grid.classes(add="opaque") if opaque else self.grid.classes(remove="opaque")
        for place, image in enumerate(self._said):
            kind = "errors" if errors else "colors"
            image.props["src"] = f"{self.address}/{epoch}/{place}?view={kind}&v={self.found.version}"
            image.update()
