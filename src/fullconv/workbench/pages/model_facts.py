"""What a package says, in tables: classes with their scores, geometry, files, history."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fullconv.prediction.comparison_facts import SCORES
from fullconv.workbench.pages.theme import heading
from fullconv.workbench.services.model_views import ModelFacts, ModelHead

STYLE = """
.model-split { display: grid; gap: 1rem 2.5rem; width: 100%; grid-template-columns: minmax(0, 1fr) }
@media (min-width: 900px) { .model-split { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) } }
.model-split > div { min-width: 0; display: flex; flex-direction: column; gap: .6rem }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .25rem 1rem; margin: 0 }
.facts dt { color: var(--faint) } .facts dd { margin: 0; overflow-wrap: anywhere }
@media (max-width: 600px) { .facts { grid-template-columns: minmax(0, 1fr); gap: 0 }
  .facts dd { margin-bottom: .4rem } }
.iou { display: grid; grid-template-columns: auto minmax(5rem, max-content) minmax(3rem, 22rem) auto auto;
  gap: .25rem .7rem; align-items: center }
.iou .track { height: .8rem; background: var(--soft); border: 1px solid var(--line); border-radius: 3px;
  overflow: hidden; display: block }
.iou .fill { display: block; height: 100% }
.iou .number { text-align: right; font-variant-numeric: tabular-nums }
.happened { display: flex; flex-direction: column; gap: .5rem; padding: 0; margin: 0; list-style: none }
"""


def class_sections(facts: ModelFacts) -> None:
    """Classes of each head in their colours, with IoU where they were scored."""
    for head in facts.heads:
        heading("Classes" if head.name is None else f"Classes of the head {head.name}", 2)
        _classes(head)
    if len(facts.heads) > 1:
        ui.label(
            "The network has several heads: pages and REST ask for the first unless another one is named. "
            "Runs do not start from such a model, but from its weight file."
        ).classes("faint")


def fact_sections(facts: ModelFacts) -> None:
    """Network, geometry and files."""
    geometry = facts.geometry
    heading("Network", 2)
    rows: list[tuple[str, str]] = [("Network", facts.network)]
    if facts.parameters is not None:
        rows.append(("Parameters", f"{facts.parameters / 1e6:.2f} million"))
    if facts.members > 1:
        rows.append(("Members", f"{facts.members} networks that vote"))
    if facts.needs_code:
        rows.append(("Code", "a Python file in the package, which is run when the model is opened"))
    rows.append(("Images", f"{facts.channels} channel{'' if facts.channels == 1 else 's'}, {facts.dtype}"))
    if facts.resize:
        rows.append(("Size", facts.resize))
    rows.append(("Output stride", f"{geometry.stride} pixels"))
    if geometry.reach is not None:
        up, down, left, right = geometry.reach
        rows.append(("Reach", f"{up} up, {down} down, {left} left, {right} right: what an output can read"))
        rows.append(("Exact tiles", f"from multiples of {geometry.total_stride} pixels"))
    else:
        why = "; ".join(geometry.obstacles[:3]) or "its geometry is not known"
        rows.append(("Reach", f"the whole image ({why})"))
    rows.append(("Made with", facts.made_with))
    _facts(rows)
    heading("Files", 2)
    _facts([(file.name, f"{_size(file.size)}{', ' + file.about if file.about else ''}") for file in facts.files])
    if facts.used_by:
        heading("Needed by", 2)
        for user in facts.used_by[:20]:
            kind, _, name = user.partition(" ")
            ui.link(user, f"/{'runs' if kind == 'run' else 'models'}/{name}").style("overflow-wrap: anywhere")
        if len(facts.used_by) > 20:
            ui.label(f"and {len(facts.used_by) - 20} more").classes("faint")


def history_section(facts: ModelFacts) -> None:
    """What happened to it, the latest first."""
    heading("History", 2)
    if not facts.history:
        ui.label("Nothing is known of it.").classes("faint")
    with ui.element("ol").classes("happened"):
        for entry in reversed(facts.history[-50:]):
            with ui.element("li"):
                ui.label(f"{entry.what[:1].upper()}{entry.what[1:]}")
                details = ", ".join(f"{name} {value}" for name, value in entry.details.items())
                said = entry.when.replace("T", " ")[:16] + (f" · {details}" if details else "")
                ui.label(said).classes("faint").style("overflow-wrap: anywhere")


def _classes(head: ModelHead) -> None:
    with ui.element("div").classes("iou").props('role="list"'):
        for entry in head.classes:
            red, green, blue = entry.color
            color = f"background: rgb({red}, {green}, {blue})"
            ui.element("span").classes("swatch").style(color)
            ui.label(entry.name).style("overflow-wrap: anywhere").props("role=listitem")
            if entry.iou is None:
                ui.element("span")
                ui.element("span")
            else:
                with ui.element("span").classes("track").props("aria-hidden=true"):
                    ui.element("span").classes("fill").style(f"{color}; width: {100 * entry.iou:.1f}%")
                ui.label(f"IoU {100 * entry.iou:.1f} %").classes("number")
            ui.label(f"id {entry.value}").classes("faint number")
    if head.ignored:
        ui.label(f"Ignored: {', '.join(entry.name for entry in head.ignored)}").classes("faint")


def score_section(facts: ModelFacts) -> None:
    """Scores with the images that they are of."""
    heading("Scores", 2)
    if not facts.scores:
        ui.label("It was not scored.").classes("faint")
        return
    columns: list[dict[str, Any]] = [
        {"name": "where", "label": "Images", "field": "where", "align": "left"},
        *({"name": field, "label": name[0].upper() + name[1:], "field": field} for field, name in SCORES),
    ]
    rows = []
    for score in facts.scores:
        where = f"{score.images:,} of {score.dataset}, {score.split}"
        values = {field: getattr(score, field) for field, _ in SCORES}
        rows.append({"where": where, **{field: _percent(value) for field, value in values.items()}})
    table = ui.table(rows=rows, columns=columns, row_key="where").classes("w-full")
    table.props("flat dense wrap-cells hide-pagination").style("background: transparent")


def _facts(rows: list[tuple[str, str]]) -> None:
    with ui.element("dl").classes("facts"):
        for name, text in rows:
            with ui.element("dt"):
                ui.label(name)
            with ui.element("dd"):
                ui.label(text)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"
