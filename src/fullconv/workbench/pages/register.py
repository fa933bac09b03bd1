"""All pages, by address."""

from __future__ import annotations

from nicegui import ui

from fullconv.workbench.pages import dataset, dataset_list, home, layers, new_dataset, trial


def register_pages() -> None:
    """Tell NiceGUI of every page."""
    ui.page("/")(home.home_page)
    ui.page("/datasets")(dataset_list.dataset_list_page)
    ui.page("/datasets/new")(new_dataset.new_dataset_page)
    ui.page("/datasets/{name}")(dataset.dataset_page)
    ui.page("/layers")(layers.layers_page)
    ui.page("/test")(trial.trial_page)
