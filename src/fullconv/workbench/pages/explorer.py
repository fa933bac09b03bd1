"""The images of a dataset as pages of thumbnails, found by class, split, problem and name, with a large view."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from nicegui import ui
from starlette.datastructures import QueryParams

from fullconv.errors import FullconvError
from fullconv.workbench.opened import OpenedDataset
from fullconv.workbench.pages.asking import asked, refuse
from fullconv.workbench.pages.image_view import ImageView
from fullconv.workbench.pages.stacks import Stack, view_controls
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.dataset_images import (
    ImageFacts,
    ImagePage,
    ImageQuery,
    find_images,
    list_images,
    problem_kinds,
)

PER_PAGE = 48
THUMBNAIL = 320
SORTS = {
    "name": "Name",
    "-name": "Name, from the end",
    "-size": "Largest first",
    "size": "Smallest first",
    "-share": "Largest share of the class",
    "share": "Smallest share of the class",
}
_COUNTING_SECONDS = 1.0
_DRAWN = {"number", "key", "split", "width", "height"}
"""What a thumbnail shows of an image."""


class Explorer:
    """Filters, thumbnails and the large view of one dataset.

    Args:
        opened: the dataset.
        address: what the page's address asks for.
    """

    def __init__(self, opened: OpenedDataset, address: QueryParams) -> None:
        self.opened = opened
        self.query = _known(query_of(address), opened)
        self.page = _page_of(address)
        self.first_image = _whole(address.get("image"), -1)
        self.ratio = _ratio(opened)
        self.drawn: object = None

    @property
    def name(self) -> str:
        return self.opened.name

    def build(self, first: ImagePage) -> None:
        """Put everything on the page.

        Args:
            first: the part that the address asks for.
        """
        self._filters()
        with ui.column().classes("w-full").style("gap: .7rem") as self.container:
            with ui.row().classes("w-full items-center justify-between views"):
                view_controls(self.container)
                self.count = ui.label().classes("faint").props('role="status"').mark("count")
            self.counting = ui.label().classes("faint")
            self.grid = ui.element("div").classes("thumbs")
            self.pages = ui.pagination(1, 1, direction_links=True, on_change=self._turn)
            self.pages.props("max-pages=7 boundary-numbers")
        self.view = ImageView(self.opened, self._numbers)
        self.page = min(self.page, _pages(first.total))
        self._show(first)
        self.timer = ui.timer(_COUNTING_SECONDS, self._look_again, active=first.counted < first.of)
        if self.first_image >= 0:
            ui.timer(0.05, lambda: self.view.open(self.first_image), once=True)

    def _filters(self) -> None:
        opened, query = self.opened, self.query
        kinds = {kind: f"{kind} ({count})" for kind, count in problem_kinds(opened)}
        splits = {split: split for split in opened.head.statistics.splits}
        with ui.row().classes("w-full items-end").style("gap: .6rem 1rem"):
            self.search = ui.input("Name contains", value=query.search, on_change=self._filter)
            self.search.props("dense clearable debounce=300 maxlength=200").style("width: 11rem")
            self.split = ui.select(splits, label="Split", value=query.split, clearable=True, on_change=self._filter)
            self.split.props("dense options-dense").style("min-width: 7rem")
            names = list(opened.classes.names)
            self.classes = ui.select(names, label="Classes, all in the image", value=list(query.classes), multiple=True)
            self.classes.on_value_change(self._filter)
            self.classes.props("dense options-dense use-chips clearable").style("min-width: 13rem; max-width: 100%")
            self.problem = ui.select(kinds, label="Problem", value=query.problem, clearable=True)
            self.problem.on_value_change(self._filter)
            self.problem.props("dense options-dense").style("min-width: 10rem")
            self.problem.visible = bool(kinds)
            self.sort = ui.select(SORTS, label="Order", value=query.sort, on_change=self._filter)
            self.sort.props("dense options-dense").style("min-width: 10rem")

    async def _filter(self) -> None:
        self.query = ImageQuery(
            classes=tuple(self.classes.value or ()),
            split=self.split.value,
            problem=self.problem.value,
            search=(self.search.value or "")[:200],
            sort=self.sort.value,
        )
        self.page = 1
        await self._load()

    async def _turn(self, event: Any) -> None:
        if event.value != self.page:
            self.page = int(event.value)
            await self._load()
            ui.run_javascript("document.querySelector('.thumbs')?.scrollIntoView({block: 'nearest'})")

    async def _load(self) -> None:
        wanted, page = self.query, self.page
        query = _part(wanted, page)
        try:
            found = await asked(list_images, bench(), self.name, query)
        except FullconvError as problem:
            refuse(problem)
            return
        if wanted is self.query and page == self.page:  # nothing else was asked for meanwhile
            self._show(found)
            ui.navigate.history.replace(self._address())

    async def _look_again(self) -> None:
        """While classes are being counted: how far that is, and all of it when it is done."""
        try:
            self.opened = await asked(bench().datasets.open, self.name)
            done, images = await asked(bench().datasets.counted, self.name)
        except FullconvError as problem:  # it was deleted meanwhile
            self.timer.deactivate()
            refuse(problem)
            return
        if done < images:
            self.counting.text = _counting(done, images)
            return
        self.timer.deactivate()
        self.view.opened = self.opened
        await self._load()

    def _show(self, found: ImagePage) -> None:
        pages = _pages(found.total)
        self.count.text = _count_text(found, bool(self._filtered()))
        self.counting.text = _counting(found.counted, found.of) if found.counted < found.of else ""
        self.counting.visible = bool(self.counting.text)
        drawn = (found.version, [image.model_dump(include=_DRAWN) for image in found.images])
        if drawn != self.drawn:  # else a click on what is there would be lost
            self.drawn = drawn
            self._thumbnails(found)
        self.pages.props(f"max={pages}")
        self.pages.value = min(self.page, pages)
        self.pages.visible = pages > 1

    def _thumbnails(self, found: ImagePage) -> None:
        self.grid.clear()
        with self.grid:
            for image in found.images:
                self._thumbnail(image, found.version)
            if not found.images:
                with ui.column().classes("items-center q-pa-lg").style("grid-column: 1 / -1"):
                    ui.label("No image fits all of these.").classes("faint")
                    ui.button("Show all images", on_click=self._reset).props("flat no-caps")

    def _thumbnail(self, image: ImageFacts, version: str) -> None:
        button = ui.element("button").classes("thumb").props('type="button"')
        button.props["title"] = f"{image.key} · {image.split} · {image.width}×{image.height}"
        button.on("click", lambda: self.view.open(image.number))
        with button:
            Stack(image_address(self.name, image.number), size=THUMBNAIL, version=version, name="", ratio=self.ratio)
            with ui.element("span").classes("name"):
                # Right-to-left cuts long names at their beginning; the mark keeps the name itself in its order.
                ui.label(f"\u200e{image.key}").style("display: inline")

    async def _reset(self) -> None:
        self.query, self.page = ImageQuery(), 1
        for field, value in ((self.search, ""), (self.split, None), (self.classes, []), (self.problem, None)):
            field.value = value
        await self._load()

    def _numbers(self) -> list[int]:
        """All images that fit, for stepping through them."""
        return [int(number) for number in find_images(self.opened, self.query)]

    def _filtered(self) -> dict[str, object]:
        return self.query.model_dump(exclude_defaults=True, exclude={"sort", "offset", "limit"})

    def _address(self) -> str:
        return f"/datasets/{quote(self.name)}" + address_query(self.query, self.page)


def image_address(dataset: str, number: int) -> str:
    """Where the pictures of an image are found."""
    return f"/api/v1/datasets/{quote(dataset)}/images/{number}/picture"


def address_query(query: ImageQuery, page: int = 1) -> str:
    """What a page's address holds of a query; nothing for all images."""
    said: list[tuple[str, str]] = [("class", name) for name in query.classes]
    said += [(name, value) for name in ("split", "problem", "search") if (value := getattr(query, name))]
    if query.sort != "name":
        said.append(("sort", query.sort))
    if page > 1:
        said.append(("page", str(page)))
    return f"?{urlencode(said)}" if said else ""


def query_of(address: QueryParams) -> ImageQuery:
    """What a page's address asks for; what makes no sense is left out."""
    split, sort = address.get("split"), address.get("sort", "name")
    return ImageQuery(
        classes=tuple(name[:200] for name in address.getlist("class")[:100]),
        split=split if split in ("train", "val", "test") else None,
        problem=(address.get("problem") or "")[:60] or None,
        search=address.get("search", "")[:200],
        sort=sort if sort in SORTS else "name",
    )


def first_page(opened: OpenedDataset, address: QueryParams) -> ImageQuery:
    """The part of the images that an address asks for; classes that the dataset does not have are left out, and pages
    after the last one are the last one."""
    query, page = _known(query_of(address), opened), _page_of(address)
    if page > 1:
        page = min(page, _pages(len(find_images(opened, query))))
    return _part(query, page)


def _known(query: ImageQuery, opened: OpenedDataset) -> ImageQuery:
    """Without classes that the dataset does not have, and problems that none of its images has."""
    names = tuple(name for name in query.classes if name in opened.classes.names)
    problem = query.problem if query.problem in opened.problems else None
    return query.model_copy(update={"classes": names, "problem": problem})


def _part(query: ImageQuery, page: int) -> ImageQuery:
    return query.model_copy(update={"offset": (page - 1) * PER_PAGE, "limit": PER_PAGE})


def _pages(images: int) -> int:
    return max(1, -(-images // PER_PAGE))


def _page_of(address: QueryParams) -> int:
    return max(1, _whole(address.get("page"), 1))


def _count_text(found: ImagePage, filtered: bool) -> str:
    return f"{found.total:,} of {found.of:,} images" if filtered else f"{found.of:,} images"


def _counting(done: int, images: int) -> str:
    return f"Classes are being counted: {done:,} of {images:,} images. Until then some are not found by class."


def _ratio(opened: OpenedDataset) -> float:
    """Width by height of the commonest size, within reason."""
    height, width, _ = opened.head.statistics.sizes[0]
    return min(2.2, max(0.7, width / height))


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 10 else otherwise
