"""Figures as SVG, one after the other: settings of matplotlib hold for the whole process, whatever its threads draw."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_drawing = threading.Lock()


def svg_of(make: Callable[[], Figure]) -> str:
    """A figure as an SVG file whose words stay words.

    Args:
        make: draws it.
    """
    from matplotlib import rc_context

    stream = io.StringIO()
    with _drawing, rc_context({"svg.fonttype": "none"}):
        make().savefig(stream, format="svg")
    return stream.getvalue()
