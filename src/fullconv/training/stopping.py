"""How a run is told to stop."""

from __future__ import annotations


class StopRequested(Exception):
    """The person pressed Ctrl-C; raised between two steps."""
