"""A dataset in charts: shares of the classes, sizes of the images, what a stride can reach."""

from __future__ import annotations

from math import floor, log10

from nicegui import ui

from fullconv.workbench.pages.accessible_names import sort_by_keyboard
from fullconv.workbench.pages.charts import Options, axis, chart, legend, redraw
from fullconv.workbench.pages.stacks import swatch
from fullconv.workbench.services.dataset_facts import ClassFacts, Facts

SHADES = {"train": 1.0, "val": 0.65, "test": 0.4}
_LEAST = 1e-4
"""Percent at which a logarithmic axis begins, at the latest."""


def class_chart(facts: Facts) -> None:
    """Share of each class in each split, in the colours of the classes; the axis may be logarithmic."""
    logarithmic = ui.switch("Logarithmic axis", value=False)
    height = f"{max(14, 2.1 * len(facts.classes) + 5):.0f}rem"
    drawn = chart(_class_options(facts, logarithmic=False), height=height, label="Share of each class by split")
    drawn.mark("class-chart")

    def switch() -> None:
        redraw(drawn, _class_options(facts, logarithmic=bool(logarithmic.value)))

    logarithmic.on_value_change(switch)


def class_table(facts: Facts) -> None:
    """Classes with their numbers; on a narrow screen those of the splits are in the chart alone."""
    ui.add_css("@media (max-width: 700px) { .class-table .wide { display: none } }")
    splits = list(facts.splits)
    columns = [
        {"name": "name", "label": "Class", "field": "name", "align": "left", "sortable": True},
        {"name": "value", "label": "Id", "field": "value", "sortable": True},
        {"name": "share", "label": "Share", "field": "share", "sortable": True, ":format": _PERCENT},
        *(
            {"name": split, "label": split, "field": split, "sortable": True, ":format": _PERCENT, **_WIDE}
            for split in splits
        ),
        {"name": "images", "label": "Images", "field": "images", "sortable": True},
    ]
    table = ui.table(rows=[_class_row(entry, splits) for entry in facts.classes], columns=columns, row_key="name")
    table.classes("w-full class-table").props("flat dense wrap-cells").style("background: transparent")
    sort_by_keyboard(table).add_slot("body-cell-name", _NAME_CELL)


def _class_row(entry: ClassFacts, splits: list[str]) -> dict[str, object]:
    red, green, blue = entry.color
    shares = {split: entry.splits[split].share if split in entry.splits else None for split in splits}
    color = f"rgb({red}, {green}, {blue})"
    own = {"name": entry.name, "color": color, "value": entry.value, "share": entry.share, "images": entry.images}
    return {**own, **shares}


_PERCENT = "(value) => value === null ? '' : (100 * value).toPrecision(3) + '\\u00a0%'"
_WIDE = {"classes": "wide", "headerClasses": "wide"}
_NAME_CELL = (
    '<q-td :props="props"><span class="row no-wrap items-center" style="gap: .35rem"><span class="swatch" '
    ':style="{background: props.row.color}"></span><span>{{ props.value }}</span></span></q-td>'
)


def ignored_classes(facts: Facts) -> None:
    """Classes that do not count, if there are any."""
    if facts.ignored:
        with ui.row().classes("items-center").style("gap: .3rem .8rem"):
            ui.label("Ignored:").classes("faint")
            for entry in facts.ignored:
                with ui.row().classes("items-center no-wrap").style("gap: .35rem"):
                    swatch(entry.color)
                    ui.label(entry.name)


def size_chart(facts: Facts) -> None:
    """How many images have which size."""
    points = [[width, height, count] for height, width, count in facts.sizes]
    largest = max(count for _, _, count in points)
    symbols = [8 + 32 * (count / largest) ** 0.5 for _, _, count in points]
    options = {
        "grid": {"left": 60, "right": 30, "top": 30, "bottom": 50},
        "tooltip": {":formatter": "(point) => `${point.value[0]}×${point.value[1]}: ${point.value[2]} images`"},
        "xAxis": axis("value", name="width", nameLocation="middle", nameGap=28, scale=True),
        "yAxis": axis("value", name="height", scale=True),
        "series": [
            {
                "type": "scatter",
                "data": [
                    {"value": point, "symbolSize": size, "itemStyle": {"color": "var(--accent)", "opacity": 0.7}}
                    for point, size in zip(points, symbols, strict=True)
                ],
            }
        ],
    }
    chart(options, height="20rem", label="Sizes of the images")


def stride_chart(facts: Facts) -> None:
    """The mean IoU that the labels themselves reach at each output stride, beside the commonest-class baseline."""
    strides = sorted(facts.stride_ceiling)
    values = [round(100 * facts.stride_ceiling[stride], 2) for stride in strides]
    series: Options = {
        "type": "bar",
        "data": values,
        "barMaxWidth": 60,
        "itemStyle": {"color": "var(--accent)"},
        "label": {
            "show": True,
            "position": "top",
            "color": "var(--text)",
            ":formatter": "(bar) => bar.value.toFixed(1) + ' %'",
        },
    }
    if facts.commonest is not None:
        baseline = round(100 * facts.commonest.mean_iou, 2)
        series["markLine"] = {
            "symbol": "none",
            "silent": True,
            "lineStyle": {"color": "var(--bad)"},
            "data": [{"yAxis": baseline}],
            "label": {"show": False},
        }
    options = {
        "grid": {"left": 55, "right": 20, "top": 30, "bottom": 50},
        "xAxis": axis(
            "category",
            data=[str(stride) for stride in strides],
            name="output stride",
            nameLocation="middle",
            nameGap=30,
        ),
        "yAxis": axis("value", name="mean IoU", max=100, axisLabel={"formatter": "{value} %"}),
        "series": [series],
    }
    chart(options, height="20rem", label="Mean IoU that labels of each stride reach")
    if facts.commonest is not None:
        always = f"{facts.commonest.name}, {100 * facts.commonest.mean_iou:.1f} %"
        ui.label(f"Dashed: always saying {always}.").classes("faint")


def _class_options(facts: Facts, *, logarithmic: bool) -> Options:
    entries = list(facts.classes)[::-1]  # charts begin at the bottom
    series = []
    for split in facts.splits:
        shares = [100 * entry.splits[split].share if split in entry.splits else 0.0 for entry in entries]
        series.append(
            {
                "type": "bar",
                "name": split,
                "itemStyle": {"color": "var(--faint)", "opacity": SHADES[split]},
                "data": [
                    {
                        "value": None if logarithmic and not share else float(f"{share:.4g}"),
                        "itemStyle": {
                            "color": "rgb({}, {}, {})".format(*entry.color),
                            "opacity": SHADES[split],
                            "borderColor": "var(--faint)",
                            "borderWidth": 0.5,
                        },
                    }
                    for entry, share in zip(entries, shares, strict=True)
                ],
            }
        )
    least = min((entry.share for entry in entries if entry.share), default=_LEAST / 100) * 100
    begin = max(_LEAST, 10.0 ** _exponent(least))
    start = {"min": begin, "startValue": begin} if logarithmic else {}
    return {
        "grid": {"left": 8, "right": 30, "top": 40, "bottom": 8, "containLabel": True},
        "legend": legend(data=list(facts.splits), top=0),
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}, ":valueFormatter": _SHOWN},
        "xAxis": axis("log" if logarithmic else "value", axisLabel={"formatter": "{value} %"}, **start),
        "yAxis": axis("category", data=[entry.name for entry in entries]),
        "series": series,
    }


_SHOWN = "(value) => value === undefined || value === null ? 'none' : value + ' %'"


def _exponent(value: float) -> int:
    return floor(log10(value)) if value > 0 else -4
