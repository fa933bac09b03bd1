"""A table of runs, datasets or models: sorted and filtered by the database, columns chosen by the visitor."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from nicegui import app, ui

from fullconv.workbench.catalogue import Kind
from fullconv.workbench.pages.asking import asked, tried
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.listing import Entry, Listing, listed, values_of
from fullconv.workbench.services.selection import Selection, done_to

PER_PAGE = (25, 50, 100)
ADDRESSES = {"run": "/runs/", "dataset": "/datasets/", "model": "/models/"}
SORTED = {"name", "created", "state", "dataset", "network", "group", "mean_iou", "best_mean_iou", "pixel_accuracy"}
TITLES = {
    "name": "Name",
    "created": "Made",
    "state": "State",
    "dataset": "Dataset",
    "network": "Network",
    "group": "Group",
    "epoch": "Epoch",
    "mean_iou": "Test mean IoU",
    "best_mean_iou": "Best validation mean IoU",
    "pixel_accuracy": "Test pixel accuracy",
    "mean_accuracy": "Test mean accuracy",
    "frequency_weighted_iou": "Test frequency-weighted IoU",
    "regime": "Regime",
    "weights": "Weights",
    "images": "Images",
    "classes": "Classes",
    "label_format": "Labels",
    "problems": "Problems",
    "stride": "Stride",
    "licence": "Licence",
    "tags": "Tags",
}
NUMBERS = {
    "mean_iou", "best_mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "images", "classes",
    "problems", "stride", "epoch",
}  # fmt: skip
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "run": (
        "name", "state", "dataset", "network", "epoch", "best_mean_iou", "mean_iou", "pixel_accuracy", "mean_accuracy",
        "frequency_weighted_iou", "group", "regime", "weights", "tags", "created",
    ),
    "dataset": ("name", "images", "classes", "label_format", "problems", "tags", "created"),
    "model": (
        "name", "network", "dataset", "mean_iou", "pixel_accuracy", "classes", "stride", "licence", "tags", "created",
    ),
}  # fmt: skip
USUAL: dict[Kind, tuple[str, ...]] = {
    "run": ("name", "state", "dataset", "epoch", "best_mean_iou", "mean_iou", "tags", "created"),
    "dataset": COLUMNS["dataset"],
    "model": ("name", "network", "dataset", "mean_iou", "classes", "tags", "created"),
}
LINKED = """
<q-td :props="props" style="white-space: normal; overflow-wrap: anywhere; min-width: 10rem">
<a :href="props.row.address" style="color: var(--accent)">{{ props.value }}</a>
<div v-if="props.row.problem" class="bad">{{ props.row.problem }}</div></q-td>
"""


class HomeTable:
    """The table of one kind, with its filters and what can be done to a selection.

    Args:
        kind: of the things.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self.wanted = Listing(limit=PER_PAGE[0])

    async def build(self) -> None:
        """Lay it out with its first page."""
        values = await asked(values_of, bench(), self.kind)
        key = f"columns-{self.kind}"
        chosen = [name for name in app.storage.user.get(key, USUAL[self.kind]) if name in COLUMNS[self.kind]]
        with ui.row().classes("items-end w-full").style("gap: .4rem 1rem"):
            search = ui.input("Search").props("dense clearable debounce=300 maxlength=200")
            search.on_value_change(lambda event: self._filter(search=(event.value or "")[:200]))
            for name in ("state", "dataset", "group", "tag"):
                if values[name]:
                    self._choice(name, values[name])
            ui.space()
            columns = ui.select(
                {name: TITLES[name] for name in COLUMNS[self.kind] if name != "name"},
                value=[name for name in chosen if name != "name"],
                multiple=True,
                label="Columns",
            )
            columns.props('dense options-dense display-value=""').style("min-width: 7rem")
        self._actions()
        self.table = ui.table(
            columns=[_column(name) for name in COLUMNS[self.kind]],
            rows=[],
            row_key="name",
            selection=None if bench().settings.read_only else "multiple",
            pagination={"rowsPerPage": PER_PAGE[0], "sortBy": "created", "descending": True, "rowsNumber": 0},
        ).classes("w-full")
        self.table.props(f"flat bordered dense binary-state-sort :rows-per-page-options='{list(PER_PAGE)}'")
        self.table.props["visible-columns"] = chosen
        self.table.add_slot("body-cell-name", LINKED)
        self.table.on("request", self._request)
        self.table.on_select(lambda _: self._selected())

        def choose(names: list[str]) -> None:
            shown = ["name", *(name for name in COLUMNS[self.kind] if name in names)]
            app.storage.user[key] = shown
            self.table.props["visible-columns"] = shown

        columns.on_value_change(lambda event: choose(event.value or []))
        await self._load()

    def _choice(self, name: str, values: list[str]) -> None:
        select = ui.select([*values], label=name.capitalize(), clearable=True, with_input=len(values) > 12)
        select.props("dense options-dense").style("min-width: 8rem")
        select.on_value_change(lambda event: self._filter(**{name: event.value or None}))

    def _actions(self) -> None:
        with ui.row().classes("items-center").style("gap: .3rem") as self.actions:
            self.count = ui.label().props('role="status"')
            if self.kind != "dataset":
                ui.button("Compare", on_click=self._compare).props("flat dense no-caps")
            ui.button("Tag", on_click=self._tag).props("flat dense no-caps")
            if self.kind == "run":
                ui.button("Abort", on_click=lambda: self._sure("abort")).props("flat dense no-caps")
            ui.button("Delete", on_click=lambda: self._sure("delete")).props("flat dense no-caps color=negative")
        self.actions.visible = False

    def _names(self) -> list[str]:
        return [row["name"] for row in self.table.selected]

    def _selected(self) -> None:
        names = self._names()
        self.actions.visible = bool(names)
        self.count.text = f"{len(names)} selected"

    async def _filter(self, **changes: Any) -> None:
        self.wanted = self.wanted.model_copy(update={**changes, "offset": 0})
        self.table.pagination = {**self.table.pagination, "page": 1}
        await self._load()

    async def _request(self, event: Any) -> None:
        asked_for = event.args["pagination"]
        size = min(max(1, int(asked_for["rowsPerPage"])), 1000)
        sort = asked_for.get("sortBy") if asked_for.get("sortBy") in SORTED else "created"
        self.table.pagination = {**asked_for, "sortBy": sort}
        changes: dict[str, Any] = {"offset": (max(1, int(asked_for["page"])) - 1) * size, "limit": size}
        changes |= {"sort": sort, "descending": bool(asked_for["descending"])}
        self.wanted = self.wanted.model_copy(update=changes)
        await self._load()

    async def _load(self) -> None:
        page = await asked(listed, bench(), self.kind, self.wanted)
        self.table.rows = [_row(entry) for entry in page.entries]
        self.table.pagination = {**self.table.pagination, "rowsNumber": page.total}
        self.table.selected = []
        self.table.update()
        self._selected()

    def _compare(self) -> None:
        ui.navigate.to("/compare?models=" + quote(",".join(self._names()[:4])))

    async def _tag(self) -> None:
        with ui.dialog() as dialog, ui.card():
            ui.label(f"Tag {len(self._names())} selected")
            tag = ui.input("Tag").props("autofocus maxlength=40 dense")
            with ui.row():
                ui.button("Add", on_click=lambda: dialog.submit("tag")).props("no-caps unelevated dense")
                ui.button("Take away", on_click=lambda: dialog.submit("untag")).props("no-caps flat dense")
        action = await dialog
        if action and (tag.value or "").strip():
            await self._do(action, (tag.value or "").strip())

    async def _sure(self, action: str) -> None:
        names = self._names()
        with ui.dialog() as dialog, ui.card():
            ui.label(f"{action.capitalize()} {', '.join(names[:5])}{' …' if len(names) > 5 else ''}?")
            if action == "delete":
                ui.label("This cannot be undone. What others need is not deleted.").classes("faint")
            with ui.row():
                sure = ui.button(action.capitalize(), on_click=lambda: dialog.submit(True))
                sure.props("no-caps unelevated dense color=negative")
                ui.button("Keep", on_click=lambda: dialog.submit(False)).props("no-caps flat dense autofocus")
        if await dialog:
            await self._do(action, None)

    async def _do(self, action: str, tag: str | None) -> None:
        selection = {"kind": self.kind, "names": self._names(), "action": action, "tag": tag}
        outcomes = await tried(done_to, bench(), Selection.model_validate(selection))
        for outcome in outcomes or ():
            if outcome.problem is not None:
                ui.notify(outcome.problem, type="negative", multi_line=True, close_button="Close", timeout=12_000)
        await self._load()


def _column(name: str) -> dict[str, Any]:
    column = {"name": name, "label": TITLES[name], "field": name, "sortable": name in SORTED}
    return column | {"align": "right" if name in NUMBERS else "left", "required": name == "name"}


def _row(entry: Entry) -> dict[str, Any]:
    facts = entry.facts
    row: dict[str, Any] = {"address": ADDRESSES[entry.kind] + quote(entry.name), "problem": entry.problem}
    for name in COLUMNS[entry.kind]:
        value = getattr(entry, name, None) if name in SORTED else facts.get(name)
        if name == "epoch" and "epochs" in facts:
            value = f"{facts['epoch']}/{facts['epochs']}"
        elif name == "classes":
            value = len(facts.get("classes", ()))
        elif name == "tags":
            value = ", ".join(entry.tags)
        elif name == "created":
            value = entry.created.replace("T", " ")[:16]
        elif isinstance(value, float):
            value = f"{value:.3f}"
        row[name] = value
    return row
