"""A model against a whole dataset: a job, and the scores of earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast
from urllib.parse import quote

from nicegui import ui

from fullconv.errors import FullconvError
from fullconv.workbench.pages.accessible_names import sort_by_keyboard
from fullconv.workbench.pages.asking import asked, refuse, tried
from fullconv.workbench.pages.job_progress import JobProgress
from fullconv.workbench.pages.questions import ask
from fullconv.workbench.pages.table_numbers import percent_column
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.services.evaluations import (
    EvaluationView,
    EvaluationWish,
    delete_evaluation,
    evaluate_model,
    list_evaluations,
)
from fullconv.workbench.stored import PackageKind

SPLITS = ("test", "val", "train")
_SCORES = {
    "mean_iou": "Mean IoU",
    "pixel_accuracy": "Pixel accuracy",
    "mean_accuracy": "Mean accuracy",
    "frequency_weighted_iou": "Weighted IoU",
}
_WIDE = {"classes": "wide", "headerClasses": "wide"}
STYLE = "@media (max-width: 700px) { .scores-table .wide { display: none } }"
_COLUMNS: tuple[dict[str, Any], ...] = (
    {"name": "created", "label": "Made", "field": "created", "sortable": True, "align": "left"},
    {"name": "model", "label": "Model", "field": "model", "sortable": True, "align": "left"},
    {"name": "data", "label": "Dataset", "field": "data", "sortable": True, "align": "left"},
    {"name": "images", "label": "Images", "field": "images", "sortable": True, **_WIDE},
    *(percent_column(name, label, **({} if name == "mean_iou" else _WIDE)) for name, label in _SCORES.items()),
)
_DELETE = {"name": "delete", "label": "Delete", "field": "name", "align": "right"}
_LINK = """<q-td :props="props">
<a v-if="props.row.link" :href="props.row.link" style="color: var(--accent)" target="_blank">{{ props.value }}</a>
<span v-else class="faint">{{ props.value }}, not finished</span></q-td>"""
_DELETE_CELL = """<q-td :props="props">
<q-btn flat round dense icon="delete" :aria-label="`Delete ${props.value}`"
  @click="() => $parent.$emit('delete', props.row)" />
</q-td>"""


class Scoring:
    """The panel of the page Test.

    Args:
        model: gives name, kind and head of the one that is chosen.
        dataset: that is chosen at first.
    """

    def __init__(self, model: Callable[[], tuple[str, PackageKind, str | None]], dataset: str) -> None:
        ui.add_css(STYLE)
        self._model = model
        names = [entry.name for entry in bench().catalogue.entries("dataset") if entry.problem is None]
        if not names:
            ui.label("A model is scored on a dataset, and there is none yet.").classes("faint")
        elif not bench().settings.read_only:
            with ui.row().classes("w-full items-end").style("gap: .4rem 1rem"):
                self.dataset = ui.select(names, label="Dataset", value=dataset if dataset in names else names[0])
                self.dataset.props("dense options-dense").style("min-width: min(16rem, 100%)")
                self.split = ui.select(list(SPLITS), label="Split", value="test").props("dense options-dense")
                self.split.style("min-width: 7rem")
                ui.button("Score the model", on_click=self._start).props("no-caps unelevated")
            self.job = ui.column().classes("w-full")
        self.list = ui.column().classes("w-full").style("gap: .4rem")
        ui.timer(0.01, self._show, once=True)

    async def _start(self) -> None:
        name, kind, head = self._model()
        split = cast(Literal["train", "val", "test"], self.split.value)
        wish = EvaluationWish(model=name, kind=kind, head=head, dataset=str(self.dataset.value), split=split)
        try:
            job = await asked(evaluate_model, bench(), wish)
        except FullconvError as problem:
            refuse(problem)
            return

        async def done(result: dict[str, Any]) -> None:
            await self._show()
            self.job.clear()

        self.job.clear()
        with self.job:
            JobProgress(job.id, on_done=done, on_failed=self._show)

    async def _show(self) -> None:
        found = await tried(list_evaluations, bench())
        self.list.clear()
        if not found:
            return
        with self.list:
            with ui.row().classes("w-full items-center justify-between"):
                heading("Scores", 2)
                ui.link("JSON", "/api/v1/evaluations").classes("faint")
            columns = [*_COLUMNS] if bench().settings.read_only else [*_COLUMNS, _DELETE]
            table = ui.table(columns=columns, rows=[_row(entry) for entry in found], row_key="name", pagination=10)
            table.classes("w-full scores-table").props("flat dense wrap-cells")
            sort_by_keyboard(table).add_slot("body-cell-created", _LINK)
            table.add_slot("body-cell-delete", _DELETE_CELL)
            table.on("delete", lambda event: self._delete(event.args))

    async def _delete(self, row: dict[str, Any]) -> None:
        told = f"The scores of {row['model']} on {row['data']} go from this machine, with their report."
        if await ask("Delete these scores?", told, "Delete", "Keep"):
            await tried(delete_evaluation, bench(), str(row["name"]))
            await self._show()


def _row(entry: EvaluationView) -> dict[str, object]:
    return {
        "name": entry.name,
        "created": entry.created.replace("T", " ").removesuffix("+00:00"),
        "model": entry.model + (f" ({entry.head})" if entry.head else ""),
        "data": f"{entry.dataset}, {entry.split}",
        "images": entry.images,
        "link": f"/api/v1/evaluations/{quote(entry.name)}/report" if entry.done else None,
        **{name: getattr(entry, name) for name in _SCORES},
    }
