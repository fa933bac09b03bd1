"""What is wrong with a dataset, by severity, with what to do; and pictures that occur twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

from nicegui import ui

from fullconv.data.problems import Problem
from fullconv.workbench.opened import OpenedDataset
from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.explorer import THUMBNAIL, image_address
from fullconv.workbench.pages.stacks import Stack
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.services.dataset_images import copies_of
from fullconv.workbench.services.datasets import DatasetFacts

GROUPS = (
    ("error", "Errors", "error", "bad"),
    ("warning", "Warnings", "warning", ""),
    ("note", "Notes", "info", "faint"),
)
_SHOWN_FILES = 12
_LISTED = 100
"""Files that a problem names; of more only the count is known."""
_SHOWN_COPIES = 60


def problem_list(problems: Sequence[Problem], action: Callable[[Problem], None] | None = None) -> None:
    """All problems, grouped by how grave they are.

    Args:
        action: puts more beside a problem, such as a button.
    """
    if not problems:
        with ui.row().classes("items-center no-wrap").style("gap: .5rem"):
            ui.icon("check_circle").classes("good")
            ui.label("Nothing is wrong.")
        return
    for severity, title, icon, css in GROUPS:
        found = [problem for problem in problems if problem.severity == severity]
        if not found:
            continue
        heading(f"{title} ({len(found)})", 2)
        with ui.element("ul").classes("w-full").style("list-style: none; padding: 0; margin: 0"):
            for problem in found:
                with ui.element("li").classes("row no-wrap items-start q-mb-sm").style("gap: .6rem"):
                    ui.icon(icon, size="1.2rem").classes(css)
                    with ui.column().style("gap: .1rem; min-width: 0"):
                        ui.label(problem.message).style("overflow-wrap: anywhere")
                        ui.label(f"{problem.kind.replace('-', ' ')} · {problem.where}").classes("faint").style(
                            "overflow-wrap: anywhere; font-size: .85rem"
                        )
                        ui.label(f"→ {problem.remedy}").style("overflow-wrap: anywhere")
                        if action is not None:
                            action(problem)
                        _files(problem)


def _files(problem: Problem) -> None:
    if len(problem.files) > 1:
        count = len(problem.files) if len(problem.files) < _LISTED else problem.count
        with ui.expansion(f"{count:,} files").props("dense").style("font-size: .85rem"):
            for file in problem.files[:_SHOWN_FILES]:
                ui.label(file).style("overflow-wrap: anywhere")
            if count > _SHOWN_FILES:
                ui.label(f"and {count - _SHOWN_FILES:,} more").classes("faint")


def problems_tab(facts: DatasetFacts) -> None:
    """The problems of a dataset, with links to the images that they concern."""

    def link(problem: Problem) -> None:
        if problem.files:
            ui.link("Show the images", f"/datasets/{quote(facts.name)}?problem={quote(problem.kind)}")

    problem_list(facts.problems, link)


async def copies_tab(opened: OpenedDataset) -> None:
    """Groups of images that show the same picture."""
    groups = await asked(copies_of, bench(), opened.name)
    if not groups:
        said = "No picture occurs twice."
        if not opened.index.complete:
            said = "The pictures are still being compared; look again when the classes are counted."
        ui.label(said).classes("faint")
        return
    ui.label(f"{len(groups):,} pictures occur more than once.")
    for group in groups[:_SHOWN_COPIES]:
        apart = len({image.split for image in group}) > 1
        with ui.column().classes("card").style("gap: .5rem"):
            if apart:
                ui.label("In different splits: scores will be too good.").classes("bad")
            with ui.element("div").classes("thumbs"):
                for image in group[:12]:
                    address = image_address(opened.name, image.number)
                    with ui.link(target=f"/datasets/{quote(opened.name)}?image={image.number}").classes("thumb"):
                        Stack(
                            address, size=THUMBNAIL, version=opened.version, name="", ratio=image.width / image.height
                        )
                        with ui.element("span").classes("name"):
                            ui.label(f"\u200e{image.key} · {image.split}").style("display: inline")
    if len(groups) > _SHOWN_COPIES:
        ui.label(f"and {len(groups) - _SHOWN_COPIES:,} more; all of them as JSON below.").classes("faint")
    ui.link("JSON", f"/api/v1/datasets/{quote(opened.name)}/copies").classes("faint")
