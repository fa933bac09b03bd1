"""Choosing the image to be tested: dropped, by a path on the server, or from a dataset."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import events, ui

from fullconv.errors import FullconvError
from fullconv.workbench.held_images import LARGEST
from fullconv.workbench.pages.accessible_names import name_uploader
from fullconv.workbench.pages.asking import asked, refuse
from fullconv.workbench.pages.explorer import image_address
from fullconv.workbench.pages.stacks import picture_address
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.predicting.images import Upload, plain_name
from fullconv.workbench.security.uploads import received
from fullconv.workbench.services.dataset_images import ImageFacts, ImagePage, ImageQuery, list_images
from fullconv.workbench.services.layer_images import locate
from fullconv.workbench.services.layers import hold_image

PER_PAGE = 12
THUMBNAIL = 160
SPLITS = {"": "all splits", "test": "test", "val": "val", "train": "train"}
STYLE = """
.image-choice { display: grid; grid-template-columns: minmax(0, 17rem) minmax(0, 1fr); gap: 1.2rem; width: 100% }
@media (max-width: 800px) { .image-choice { grid-template-columns: minmax(0, 1fr) } }
.drop .q-uploader { width: 100%; min-height: 7rem; max-height: 9rem; border: 1px dashed var(--line);
  background: transparent; color: var(--text) }
.drop .q-uploader__header { background: transparent; color: var(--text) }
.drop .q-uploader__subtitle, .drop .q-uploader__list { display: none }
.drop .q-uploader__header-content { min-height: 6.4rem; flex-direction: column; justify-content: center }
.drop .q-uploader__title { font-weight: 400; font-size: .95rem; white-space: normal; text-align: center }
.drop .q-uploader__header-content .q-btn { color: var(--accent); transform: scale(1.3) }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.2rem, 1fr)); gap: .4rem; width: 100% }
.strip button { border: 2px solid transparent; border-radius: 6px; padding: 0; background: var(--soft); cursor: pointer;
  overflow: hidden; aspect-ratio: 4 / 3 }
.strip button:hover { border-color: var(--line) } .strip button[aria-pressed=true] { border-color: var(--accent) }
.strip img { width: 100%; height: 100%; object-fit: cover; display: block; color: transparent }
"""
Chosen = Callable[[str], Awaitable[None]]


class ImageChoice:
    """Three ways to an image; each ends with `chosen` and what the image is asked for by.

    Args:
        image: that the page was opened with, as "dataset:NAME:KEY" or "path:FILE".
        dataset: that is open at first.
        chosen: called with the image.
    """

    def __init__(self, image: str, dataset: str, chosen: Chosen) -> None:
        kind, _, rest = image.partition(":")
        self._chosen = chosen
        self._image = image
        self._page = 1
        self._found: ImagePage | None = None
        with ui.element("div").classes("image-choice"):
            with ui.column().style("gap: .6rem; min-width: 0"):
                self._own(rest if kind == "path" else "")
            with ui.column().style("gap: .6rem; min-width: 0"):
                self._of_dataset(dataset or (rest.partition(":")[0] if kind == "dataset" else ""))

    def _own(self, path: str) -> None:
        async def dropped(event: events.UploadEventArguments) -> None:
            name = plain_name(event.file.name)
            upload.reset()
            try:
                folder = bench().scratch.folder("uploads")
                path = await received(event.file, LARGEST, folder=folder, where=name)
                token = await hold_image(bench(), Upload(name, path))
            except FullconvError as problem:
                refuse(problem)
                return
            await self._choose(f"upload:{token}")

        def refused() -> None:
            ui.notify(f"The file is larger than {LARGEST // 2**20} MiB, or no image.", type="negative")

        with ui.element("div").classes("drop w-full"):
            upload = ui.upload(
                on_upload=dropped,
                on_rejected=refused,
                auto_upload=True,
                max_files=1,
                max_file_size=LARGEST,
            )
            upload.props('accept="image/*,.tif,.tiff" flat').mark("drop")
            name_uploader(upload, "Drop an image here, or choose a file")
        self.path = ui.input("Or its path on the server", value=path).props("dense maxlength=4000").classes("w-full")
        with self.path.add_slot("append"):
            ui.button("Test", on_click=self._path_given).props("flat dense no-caps")
        self.path.on("keydown.enter", self._path_given)

    async def _path_given(self) -> None:
        image = f"path:{str(self.path.value or '').strip()}"[:5000]
        self.path.error = None
        try:
            await asked(locate, bench(), image)
        except FullconvError as problem:
            self.path.error = str(problem)
            return
        await self._choose(image)

    def _of_dataset(self, dataset: str) -> None:
        names = [entry.name for entry in bench().catalogue.entries("dataset") if entry.problem is None]
        if not names:
            ui.label(
                "Images of a dataset can be chosen here too, with what is known of them, once there is one."
            ).classes("faint")
            return
        with ui.row().classes("w-full items-end").style("gap: .3rem 1rem"):
            self.dataset = ui.select(names, label="Or from a dataset", value=dataset if dataset in names else names[0])
            self.dataset.props("dense options-dense").style("min-width: min(14rem, 100%)")
            self.split = ui.select(SPLITS, label="Split", value="test").props("dense options-dense")
            self.split.style("min-width: 7rem")
            self.search = ui.input("Name contains").props("dense clearable debounce=300 maxlength=200")
            self.search.style("width: 10rem")
        self.strip = ui.element("div").classes("strip").props('role="group" aria-label="Images of the dataset"')
        with ui.row().classes("w-full items-center justify-between").style("gap: .3rem 1rem"):
            self.pages = ui.pagination(1, 1, direction_links=True, on_change=self._turn).props("max-pages=5 size=sm")
            self.count = ui.label().classes("faint")
        for field in (self.dataset, self.split, self.search):
            field.on_value_change(self._filter)
        ui.timer(0.01, self._load, once=True)

    async def _filter(self) -> None:
        self._page = 1
        await self._load()

    async def _turn(self, event: events.ValueChangeEventArguments[Any]) -> None:
        if event.value != self._page:
            self._page = int(event.value)
            await self._load()

    async def _load(self) -> None:
        name, split = str(self.dataset.value), str(self.split.value)
        query = ImageQuery(
            split=split if split in ("train", "val", "test") else None,
            search=str(self.search.value or "")[:200],
            offset=(self._page - 1) * PER_PAGE,
            limit=PER_PAGE,
        )
        try:
            self._found = await asked(list_images, bench(), name, query)
        except FullconvError as problem:
            refuse(problem)
            return
        if not self._found.total and split == "test" and not query.search:
            self.split.value = ""  # datasets without test images
            return
        pages = max(1, -(-self._found.total // PER_PAGE))
        self.pages.props(f"max={pages}")
        self.pages.value = self._page
        self.pages.visible = pages > 1
        self.count.text = f"{self._found.total:,} images"
        self._show()

    def _show(self) -> None:
        assert self._found is not None
        self.strip.clear()
        with self.strip:
            for image in self._found.images:
                self._thumbnail(image, self._found.version)
            if not self._found.images:
                ui.label("No image fits.").classes("faint")

    def _thumbnail(self, image: ImageFacts, version: str) -> None:
        name = str(self.dataset.value)
        asked_by = f"dataset:{name}:{image.key}"
        button = ui.element("button").props(f'type="button" aria-pressed={str(asked_by == self._image).lower()}')
        button.props["title"] = image.key
        button.props["data-image"] = asked_by
        button.on("click", lambda: self._choose(asked_by))
        with button:
            picture = ui.element("img").props('loading="lazy" decoding="async" draggable="false"')
            picture.props["alt"] = image.key
            address = image_address(name, image.number)
            picture.props["src"] = picture_address(address, layer="image", size=THUMBNAIL, version=version)

    async def _choose(self, image: str) -> None:
        self._image = image
        if self._found is not None:
            self._show()
        await self._chosen(image)
