"""What charts have in common: colours that follow the theme, and nothing that moves."""

from __future__ import annotations

from typing import Any

from nicegui import ui

Options = dict[str, Any]


def chart(options: Options, *, height: str, label: str) -> ui.echart:
    """A chart drawn as SVG, whose text and lines are in the colours of the page, light or dark.

    Args:
        options: of ECharts.
        height: as CSS.
        label: what screen readers say.
    """
    drawn = ui.echart(_completed(options), renderer="svg").style(f"height: {height}; width: 100%")
    drawn.props["role"] = "img"
    drawn.props["aria-label"] = label
    return drawn


def redraw(drawn: ui.echart, options: Options, *, height: str | None = None) -> None:
    """Show something else in the same place: a chart that is taken away before it was drawn makes the browser stumble.

    Args:
        drawn: by `chart`.
        options: of ECharts.
        height: as CSS; as it is if not given.
    """
    drawn.options.clear()
    drawn.options.update(_completed(options))
    if height is not None:
        drawn.style(f"height: {height}")
    drawn.update()


def axis(kind: str, **more: Any) -> Options:
    """An axis in the colours of the page.

    Args:
        kind: "value", "category" or "log".
        more: options of ECharts beside.
    """
    label = {"color": "var(--text)", **more.pop("axisLabel", {})}
    return {
        "type": kind,
        "axisLine": {"lineStyle": {"color": "var(--line)"}},
        "axisTick": {"lineStyle": {"color": "var(--line)"}},
        "splitLine": {"lineStyle": {"color": "var(--line)"}, "show": kind != "category"},
        "nameTextStyle": {"color": "var(--faint)"},
        **more,
        "axisLabel": label,
    }


def legend(**more: Any) -> Options:
    """A legend in the colours of the page."""
    return {"textStyle": {"color": "var(--text)"}, "inactiveColor": "var(--faint)", **more}


def _completed(options: Options) -> Options:
    base: Options = {
        "animation": False,
        "textStyle": {"fontFamily": "inherit", "color": "var(--text)"},
        "tooltip": {"confine": True, "backgroundColor": "var(--soft)", "textStyle": {"color": "var(--text)"}},
    }
    return {**base, **options, "tooltip": {**base["tooltip"], **options.get("tooltip", {})}}
