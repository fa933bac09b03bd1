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
    base: Options = {
        "animation": False,
        "textStyle": {"fontFamily": "inherit", "color": "var(--text)"},
        "tooltip": {"confine": True, "backgroundColor": "var(--soft)", "textStyle": {"color": "var(--text)"}},
    }
    tooltip = {**base["tooltip"], **options.get("tooltip", {})}
    drawn = ui.echart({**base, **options, "tooltip": tooltip}, renderer="svg").style(f"height: {height}; width: 100%")
    drawn.props["role"] = "img"
    drawn.props["aria-label"] = label
    return drawn


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
