"""One dataset: its images, its classes in numbers, what is wrong with it, and what people wrote beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from fullconv.errors import FullconvError
from fullconv.workbench.opened import OpenedDataset
from fullconv.workbench.pages import dataset_charts
from fullconv.workbench.pages.accessible_names import sort_by_keyboard
from fullconv.workbench.pages.asking import asked, refuse
from fullconv.workbench.pages.class_changes import class_changes
from fullconv.workbench.pages.dataset_notes import notes_tab
from fullconv.workbench.pages.dataset_problems import copies_tab, problems_tab
from fullconv.workbench.pages.explorer import Explorer, first_page
from fullconv.workbench.pages.stacks import add_stack_style
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.dataset_images import list_images
from fullconv.workbench.services.datasets import DatasetFacts, dataset_facts, delete_dataset

PATIENCE_SECONDS = 0.7
"""How long a visitor looks at nothing before being told why."""


async def dataset_page(request: Request, name: str) -> None:
    """The page of a dataset; filters, page and image are in the address."""
    with frame(name, "/datasets"):
        add_stack_style()
        try:
            opened = await _opened(name)
            first = await asked(list_images, bench(), name, first_page(opened, request.query_params))
            facts = await asked(dataset_facts, bench(), name)
        except FullconvError as problem:
            ui.status_code(404)
            heading(name)
            nothing_yet(str(problem), "To the list of datasets", "/datasets")
            return
        _head(facts)
        explorer = Explorer(opened, request.query_params)
        tabs = _Tabs(opened, facts)
        with tabs.begin():
            explorer.build(first)


async def _opened(name: str) -> OpenedDataset:
    """The dataset; where that takes long, the page is shown meanwhile."""
    opening = asyncio.ensure_future(asked(bench().datasets.open, name))
    try:
        return await asyncio.wait_for(asyncio.shield(opening), PATIENCE_SECONDS)
    except TimeoutError:
        with ui.row().classes("items-center") as waiting:
            ui.spinner()
            ui.label("The list of images is being read.")
        await ui.context.client.connected()
        opened = await opening
        waiting.delete()
        return opened


class _Tabs:
    """Images first; the rest is built when somebody looks at it."""

    def __init__(self, opened: OpenedDataset, facts: DatasetFacts) -> None:
        errors = sum(found.severity != "note" for found in facts.problems)
        self.builders: dict[str, tuple[str, Callable[[], object]]] = {
            "classes": ("Classes", lambda: _classes(opened, facts)),
            "sizes": ("Sizes", lambda: _sizes(facts)),
            "stride": ("Stride ceiling", lambda: _stride(facts)),
            "duplicates": (
                f"Duplicates ({facts.copies})" if facts.copies else "Duplicates",
                lambda: copies_tab(opened),
            ),
            "problems": (f"Problems ({errors})" if errors else "Problems", lambda: problems_tab(facts)),
            "notes": ("Notes", lambda: notes_tab(facts)),
        }
        self.built: set[str] = set()

    def begin(self) -> ui.tab_panel:
        """Make all of it; what is put into the result is the tab of images."""
        with ui.tabs().props("no-caps align=left outside-arrows mobile-arrows").classes("w-full") as tabs:
            ui.tab("images", "Images")
            for name, (label, _) in self.builders.items():
                ui.tab(name, label)
        with ui.tab_panels(tabs, value="images", animated=False).classes("w-full").style("background: transparent"):
            panel = ui.tab_panel("images").style("padding: .6rem 0 0")
            panels = {name: ui.tab_panel(name).style("padding: .6rem 0 0") for name in self.builders}

        async def opened_tab() -> None:
            name = str(tabs.value)
            if name in self.builders and name not in self.built:
                self.built.add(name)
                with panels[name]:
                    made = self.builders[name][1]()
                    if made is not None:
                        await made  # type: ignore[misc]

        tabs.on_value_change(opened_tab)
        return panel


def _head(facts: DatasetFacts) -> None:
    writable = not bench().settings.read_only
    with ui.row().classes("w-full items-start justify-between").style("gap: .6rem"):
        with ui.column().style("gap: .15rem; min-width: 0"):
            heading(facts.name)
            splits = ", ".join(f"{found.images:,} {split}" for split, found in facts.splits.items())
            channels = f"{facts.channels} channel{'' if facts.channels == 1 else 's'}"
            ui.label(
                f"{facts.images:,} images ({splits}) · {len(facts.classes)} classes · {channels}, {facts.dtype}"
            ).classes("faint")
            ui.label(f"{facts.explanation} {facts.class_source}").classes("faint")
            ui.label(facts.root).classes("faint").style("overflow-wrap: anywhere; font-size: .85rem")
        with ui.row().classes("items-center").style("gap: .6rem"):
            ui.link("JSON", f"/api/v1/datasets/{quote(facts.name)}").classes("faint")
            if writable:
                ui.button(icon="delete", on_click=lambda: _ask_to_delete(facts)).props(
                    'flat round dense aria-label="Delete this dataset"'
                ).tooltip("Delete this dataset")
                train = ui.button("Train on this", icon="play_arrow").props("tag=a no-caps unelevated")
                train.props["href"] = f"/runs/new?dataset={quote(facts.name)}"


async def _ask_to_delete(facts: DatasetFacts) -> None:
    with ui.dialog() as dialog, ui.card():
        heading(f"Delete {facts.name}?", 2)
        if facts.needed_by:
            runs = ", ".join(facts.needed_by[:5]) + (" …" if len(facts.needed_by) > 5 else "")
            ui.label(f"It cannot be deleted while these runs need it: {runs}.").style("overflow-wrap: anywhere")
        elif facts.uploaded:
            ui.label("Its images and labels were uploaded and are deleted with it.")
        else:
            ui.label("Its images and labels stay where they are; classes, splits, tags and notes go.")
        with ui.row().classes("w-full justify-end"):
            ui.button("Keep", on_click=lambda: dialog.submit(False)).props("flat no-caps")
            delete = ui.button("Delete", on_click=lambda: dialog.submit(True)).props(
                "no-caps unelevated color=negative"
            )
            delete.set_enabled(not facts.needed_by)
    sure = await dialog
    dialog.delete()
    if not sure:
        return
    try:
        await asked(delete_dataset, bench(), facts.name)
    except FullconvError as problem:
        refuse(problem)
        return
    ui.navigate.to("/datasets")


async def _classes(opened: OpenedDataset, facts: DatasetFacts) -> None:
    dataset_charts.class_chart(facts)
    dataset_charts.class_table(facts)
    dataset_charts.ignored_classes(facts)
    if facts.commonest is not None:
        ui.label(
            f"Always saying {facts.commonest.name} scores {100 * facts.commonest.pixel_accuracy:.1f} % pixel accuracy "
            f"and {100 * facts.commonest.mean_iou:.1f} % mean IoU: what any model must pass."
        )
    class_changes(opened, facts)


def _sizes(facts: DatasetFacts) -> None:
    if len(facts.sizes) == 1:
        height, width, count = facts.sizes[0]
        ui.label(f"All {count:,} images are {width}×{height} pixels.")
        return
    dataset_charts.size_chart(facts)
    rows = [{"size": f"{width}×{height}", "images": count} for height, width, count in facts.sizes[:500]]
    columns: list[dict[str, object]] = [
        {"name": "size", "label": "Width × height", "field": "size", "align": "left"},
        {"name": "images", "label": "Images", "field": "images", "sortable": True},
    ]
    table = ui.table(rows=rows, columns=columns, row_key="size", pagination=20).props("flat dense")
    sort_by_keyboard(table).style("min-width: 16rem; background: transparent")
    if len(facts.sizes) > len(rows):
        ui.label(f"and {len(facts.sizes) - len(rows):,} more sizes").classes("faint")


def _stride(facts: DatasetFacts) -> None:
    ui.label(
        "A network of output stride s decides once for s×s pixels. This is the mean IoU that the labels themselves "
        "still reach at that coarseness: no network of this stride can score more here."
    )
    if facts.stride_ceiling:
        dataset_charts.stride_chart(facts)
    else:
        ui.label("Nothing is labelled, so there is nothing to reach.").classes("faint")
