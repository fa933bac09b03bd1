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
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.services.evaluations import EvaluationView, EvaluationWish, evaluate_model, list_evaluations

SPLITS = ("test", "val", "train")
_COLUMNS = (
    ("created", "Made"),
    ("model", "Model"),
    ("data", "Dataset"),
    ("images", "Images"),
    ("pixel_accuracy", "Pixel accuracy"),
    ("mean_accuracy", "Mean accuracy"),
    ("mean_iou", "Mean IoU"),
    ("frequency_weighted_iou", "Weighted IoU"),
)
_SCORES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
_LINK = """<q-td :props="props">
<a v-if="props.row.link" :href="props.row.link" style="color: var(--accent)" target="_blank">{{ props.value }}</a>
<span v-else class="faint">{{ props.value }}, not finished</span></q-td>"""


class Scoring:
    """The panel of the page Test.

    Args:
        model: gives name, kind and head of the one that is chosen.
        dataset: that is chosen at first.
    """

    def __init__(self, model: Callable[[], tuple[str, Literal["model", "run"], str | None]], dataset: str) -> None:
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
            heading("Scores", 2)
            columns = [{"name": key, "label": label, "field": key, "sortable": True} for key, label in _COLUMNS]
            for column in columns:
                column["align"] = "left" if column["name"] in ("created", "model", "data") else "right"
            table = ui.table(columns=columns, rows=[_row(entry) for entry in found], row_key="name", pagination=10)
            table.classes("w-full").props("flat dense wrap-cells")
            sort_by_keyboard(table).add_slot("body-cell-created", _LINK)


def _row(entry: EvaluationView) -> dict[str, object]:
    scores = {name: getattr(entry, name) for name in _SCORES}
    return {
        "name": entry.name,
        "created": entry.created.replace("T", " ").removesuffix("+00:00"),
        "model": entry.model + (f" ({entry.head})" if entry.head else ""),
        "data": f"{entry.dataset}, {entry.split}",
        "images": entry.images,
        "link": f"/api/v1/evaluations/{quote(entry.name)}/report" if entry.done else None,
        **{name: None if value is None else f"{100 * value:.1f} %" for name, value in scores.items()},
    }
