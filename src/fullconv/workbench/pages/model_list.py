"""All models: those of the store, those of runs, and weights that runs can start from."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from nicegui import ui

from fullconv.workbench.pages.accessible_names import sort_by_keyboard
from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.model_uploads import upload_card
from fullconv.workbench.pages.stored_weights import WeightsTable
from fullconv.workbench.pages.table_numbers import percent_column
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.compare_views import MOST_MODELS
from fullconv.workbench.services.listing import Entry, Listing, Page, listed_packages

SHOWN = 1000
_KINDS = {"": "All", "model": "In the store", "run": "Of runs"}
STYLE = """
.model-table a { color: var(--accent); overflow-wrap: anywhere; display: inline-block; min-width: 7rem }
@media (max-width: 700px) { .model-table .wide { display: none } }
.tag { border: 1px solid var(--line); border-radius: 10px; padding: 0 .5rem; font-size: .8rem; margin-right: .25rem }
"""
_WIDE = {"classes": "wide", "headerClasses": "wide"}
_COLUMNS: list[dict[str, Any]] = [
    {"name": "name", "label": "Model", "field": "name", "align": "left", "sortable": True},
    {"name": "kind", "label": "Kind", "field": "kind", "align": "left", "sortable": True, **_WIDE},
    {"name": "network", "label": "Network", "field": "network", "align": "left", "sortable": True, **_WIDE},
    {"name": "dataset", "label": "Scored on", "field": "dataset", "align": "left", "sortable": True},
    percent_column("mean_iou", "Mean IoU"),
    percent_column("pixel_accuracy", "Pixel accuracy", **_WIDE),
    {"name": "licence", "label": "Licence", "field": "licence", "align": "left", "sortable": True, **_WIDE},
    {"name": "created", "label": "Made", "field": "created", "align": "left", "sortable": True, **_WIDE},
]


async def model_list_page() -> None:
    """Models as a table, found by name, network, dataset or tag; some of them can be compared."""
    await asked(bench().catalogue.refresh)  # what a shell made a moment ago is shown, too
    with frame("Models", "/models"):
        ui.add_css(STYLE)
        with ui.row().classes("w-full items-center justify-between"):
            heading("Models")
            with ui.row().classes("items-center").style("gap: 1rem"):
                ui.link("JSON", "/api/v1/models").classes("faint")
                if not bench().settings.read_only:
                    upload = ui.button("Upload", icon="upload").props("no-caps unelevated").mark("upload")
        page = _ModelList()
        weights = WeightsTable()

        async def uploaded() -> None:
            await page.load()
            await weights.load()

        if not bench().settings.read_only:
            card = upload_card(uploaded)
            upload.on_click(lambda: card.set_visibility(not card.visible))
        await page.build()
        await weights.build()
        heading("Model store", 2)
        ui.label(
            "Models come from runs on this machine and from packages that are uploaded here. Every model can be "
            "downloaded as a package and taken in by another workbench."
        ).classes("faint")


class _ModelList:
    """The table with its filters."""

    def __init__(self) -> None:
        self.kind = ""
        self.search = ""

    async def build(self) -> None:
        found = await self._found()
        with ui.column().classes("w-full").style("gap: .6rem") as self.place:
            self.empty = ui.column().classes("w-full")
            with ui.row().classes("w-full items-end").style("gap: .4rem 1rem") as self.filters:
                search = ui.input("Name, network, dataset or tag contains", on_change=self._searched)
                search.props("dense clearable debounce=300 maxlength=200").style("width: min(20rem, 100%)")
                kinds = ui.select(_KINDS, value="", label="Which", on_change=self._chosen_kind)
                kinds.props("dense options-dense").style("min-width: 8rem")
                self.compare = ui.button("Compare", icon="compare", on_click=self._compare)
                self.compare.props("outline no-caps dense").mark("compare-chosen")
            self.table = ui.table(rows=[], columns=_COLUMNS, row_key="id", pagination=25, selection="multiple")
            self.table.classes("w-full model-table").props("flat dense wrap-cells").style("background: transparent")
            sort_by_keyboard(self.table).add_slot("body-cell-name", _NAME_CELL)
            self.table.add_slot("body-selection", _CHOOSE)
            self.table.add_slot("header-selection", _CHOOSE_ALL)
            self.table.on_select(self._count)
            self.table.mark("models")
            self.more = ui.label().classes("faint")
        with self.empty:
            nothing_yet("No model yet. A run makes one when it is done.", "Start a run", "/runs/new")
        self._show(found)

    async def load(self) -> None:
        """Read the list again."""
        self._show(await self._found())

    async def _found(self) -> Page:
        wanted = Listing(search=self.search[:200], limit=SHOWN)
        kind: Any = self.kind or None
        return await asked(listed_packages, bench(), wanted, kind=kind)

    async def _searched(self, event: Any) -> None:
        self.search = event.value or ""
        await self.load()

    async def _chosen_kind(self, event: Any) -> None:
        self.kind = event.value or ""
        await self.load()

    def _show(self, found: Page) -> None:
        filtered = bool(self.kind or self.search)
        self.empty.visible = not found.total and not filtered
        self.filters.visible = self.table.visible = bool(found.total) or filtered
        self.table.rows = [_row(entry) for entry in found.entries]
        self.table.selected = []
        left = found.total - len(found.entries)
        self.more.text = f"and {left:,} more; search to find them" if left > 0 else ""
        self._count()

    def _count(self) -> None:
        chosen = len(self.table.selected)
        self.compare.text = f"Compare {chosen}" if 2 <= chosen <= MOST_MODELS else f"Compare: choose 2 to {MOST_MODELS}"
        self.compare.set_enabled(2 <= chosen <= MOST_MODELS)

    def _compare(self) -> None:
        names = ",".join(str(row["name"]) for row in self.table.selected)
        ui.navigate.to(f"/compare?models={quote(names, safe=',')}")


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "id": f"{entry.kind}:{entry.name}",
        "name": entry.name,
        "href": f"/models/{quote(entry.name)}" + ("?kind=run" if entry.kind == "run" else ""),
        "kind": "run" if entry.kind == "run" else "stored",
        "network": entry.network or "",
        "dataset": entry.dataset or "",
        "mean_iou": entry.mean_iou,
        "pixel_accuracy": entry.pixel_accuracy,
        "licence": str(entry.facts.get("licence") or "")[:60],
        "created": entry.created.replace("T", " ")[:16],
        "tags": list(entry.tags),
        "problem": entry.problem or "",
    }


_NAME_CELL = """
<q-td :props="props"><a :href="props.row.href">{{ props.value }}</a>
<span v-for="tag in props.row.tags" :key="tag" class="tag q-ml-xs">{{ tag }}</span>
<div v-if="props.row.problem" class="bad">{{ props.row.problem }}</div></q-td>
"""
_CHOOSE = '<q-checkbox dense v-model="props.selected" :aria-label="`Choose ${props.row.name}`" />'
_CHOOSE_ALL = '<q-checkbox dense v-model="props.selected" aria-label="Choose all" />'
