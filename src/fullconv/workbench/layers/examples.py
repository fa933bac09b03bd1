"""A layer and a page of tiles as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Any

LAYER_EXAMPLE: dict[str, Any] = {
    "name": "features.features.0",
    "operation": "Conv2d",
    "main": True,
    "channels": 64,
    "rows": 119,
    "columns": 159,
    "kernel": [3, 3],
    "step": [2, 2],
    "padding": [0, 0],
    "dilation": [1, 1],
    "parameters": 1792,
    "multiply_adds": 32694848,
    "stride": [2.0, 2.0],
    "offset": [1.0, 1.0],
    "receptive_field": [3, 3],
    "whole": [],
    "statistics": {
        "mean": 0.02,
        "std": 0.61,
        "least": -3.1,
        "greatest": 4.2,
        "zeros": 0.0,
        "constant": 0,
        "histogram": [1, 4, 9, 4, 1],
        "broken": 0,
    },
    "filters": True,
    "fully_connected": False,
    "channel_names": None,
}
SHEET_EXAMPLE: dict[str, Any] = {
    "first": 0,
    "count": 32,
    "total": 64,
    "pages": 2,
    "across": 8,
    "width": 128,
    "height": 96,
    "gap": 2,
    "rows": 119,
    "columns": 159,
}
