"""A comparison in numbers: scores of the models, differences per class, and the list of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from fullconv.data.differences import COLORS, FIRST, SECOND
from fullconv.prediction.comparison_facts import SCORES, signed
from fullconv.workbench.pages.accessible_names import sort_by_keyboard
from fullconv.workbench.pages.charts import Options, axis, chart, legend, redraw
from fullconv.workbench.pages.table_numbers import percent_column
from fullconv.workbench.services.compare_views import ClassComparison, CompareView, ImageComparison

MODEL_COLORS = (COLORS[FIRST], COLORS[SECOND], (46, 160, 67), (163, 113, 247))
"""Of bars that stand for models; the first two as in the map of differences."""
Columns = list[dict[str, Any]]


def score_table(view: CompareView) -> ui.table:
    """Scores, a row each, a column per model."""
    table = ui.table(rows=score_rows(view), columns=_model_columns(view, "score", "Score"), row_key="score")
    return table.classes("w-full").props("flat dense wrap-cells hide-pagination").style("background: transparent")


def score_rows(view: CompareView) -> list[dict[str, Any]]:
    """Rows of `score_table`."""
    rows = []
    for field, name in SCORES:
        values = [getattr(model, field) for model in view.models]
        rows.append({"score": name[0].upper() + name[1:], **_cells(values)})
    return rows


def class_table(view: CompareView) -> ui.table:
    """IoU of each class (without truth its share), a column per model; who lacks it is told."""
    table = ui.table(rows=class_rows(view), columns=_model_columns(view, "name", "Class"), row_key="name")
    table.add_slot("body-cell-name", _NAME_CELL)
    table.classes("w-full").props("flat dense wrap-cells hide-pagination :rows-per-page-options=[0]")
    return table.style("background: transparent")


def class_rows(view: CompareView) -> list[dict[str, Any]]:
    """Rows of `class_table`."""
    return [
        {
            "name": entry.name,
            "color": "rgb({}, {}, {})".format(*entry.color),
            "lacking": f"not in {', '.join(entry.lacking)}" if entry.lacking else "",
            **_cells(list(entry.iou or entry.predicted)),
        }
        for entry in view.classes
    ]


def class_chart(view: CompareView, drawn: ui.echart | None = None) -> ui.echart | None:
    """Differences per class between two models, in the colours of the classes; of more models, their values.

    Args:
        view: the comparison.
        drawn: when it was looked at before; it is drawn anew.
    """
    entries = [entry for entry in view.classes if any(_values(entry))]
    if not entries:
        return drawn
    two = len(view.models) == 2
    what = "IoU" if view.with_truth else "share of the pixels"
    options = _gains(view, entries, what) if two else _values_of_all(view, entries, what)
    bars = len(entries) * (1 if two else len(view.models))
    height = f"{max(9, 1.5 * bars + 4):.0f}rem"
    if drawn is not None:
        redraw(drawn, options, height=height)
        return drawn
    said = f"Difference of the {what} per class" if two else f"{what} per class and model"
    return chart(options, height=height, label=said)


class ImageList:
    """The images with their numbers; one is chosen by its name.

    Args:
        view: the comparison.
        choose: called with the number of an image.
    """

    def __init__(self, view: CompareView, choose: Callable[[int], Any]) -> None:
        columns: Columns = [
            {"name": "key", "label": "Image", "field": "key", "align": "left", "sortable": True},
            percent_column("differ", "Different"),
        ]
        if view.with_truth:
            columns += [percent_column(f"m{place}", f"mIoU {model.name}") for place, model in enumerate(view.models)]
        self.table = ui.table(rows=[], columns=columns, row_key="number", pagination=12)
        self.table.classes("w-full").props("flat dense wrap-cells").style("background: transparent")
        sort_by_keyboard(self.table).add_slot("body-cell-key", _KEY_CELL)
        self.table.on("choose", lambda event: choose(int(event.args)))
        self.table.mark("images")

    def show(self, images: list[ImageComparison], chosen: int | None) -> None:
        """Other rows; the chosen one is marked."""
        self.table.rows = [
            {
                "number": image.number,
                "key": image.key,
                "differ": image.disagreement,
                "chosen": image.number == chosen,
                **{f"m{place}": score for place, score in enumerate(image.mean_iou)},
            }
            for image in images
        ]


def _model_columns(view: CompareView, name: str, label: str) -> Columns:
    columns: Columns = [{"name": name, "label": label, "field": name, "align": "left"}]
    columns += [
        {"name": f"m{place}", "label": model.name, "field": f"m{place}"} for place, model in enumerate(view.models)
    ]
    if len(view.models) == 2:
        columns.append({"name": "difference", "label": "Difference", "field": "difference"})
    return columns


def _cells(values: list[float | None]) -> dict[str, str]:
    cells = {f"m{place}": "–" if value is None else f"{100 * value:.1f} %" for place, value in enumerate(values)}
    if len(values) == 2:
        first, second = values
        cells["difference"] = signed(None if first is None or second is None else second - first)
    return cells


def _values(entry: ClassComparison) -> tuple[float | None, ...]:
    return entry.iou or entry.predicted


def _gains(view: CompareView, entries: list[ClassComparison], what: str) -> Options:
    first, second = (model.name for model in view.models)
    known = sorted(
        (entry for entry in entries if entry.difference is not None), key=lambda entry: entry.difference or 0
    )
    data = [
        {
            "value": round(100 * (entry.difference or 0), 2),
            "itemStyle": {
                "color": "rgb({}, {}, {})".format(*entry.color),
                "borderColor": "var(--faint)",
                "borderWidth": 0.5,
            },
        }
        for entry in known
    ]
    return {
        "grid": {"left": 8, "right": 40, "top": 8, "bottom": 44, "containLabel": True},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}, ":valueFormatter": _POINTS},
        "xAxis": axis(
            "value", name=f"{what} of {second} less that of {first}, in points", nameLocation="middle", nameGap=28
        ),
        "yAxis": axis("category", data=[entry.name for entry in known], axisTick={"show": False}),
        "series": [{"type": "bar", "data": data, "barMaxWidth": 18}],
    }


def _values_of_all(view: CompareView, entries: list[ClassComparison], what: str) -> Options:
    rows = entries[::-1]  # charts begin at the bottom
    series = [
        {
            "type": "bar",
            "name": model.name,
            "itemStyle": {"color": "rgb({}, {}, {})".format(*MODEL_COLORS[place])},
            "data": [None if (value := _values(entry)[place]) is None else round(100 * value, 2) for entry in rows],
        }
        for place, model in enumerate(view.models)
    ]
    return {
        "grid": {"left": 8, "right": 30, "top": 34, "bottom": 44, "containLabel": True},
        "legend": legend(top=0),
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}, ":valueFormatter": _PERCENT_POINTS},
        "xAxis": axis("value", name=what, nameLocation="middle", nameGap=28, axisLabel={"formatter": "{value} %"}),
        "yAxis": axis("category", data=[entry.name for entry in rows]),
        "series": series[::-1],
    }


_POINTS = "(value) => (value > 0 ? '+' : '') + value"
_PERCENT_POINTS = "(value) => value === null || value === undefined ? '–' : value + ' %'"
_NAME_CELL = """
<q-td :props="props"><span class="swatch" :style="{background: props.row.color}"></span> {{ props.value }}
<span class="faint" v-if="props.row.lacking">({{ props.row.lacking }})</span></q-td>
"""
_KEY_CELL = """
<q-td :props="props"><q-btn flat dense no-caps align="left" :label="props.value" class="image-key"
  :aria-current="props.row.chosen ? 'true' : null" @click="() => $parent.$emit('choose', props.row.number)" /></q-td>
"""
