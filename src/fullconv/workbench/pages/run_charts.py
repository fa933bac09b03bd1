"""The curves of a run, growing while it learns: only new points are sent to the browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from fullconv.workbench.feeds import Row
from fullconv.workbench.pages.charts import axis, chart, legend
from fullconv.workbench.pages.theme import heading
from fullconv.workbench.services.runs import ChartFacts

Point = tuple[int, float]
STYLE = """
:root { --curve-train: #b45309; --curve-val: #1f5fc4 }
.body--dark { --curve-train: #f2a65a; --curve-val: #79b0ff }
.run-charts { display: grid; gap: 1rem; width: 100%;
  grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)) }
.run-charts .card { min-width: 0; padding: .7rem; gap: .2rem } .run-charts .wide { grid-column: 1 / -1 }
"""

_ADD = """
const fresh = FRESH;
const add = (tries) => {
  const chart = getElement(CHART)?.chart;
  if (!chart) return tries && setTimeout(add, 50, tries - 1);
  const series = chart.getOption().series.map((curve, place) => ({
    data: [...new Map([...curve.data, ...fresh[place]].map((point) => [point[0], point])).values()]
      .sort((one, other) => one[0] - other[0]),
  }));
  chart.setOption({ series });
};
add(600);
"""
"""Adds points to the curves of a chart as soon as it is drawn; those of a step that is there already take its place."""


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Args:
        name: in the legend. color: as CSS.
        value: of a row; None where the row has none for it.
        points: whether every point is marked.
    """

    name: str
    color: str
    value: Callable[[Row], float | None]
    points: bool = True


@dataclass(frozen=True)
class Level:
    """A horizontal line to compare with.

    Args:
        name: of it. value: where it is.
    """

    name: str
    value: float


class LiveChart:
    """Curves over the steps.

    Args:
        title: above it, and for screen readers.
        curves: that it shows; or several choices by name, which differ in their values alone, the first at first.
        levels: to compare with.
        percent: values from 0 to 1 are shown as percent.
        log: offers a logarithmic axis.
        height: as CSS.
    """

    def __init__(
        self,
        title: str,
        curves: Sequence[Curve] | Mapping[str, Sequence[Curve]],
        *,
        levels: Sequence[Level] = (),
        percent: bool = False,
        log: bool = False,
        height: str = "16rem",
    ) -> None:
        self._choices = dict(curves) if isinstance(curves, Mapping) else {"": curves}
        self._chosen = next(iter(self._choices))
        self._known = {choice: self._points(choice, ()) for choice in self._choices}
        with ui.row().classes("w-full items-center justify-between no-wrap"):
            heading(title, 2)
            if self._chosen:
                choice = ui.toggle(list(self._choices), value=self._chosen, on_change=self._choose)
                choice.props("no-caps dense flat role=group").props["aria-label"] = f"Images of {title}"
            if log:
                switch = ui.switch("log axis", on_change=lambda event: self._set_log(bool(event.value)))
                switch.props("dense size=sm").props["aria-label"] = f"Logarithmic axis for {title}"
        self.chart = chart(self._options(levels, percent=percent), height=height, label=f"{title} over the steps")

    def extend(self, rows: Sequence[Row]) -> None:
        """Add the points of new rows."""
        for choice, curves in self._known.items():
            for known, points in zip(curves, self._points(choice, rows), strict=True):
                known.extend(points)
        fresh = self._points(self._chosen, rows)
        if not any(fresh):
            return
        # The options stay as they were sent: every change of them would send all points once more.
        self.chart.client.run_javascript(_ADD.replace("CHART", str(self.chart.id)).replace("FRESH", json.dumps(fresh)))

    def replace(self, rows: Sequence[Row]) -> None:
        """Show these rows and no others."""
        self._known = {choice: self._points(choice, rows) for choice in self._choices}
        self._send()

    def _choose(self, event: Any) -> None:
        self._chosen = str(event.value)
        self._send()

    def _set_log(self, on: bool) -> None:
        self.chart.options["yAxis"]["type"] = "log" if on else "value"
        self._send()

    def _send(self) -> None:
        """The whole chart, with all of its points."""
        for series, points in zip(self.chart.options["series"], self._known[self._chosen], strict=True):
            series["data"] = list(points)
        self.chart.update()

    def _points(self, choice: str, rows: Sequence[Row]) -> list[list[list[float]]]:
        """[step, value] of every curve of a choice."""
        found = [[(row["step"], curve.value(row)) for row in rows] for curve in self._choices[choice]]
        return [[[float(step), value] for step, value in points if value is not None] for points in found]

    def _options(self, levels: Sequence[Level], *, percent: bool) -> dict[str, Any]:
        shown = "value => (100 * value).toFixed(0) + ' %'" if percent else "value => Number(value.toPrecision(4))"
        precise = (
            "value => value == null ? '' : (100 * value).toFixed(2) + ' %'"
            if percent
            else ("value => value == null ? '' : Number(value).toPrecision(4)")
        )
        series: list[dict[str, Any]] = [
            {
                "type": "line",
                "name": curve.name,
                "data": [],
                "color": curve.color,
                "lineStyle": {"color": curve.color, "width": 1.6},
                "itemStyle": {"color": curve.color},
                "symbol": "circle",
                "symbolSize": 4,
                "showSymbol": curve.points,
                "emphasis": {"disabled": True},
            }
            for curve in self._choices[self._chosen]
        ]
        if levels and series:
            series[-1]["markLine"] = {
                "symbol": "none",
                "silent": True,
                "lineStyle": {"type": "dashed", "color": "var(--faint)"},
                "label": {"color": "var(--faint)", "formatter": "{b}"},
                "data": [
                    {
                        "name": level.name,
                        "yAxis": level.value,
                        # Beneath the line where the legend may be over it.
                        "label": {"position": "insideStartBottom" if level.value > 0.5 else "insideStartTop"},
                    }
                    for level in levels
                ],
            }
        icon = {"iconStyle": {"borderColor": "var(--faint)"}}
        return {
            "grid": {"left": 8, "right": 26, "top": 46, "bottom": 46, "containLabel": True},
            "legend": legend(type="scroll", top=18, left=0, right=0, itemWidth=16),
            "xAxis": axis("value", name="step", nameLocation="middle", nameGap=22, min=0, max="dataMax"),
            "yAxis": axis("value", scale=not percent, axisLabel={":formatter": shown}, **_room_for(levels)),
            "tooltip": {"trigger": "axis", "order": "valueDesc", ":valueFormatter": precise},
            "toolbox": {
                "right": 0,
                "top": -4,
                "itemSize": 13,
                "feature": {
                    "dataZoom": {"title": {"zoom": "Zoom into a part", "back": "Zoom back"}, **icon},
                    "restore": {"title": "Everything", **icon},
                    "saveAsImage": {"title": "Save as a picture", "type": "svg", **icon},
                },
            },
            "dataZoom": [{"type": "slider", "height": 14, "bottom": 2, "brushSelect": False, "showDetail": False}],
            "series": series,
        }


class RunCharts:
    """All charts of a run.

    Args:
        facts: classes, and levels to compare with.
        rows: that there are so far.
    """

    def __init__(self, facts: ChartFacts, rows: Sequence[Row]) -> None:
        ui.add_css(STYLE)
        self.charts: list[LiveChart] = []
        self.waiting = ui.label("The first numbers come when the first steps are done.").classes("faint")
        names = list(dict.fromkeys([*(entry.name for entry in facts.classes), *_names_in(rows)]))
        colors = {entry.name: "rgb({}, {}, {})".format(*entry.color) for entry in facts.classes}
        with ui.element("div").classes("run-charts").mark("run-charts") as self.element:
            self._add("Loss", [_train("loss", steps=True), _val("loss")], log=True)
            self._add("Learning rate", [_rate()], log=True)
            for column, title in (("pixel_accuracy", "Pixel accuracy"), ("mean_iou", "Mean IoU")):
                levels = _levels(facts, column)
                self._add(title, [_train(column), _val(column)], levels=levels, percent=True)
            if names:
                curves = {
                    title: [_of_class(name, colors.get(name, "var(--faint)"), split) for name in names]
                    for title, split in (("validation", "val"), ("training", "train"))
                }
                self._add("IoU of every class", curves, percent=True, wide=True)
        self.show(rows)

    def show(self, rows: Sequence[Row]) -> None:
        """These rows and no others: at first, and where a resumed run cut some back."""
        for each in self.charts:
            each.replace(rows)
        self._some(rows)

    def extend(self, rows: Sequence[Row]) -> None:
        """New rows."""
        for each in self.charts:
            each.extend(rows)
        self._some(rows)

    def _some(self, rows: Sequence[Row]) -> None:
        if rows:
            self.waiting.visible = False

    def _add(
        self,
        title: str,
        curves: Sequence[Curve] | Mapping[str, Sequence[Curve]],
        *,
        wide: bool = False,
        **options: Any,
    ) -> None:
        with ui.column().classes("card wide" if wide else "card"):
            self.charts.append(LiveChart(title, curves, height="20rem" if wide else "16rem", **options))


def _train(column: str, *, steps: bool = False) -> Curve:
    """Of training rows; those within an epoch have a learning rate, those at its end have scores."""

    def value(row: Row) -> float | None:
        wanted = row.get("split") == "train" and ("learning_rate" in row) == steps
        return _number(row, column) if wanted else None

    return Curve("training", "var(--curve-train)", value, points=not steps)


def _val(column: str) -> Curve:
    return Curve(
        "validation", "var(--curve-val)", lambda row: _number(row, column) if row.get("split") == "val" else None
    )


def _rate() -> Curve:
    return Curve("learning rate", "var(--curve-train)", lambda row: _number(row, "learning_rate"), points=False)


def _of_class(name: str, color: str, split: str) -> Curve:
    column = f"iou_{name}"
    return Curve(name, color, lambda row: _number(row, column) if row.get("split") == split else None)


def _number(row: Row, column: str) -> float | None:
    value = row.get(column)
    return float(value) if isinstance(value, int | float) else None


def _room_for(levels: Sequence[Level]) -> dict[str, str]:
    """An axis of shares that ends at the next tenth above all curves and levels; by itself it sees curves only."""
    if not levels:
        return {}
    highest = max(level.value for level in levels)
    return {":max": f"value => Math.min(1, Math.ceil(10 * Math.max(value.max, {highest!r}) - 1e-9) / 10)"}


def _levels(facts: ChartFacts, column: str) -> list[Level]:
    found = []
    if column in facts.baselines:
        found.append(Level(f"always {facts.commonest}", facts.baselines[column]))
    if column == "mean_iou" and facts.ceiling is not None:
        found.append(Level("ceiling of the stride", facts.ceiling))
    return found


def _names_in(rows: Sequence[Row]) -> list[str]:
    """Classes that the rows tell of: those of the dataset may have been changed since."""
    return list(dict.fromkeys(name.removeprefix("iou_") for row in rows for name in row if name.startswith("iou_")))
