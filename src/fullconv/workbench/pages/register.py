"""All pages, by address."""

from __future__ import annotations

from nicegui import ui

from fullconv.workbench.pages import (
    compare,
    dataset,
    dataset_list,
    group,
    home,
    layers,
    model,
    model_list,
    new_dataset,
    new_run,
    prediction,
    run,
    trial,
)


def register_pages() -> None:
    """Tell NiceGUI of every page."""
    ui.page("/")(home.home_page)
    ui.page("/datasets")(dataset_list.dataset_list_page)
    ui.page("/datasets/new")(new_dataset.new_dataset_page)
    ui.page("/datasets/{name}")(dataset.dataset_page)
    ui.page("/layers", response_timeout=30)(layers.layers_page)
    ui.page("/test", response_timeout=30)(trial.trial_page)
    ui.page("/predictions/{name}", response_timeout=30)(prediction.prediction_page)
    ui.page("/runs/new", response_timeout=30)(new_run.new_run_page)
    ui.page("/runs/{name}", response_timeout=30)(run.run_page)
    ui.page("/groups/{name}")(group.group_page)
    ui.page("/compare", response_timeout=30)(compare.compare_page)
    ui.page("/models")(model_list.model_list_page)
    ui.page("/models/{name}", response_timeout=30)(model.model_page)
