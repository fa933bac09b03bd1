"""The pictures of a prediction of many images."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from nicegui import ui

from fullconv.errors import FullconvError
from fullconv.workbench.pages.asking import asked, refuse
from fullconv.workbench.pages.stacks import add_stack_style
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.folder_predictions import (
    FolderPredictionView,
    PredictedImage,
    delete_prediction,
    prediction_of,
)
from fullconv.workbench.services.jobs import job_of
from fullconv.workbench.tables import OPEN

PER_PAGE = 24
THUMBNAIL = 480
LOOK_SECONDS = 2.0
STYLE = """
.thumbs { --thumb: 17rem }
.thumb img { width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: var(--soft); display: block;
  color: transparent }
.thumb .shares { padding: 0 .45rem .35rem; font-size: .8rem; color: var(--faint) }
"""


async def prediction_page(name: str) -> None:
    """A gallery, with its download."""
    with frame("Predictions", "/test"):
        add_stack_style()
        ui.add_css(STYLE)
        try:
            found, said = await asked(_looked_at, name)
        except FullconvError as problem:
            ui.status_code(404)
            heading("Predictions")
            nothing_yet(str(problem), "Predict images", "/test")
            return
        _Gallery(found).build(said)


class _Gallery:
    def __init__(self, found: FolderPredictionView) -> None:
        self.found = found
        self.page = 1

    @property
    def _address(self) -> str:
        return f"/api/v1/predictions/{quote(self.found.name)}"

    def build(self, said: str) -> None:
        found = self.found
        with ui.row().classes("w-full items-start justify-between").style("gap: .6rem 1rem"):
            with ui.column().style("gap: .1rem; min-width: 0"):
                heading(f"{found.model} on {Path(found.source).name if found.source else 'uploaded images'}")
                if found.source:
                    ui.label(found.source).classes("faint").style("overflow-wrap: anywhere")
                self.said = ui.label(said).classes("faint").props("role=status")
            with ui.row().classes("items-center").style("gap: .4rem"):
                ui.link("JSON", self._address).classes("faint")
                ui.button("Download", icon="download").props(
                    f'href="{self._address}/download" tag=a no-caps unelevated'
                )
                if not bench().settings.read_only:
                    ui.button("Delete", icon="delete", on_click=self._delete).props("flat no-caps")
        for failed in found.failed[:20]:
            ui.label(f"{failed.image}: {failed.problem}").classes("bad")
        self.grid = ui.element("div").classes("thumbs")
        self.pages = ui.pagination(1, 1, direction_links=True, on_change=self._turn).props("max-pages=7")
        self._show(found)
        if not found.done:
            self.timer = ui.timer(LOOK_SECONDS, self._look)

    async def _turn(self, event: object) -> None:
        value = getattr(event, "value", self.page)
        if value != self.page:
            self.page = int(value)
            await self._load()

    async def _load(self) -> None:
        try:
            found, said = await asked(_looked_at, self.found.name, self.page)
        except FullconvError as problem:
            refuse(problem)
            return
        self.said.text = said
        if found.images != self.found.images or found.total != self.found.total or found.done != self.found.done:
            self._show(found)

    async def _look(self) -> None:
        """While its job goes on: what is new."""
        await self._load()
        if self.found.done:
            self.timer.deactivate()

    def _show(self, found: FolderPredictionView) -> None:
        self.found = found
        pages = max(1, -(-found.total // PER_PAGE))
        self.pages.props(f"max={pages}")
        self.pages.value = self.page
        self.pages.visible = pages > 1
        self.grid.clear()
        with self.grid:
            for image in found.images:
                self._thumbnail(image)
            if not found.images:
                ui.label("Nothing yet.").classes("faint")

    def _thumbnail(self, image: PredictedImage) -> None:
        address = f"{self._address}/images/{image.number}?view=overlay"
        with ui.element("a").classes("thumb").props('target="_blank"') as link:
            link.props["href"] = address
            link.props["title"] = image.name
            picture = ui.element("img").props('loading="lazy" decoding="async"')
            picture.props["src"] = f"{address}&size={THUMBNAIL}"
            picture.props["alt"] = f"Overlay of {image.name}"
            with ui.element("span").classes("name"):
                ui.label(f"\u200e{image.name}").style("display: inline")
            most = sorted(image.shares.items(), key=lambda item: -item[1])[:3]
            ui.label(", ".join(f"{title} {100 * share:.0f} %" for title, share in most)).classes("shares")

    async def _delete(self) -> None:
        with ui.dialog() as sure, ui.card():
            ui.label(f"Delete the pictures of {self.found.total:,} images? The images themselves stay.")
            with ui.row().classes("w-full justify-end"):
                ui.button("Cancel", on_click=lambda: sure.submit(False)).props("flat no-caps")
                ui.button("Delete", on_click=lambda: sure.submit(True), color="negative").props("no-caps unelevated")
        if not await sure:
            return
        try:
            await asked(delete_prediction, bench(), self.found.name)
        except FullconvError as problem:
            refuse(problem)
            return
        ui.navigate.to("/test?tab=many")


def _looked_at(name: str, page: int = 1) -> tuple[FolderPredictionView, str]:
    """A page of a prediction, and how far it is in words."""
    found = prediction_of(bench(), name, offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
    return found, f"{found.total:,} images, {found.created[:10]}" + ("" if found.done else _unfinished(found))


def _unfinished(found: FolderPredictionView) -> str:
    """What its job does."""
    if found.job is None:
        return ", not finished, and no job works on it: delete it and ask for it again"
    try:
        job = job_of(bench(), found.job)
    except FullconvError:
        return ", not finished"
    return f", {job.error or (job.message if job.state in OPEN else '') or job.state}"
