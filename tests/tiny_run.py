"""Settings of a run that takes a second or two."""

from __future__ import annotations

from typing import Any

TINY: dict[str, Any] = {
    "network": "fcn8s-squeezenet1_1",
    "weights": "random",
    "views": 1,
    "batch_size": 4,
    "crop": [64, 64],
    "workers": 0,
    "precision": "fp32",
    "device": "cpu",
}
"""All but the epochs."""
