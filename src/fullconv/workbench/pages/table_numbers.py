"""Numbers in tables: rows hold them as numbers, so that they are sorted as such, and the browser writes them out."""

from __future__ import annotations

from typing import Any


def percent_column(name: str, label: str, **more: Any) -> dict[str, Any]:
    """A column of shares from 0 to 1, shown as percent; – for none.

    >>> percent_column("mean_iou", "Mean IoU", classes="wide")["classes"]
    'wide'
    """
    return _column(name, label, "(100 * value).toFixed(1) + ' %'", more)


def score_column(name: str, label: str, **more: Any) -> dict[str, Any]:
    """A column of shares from 0 to 1, shown with three decimals; – for none."""
    return _column(name, label, "value.toFixed(3)", more)


def _column(name: str, label: str, shown: str, more: dict[str, Any]) -> dict[str, Any]:
    told = f"(value) => value === null || value === undefined ? '–' : {shown}"
    return {"name": name, "label": label, "field": name, "align": "right", "sortable": True, ":format": told, **more}
