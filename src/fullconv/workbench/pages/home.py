"""Home: what runs, what there is, what the machine does."""

from __future__ import annotations

from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet


def home_page() -> None:
    """The first page."""
    with frame("Home", "/"):
        heading("Home")
        if not bench().catalogue.entries("dataset"):
            nothing_yet("No dataset yet.", "Make one of a folder of images and labels", "/datasets/new")
