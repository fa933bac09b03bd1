"""The page Compare: two or more models on the same images, side by side with the truth."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request

from fullconv.errors import FullconvError
from fullconv.workbench.pages import compare_view, swipe
from fullconv.workbench.pages.asking import asked, tried
from fullconv.workbench.pages.compare_form import CompareForm, address_of
from fullconv.workbench.pages.compare_numbers import (
    ImageList,
    class_chart,
    class_rows,
    class_table,
    score_rows,
    score_table,
)
from fullconv.workbench.pages.compare_view import ImagePanes
from fullconv.workbench.pages.stacks import add_stack_style
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.compare import begin_comparison, cancel_comparison, comparison_of, list_images
from fullconv.workbench.services.compare_views import CompareRequest, CompareView, ImageComparison, Order
from fullconv.workbench.services.predictable import predictable_models

LOOK_SECONDS = 0.6
LISTED = 1000
ORDERS: dict[Order, str] = {
    "differing": "Where they differ most",
    "first": "In their own order",
    "better": "Where the last is better",
    "worse": "Where the last is worse",
}
STYLE = """
.image-key { overflow-wrap: anywhere; text-align: left; min-width: 9rem }
.image-key[aria-current=true] { background: var(--soft); color: var(--accent) }
.compare-split { display: grid; gap: 1rem 2rem; width: 100%; grid-template-columns: minmax(0, 1fr) }
@media (min-width: 1000px) { .compare-split { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) } }
.compare-split > div { min-width: 0; overflow-x: auto }
"""


async def compare_page(request: Request) -> None:
    """Models and images are in the address, so that a comparison can be passed on."""
    await asked(bench().catalogue.refresh)  # what a shell made a moment ago can be chosen, too
    models = await asked(predictable_models, bench())
    datasets = [entry.name for entry in bench().catalogue.entries("dataset") if entry.problem is None]
    with frame("Compare", "/compare"):
        add_stack_style()
        ui.add_css(STYLE + compare_view.STYLE + swipe.STYLE)
        heading("Compare")
        if len({model.name for model in models}) < 2:
            what = "one model" if models else "no model"
            nothing_yet(f"Comparing takes two models, and there is {what} yet.", "Start a run", "/runs/new")
            return
        page = _ComparePage()
        form = CompareForm(models, datasets, request.query_params, page.begin)
        page.result = ui.column().classes("w-full").style("gap: 1rem")
        await form.prepare()
        if form.ready:
            ui.timer(0.01, form.submit, once=True)


class _ComparePage:
    """What stands below the form: one comparison after the other."""

    result: ui.column

    async def begin(self, request: CompareRequest) -> None:
        view = await tried(begin_comparison, bench(), request)
        if view is None:
            return
        ui.navigate.history.replace(address_of(request))
        self.result.clear()
        with self.result:
            await _Result(view).build()


class _Result:
    """One comparison, as far as it is.

    Args:
        view: as it was last seen.
    """

    def __init__(self, view: CompareView) -> None:
        self.view = view
        self.order: Order = "differing"
        self.images: list[ImageComparison] = []
        self.chosen: int | None = None
        self.panes: ImagePanes | None = None
        self.drawn: ui.echart | None = None
        self._listed = 0

    async def build(self) -> None:
        """Put everything on the page that there is, and look again while it goes on."""
        with ui.column().classes("w-full").props("role=status").style("gap: .3rem"):
            with ui.row().classes("w-full items-center justify-between").style("gap: .3rem 1rem"):
                self.said = ui.label().style("overflow-wrap: anywhere").mark("comparison")
                with ui.row().classes("items-center").style("gap: 1rem"):
                    ui.link("JSON", f"/api/v1/compare/{self.view.id}").classes("faint")
                    self.cancel = ui.button("Cancel", on_click=self._cancel).props("flat no-caps dense")
            self.bar = ui.linear_progress(0, show_value=False).props('rounded aria-label="Progress"')
        self.body = ui.column().classes("w-full").style("gap: 1.2rem")
        self.timer = ui.timer(LOOK_SECONDS, self._look, active=self.view.running)
        await self._show(self.view)

    async def _look(self) -> None:
        try:
            view = await asked(comparison_of, bench(), self.view.id)
        except FullconvError as problem:
            self.timer.deactivate()
            self.said.text = str(problem)
            return
        await self._show(view)

    async def _cancel(self) -> None:
        view = await tried(cancel_comparison, bench(), self.view.id)
        if view is not None:
            await self._show(view)

    async def _show(self, view: CompareView) -> None:
        self.view = view
        if not view.running:
            self.timer.deactivate()
        self.said.text = _summary(view)
        self.said.classes(**{"add" if view.error else "remove": "bad"})
        self.bar.visible = self.cancel.visible = view.running
        self.bar.value = view.progress
        if not view.compared:
            return
        if self.panes is None:
            self._begin(view)
        self.scores.rows = score_rows(view)
        self.classes.rows = class_rows(view)
        if view.compared != self._listed and (not view.running or view.compared >= 1.3 * self._listed):
            self._listed = view.compared
            self._draw(view)
            await self._list()

    def _begin(self, view: CompareView) -> None:
        """Pictures, numbers and the list, as soon as there is an image."""
        orders = {order: said for order, said in ORDERS.items() if view.with_truth or order in ("differing", "first")}
        with self.body:
            self.panes = ImagePanes(view, self._step)
            with ui.element("div").classes("compare-split"):
                with ui.element("div"):
                    heading("Scores" if view.with_truth else "Classes", 2)
                    self.scores = score_table(view)
                    self.scores.visible = view.with_truth
                    self.chart = ui.element("div").classes("w-full")
                with ui.element("div"):
                    with ui.row().classes("w-full items-end justify-between").style("gap: .3rem 1rem"):
                        heading("Images", 2)
                        choice = ui.select(orders, value=self.order, label="Order", on_change=self._reorder)
                        choice.props("dense options-dense").style("min-width: 13rem")
                    self.list = ImageList(view, self._choose)
                    self.more = ui.label().classes("faint")
                    heading("IoU per class" if view.with_truth else "Shares of the classes", 2)
                    self.classes = class_table(view)
            for key, why in view.failed.items():
                ui.label(f"{key}: {why}").classes("bad").style("overflow-wrap: anywhere")

    def _draw(self, view: CompareView) -> None:
        with self.chart:
            self.drawn = class_chart(view, self.drawn)

    async def _reorder(self, event: object) -> None:
        self.order = event.value  # type: ignore[attr-defined]
        self.chosen = None
        await self._list()

    async def _list(self) -> None:
        found = await tried(list_images, bench(), self.view.id, order=self.order, limit=LISTED)
        if found is None or not found.images:
            return
        self.images = list(found.images)
        left = found.total - len(self.images)
        self.more.text = f"and {left:,} more" if left else ""
        if self.chosen is None:
            self._choose(self.images[0].number)
            return
        self._mark()
        place = self._place_of(self.chosen)
        if place is not None and self.panes is not None:
            self.panes.stand(self.images[place], place, len(self.images))

    def _choose(self, number: int) -> None:
        place = self._place_of(number)
        if place is None or self.panes is None:
            return
        self.chosen = number
        self.panes.show(self.images[place], place, len(self.images))
        self._mark()

    def _place_of(self, number: int | None) -> int | None:
        return next((place for place, image in enumerate(self.images) if image.number == number), None)

    def _mark(self) -> None:
        self.list.show(self.images, self.chosen)

    def _step(self, by: int) -> None:
        place = (self._place_of(self.chosen) or 0) + by
        if 0 <= place < len(self.images):
            self._choose(self.images[place].number)


def _summary(view: CompareView) -> str:
    if view.error:
        return view.error
    if view.state == "opening":
        return f"{view.message[:1].upper()}{view.message[1:]}."
    where = f"{view.dataset}, {view.split or 'chosen images'}" if view.dataset else "files"
    said = f"{view.compared:,} of {view.images:,} images ({where})" if view.running else ""
    said = said or f"{view.compared:,} image{'' if view.compared == 1 else 's'} ({where})"
    said += f": the models differ on {100 * view.disagreement:.1f} % of the pixels."
    if view.running and view.seconds_left is not None:
        said += f" About {view.seconds_left:.0f} s left."
    if view.state == "cancelled":
        said += " It was cancelled."
    return said
