"""A group of runs: their settings and scores side by side, mean and spread, what is missing, the folds as one model."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from nicegui import ui

from fullconv.errors import FullconvError
from fullconv.workbench.pages.accessible_names import sort_by_keyboard
from fullconv.workbench.pages.asking import asked, tried
from fullconv.workbench.pages.home_columns import SCORES, SLOTS
from fullconv.workbench.pages.table_numbers import score_column
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.compare_views import MOST_MODELS
from fullconv.workbench.services.groups import GroupRun, GroupView, Spread, group_of

LOOK_SECONDS = 5.0
STYLE = """
.spreads { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: 0 }
.spreads dt { color: var(--faint) } .spreads dd { margin: 0; font-variant-numeric: tabular-nums }
"""


async def group_page(name: str) -> None:
    """The page of a group."""
    with frame(name, "/"):
        ui.add_css(STYLE)
        try:
            view = await asked(group_of, bench(), name)
        except FullconvError as problem:
            ui.status_code(404)
            heading(name)
            nothing_yet(str(problem), "To the list of runs", "/")
            return
        _Group(view).build()


class _Group:
    def __init__(self, view: GroupView) -> None:
        self.view = view

    def build(self) -> None:
        """Lay it out."""
        view = self.view
        with ui.row().classes("w-full items-center justify-between"):
            heading(f"Group {view.name}")
            ui.link("JSON", f"/api/v1/groups/{quote(view.name, safe='')}").classes("faint")
        self.standing = ui.label().classes("faint").props('role="status"')
        self.facts = ui.column().classes("w-full").style("gap: .5rem")
        self.compare = ui.button("Compare", icon="compare", on_click=self._compare).props("outline no-caps dense")
        titles = {score: title[0].upper() + title[1:] for score, title in SCORES.items()}
        columns = [_column("run", "Run"), score_column("mean_iou", titles.pop("mean_iou"))]  # on narrow screens
        columns += [*(_column(_key(path), path) for path in view.axes), _column("state", "State")]
        columns += [score_column(score, title) for score, title in titles.items()]
        columns += [score_column(_head(head), f"Mean IoU {head}") for head in view.heads]
        self.table = ui.table(columns=columns, rows=[], row_key="run", pagination=100, selection="multiple")
        self.table.classes("w-full bg-transparent").props("flat bordered dense")
        sort_by_keyboard(self.table).add_slot("body-cell-run", SLOTS["body-cell-name"])
        for name in ("body-cell-state", "body-selection", "header-selection"):
            self.table.add_slot(name, SLOTS[name])
        self.table.on_select(lambda _: self._count())
        self._show()
        ui.timer(LOOK_SECONDS, self._look, immediate=False)

    async def _look(self) -> None:
        view = await tried(group_of, bench(), self.view.name)
        if view is not None and view != self.view:
            self.view = view
            self._show()

    def _show(self) -> None:
        view = self.view
        self.standing.text = _standing(view)
        self.facts.clear()
        with self.facts:
            if view.spread:
                with ui.element("dl").classes("spreads"):
                    for score, title in SCORES.items():
                        _spread(f"{title[0].upper()}{title[1:]}", view.spread.get(score))
                    for head, spread in view.heads.items():
                        _spread(f"Mean IoU {head}", spread)
            if view.ensemble is not None:
                with ui.row().style("gap: .4rem"):
                    ui.label("All folds as one model that votes:")
                    ui.link(view.ensemble, f"/models/{quote(view.ensemble)}")
        chosen = {row["run"] for row in self.table.selected}
        self.table.rows = rows = [_row(run, view) for run in view.runs]
        self.table.selected = [row for row in rows if row["run"] in chosen]
        self._count()

    def _count(self) -> None:
        chosen = len(self.table.selected)
        self.compare.visible = len(self.view.runs) > 1
        possible = 2 <= chosen <= MOST_MODELS
        self.compare.text = f"Compare {chosen}" if possible else f"Compare: choose 2 to {MOST_MODELS}"
        self.compare.set_enabled(possible)

    def _compare(self) -> None:
        lacking = [row["run"] for row in self.table.selected if row["state"] != "done"]
        if lacking:
            ui.notify(f"{lacking[0]} has no model yet; a run has one when it is done.", type="negative")
            return
        ui.navigate.to("/compare?models=" + quote(",".join(row["run"] for row in self.table.selected), safe=","))


def _standing(view: GroupView) -> str:
    runs = f"{len(view.runs)} run{'' if len(view.runs) == 1 else 's'}"
    if not view.summed_up:
        return f"{runs}. They are summed up when all have ended."
    if view.missing:
        missing = f"{runs}; {len(view.missing)} had no result when they were summed up."
        return f"{missing} Start the same group again to train what is missing."
    return f"{runs}, all of them summed up."


def _spread(title: str, spread: Spread | None) -> None:
    if spread is None or spread.mean is None:
        return
    with ui.element("div"):
        with ui.element("dt"):
            ui.label(title)
        with ui.element("dd"):
            ui.label(f"{spread.mean:.3f}" + ("" if spread.deviation is None else f" ± {spread.deviation:.3f}"))


def _column(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "label": label, "field": name, "sortable": True, "align": "left"}


def _row(run: GroupRun, view: GroupView) -> dict[str, Any]:
    return {
        "run": run.run,
        "name": run.run,
        "address": f"/runs/{quote(run.run)}",
        "problem": run.error,
        "state": run.state or "gone",
        **{_key(path): _setting(run.settings.get(path)) for path in view.axes},
        **{score: getattr(run, score) for score in SCORES},
        **{_head(head): run.heads.get(head) for head in view.heads},
    }


def _key(path: str) -> str:
    """The column of a setting, which may bear the name of another column."""
    return f"setting {path}"


def _head(head: str) -> str:
    return f"head {head}"


def _setting(value: Any) -> str | int | float | None:
    """As a table takes it: numbers that a browser can hold stay numbers, so that they are sorted as such."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if value is None or (is_number and abs(value) < 2**53) else str(value)
