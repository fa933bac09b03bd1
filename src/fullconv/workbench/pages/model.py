"""One model: what it knows, how well it does, where it comes from, and what can be done with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from nicegui import ui
from pydantic import ValidationError

from fullconv.errors import FullconvError
from fullconv.workbench.annotations import Annotations
from fullconv.workbench.pages.asking import asked, refuse, tried
from fullconv.workbench.pages.model_facts import (
    STYLE,
    class_sections,
    fact_sections,
    history_section,
    score_section,
)
from fullconv.workbench.pages.questions import ask, ask_for_text
from fullconv.workbench.pages.stacks import add_stack_style
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.model_views import ModelFacts
from fullconv.workbench.services.models import (
    LONGEST_LICENCE,
    NAME_PATTERN,
    ModelChange,
    annotate_model,
    change_model,
    copy_model,
    delete_model,
    model_facts,
)
from fullconv.workbench.stored import PackageKind

_NAMESAKE = (
    "A model of the store has this name too, and is what Compare and New run take by it. Copy this one into the store "
    "under another name to use it there."
)


async def model_page(name: str, kind: str = "") -> None:
    """The page of a model of the store, or of a run's."""
    with frame(name, "/models"):
        add_stack_style()
        ui.add_css(STYLE)
        which: PackageKind | None = "run" if kind == "run" else None
        try:
            facts = await asked(model_facts, bench(), name, which)
        except FullconvError as problem:
            ui.status_code(404)
            heading(name)
            nothing_yet(str(problem), "To the list of models", "/models")
            return
        _head(facts)
        if facts.why_not:
            ui.label(facts.why_not).classes("bad").props("role=alert")
        if facts.namesake:
            ui.label(_NAMESAKE).classes("faint")
        with ui.element("div").classes("model-split"):
            with ui.element("div"):
                class_sections(facts)
                score_section(facts)
                history_section(facts)
            with ui.element("div"):
                fact_sections(facts)
                _licence(facts)
                _notes(facts)


def _head(facts: ModelFacts) -> None:
    writable = not bench().settings.read_only
    place = quote(facts.name)
    with ui.column().style("gap: .15rem; min-width: 0"):
        heading(facts.name)
        what = "Model of a run" if facts.kind == "run" else "Model of the store"
        classes = " and ".join(str(len(head.classes)) for head in facts.heads)
        said = f"{what} · {facts.network} · {classes} classes"
        if facts.scores and facts.scores[0].mean_iou is not None:
            score = facts.scores[0]
            said += f" · {100 * (score.mean_iou or 0):.1f} % mean IoU on {score.dataset}, {score.split}"
        ui.label(said).classes("faint").style("overflow-wrap: anywhere")
    with ui.row().classes("items-center").style("gap: .4rem"):
        if facts.usable:
            _link("Test now", "image_search", f"/test?{facts.kind}={place}", strong=True)
            _link("Layers", "layers", f"/layers?model={place}&kind={facts.kind}")
        if facts.usable and not facts.namesake:
            _link("Compare", "compare", f"/compare?models={place}")
        if len(facts.heads) == 1 and not facts.namesake:
            _link("Use as pretrained", "play_arrow", f"/runs/new?weights={place}")
        if facts.kind == "run":
            _link("The run", "show_chart", f"/runs/{place}")
        _link("Download", "download", f"/api/v1/models/{place}/package?kind={facts.kind}")
        if writable:
            _button("Copy into the store", "inventory_2", lambda: _copy(facts)).mark("copy-model")
        if writable and facts.kind == "model":
            _button("Rename", "edit", lambda: _rename(facts)).mark("rename-model")
            _button("Delete", "delete", lambda: _delete(facts)).mark("delete-model")
        ui.link("JSON", f"/api/v1/models/{place}?kind={facts.kind}").classes("faint")


async def _copy(facts: ModelFacts) -> None:
    wanted = await ask_for_text("Keep a copy in the store", "Name", f"{facts.name}-model"[:100], NAME_PATTERN)
    if wanted:
        made = await tried(copy_model, bench(), facts.name, wanted, kind=facts.kind)
        if made is not None:
            ui.navigate.to(f"/models/{quote(made.name)}")


async def _rename(facts: ModelFacts) -> None:
    wanted = await ask_for_text("Rename this model", "Name", facts.name, NAME_PATTERN)
    if wanted and wanted != facts.name:
        changed = await tried(change_model, bench(), facts.name, ModelChange(name=wanted))
        if changed is not None:
            ui.navigate.to(f"/models/{quote(changed.name)}")


async def _delete(facts: ModelFacts) -> None:
    text = "Its weights and all that is known of it go from this machine."
    if facts.used_by:
        more = " …" if len(facts.used_by) > 5 else ""
        text = f"It cannot be deleted: it is needed by {', '.join(facts.used_by[:5])}{more}."
    if await ask(f"Delete {facts.name}?", text, "Delete", "Keep", possible=not facts.used_by):
        try:
            await asked(delete_model, bench(), facts.name)
        except FullconvError as problem:
            refuse(problem)
            return
        ui.navigate.to("/models")


def _licence(facts: ModelFacts) -> None:
    with ui.row().classes("w-full items-center justify-between"):
        heading("Licence", 2)
        if not bench().settings.read_only:
            edit = ui.button(icon="edit").props('flat round dense aria-label="Change the licence"')
            edit.tooltip("Change the licence").mark("edit-licence")
    shown = ui.label().style("overflow-wrap: anywhere; white-space: pre-wrap").mark("licence")

    def show(licence: str | None) -> None:
        shown.text = licence or "Nothing is said of the licence."
        shown.classes(**{"remove" if licence else "add": "faint"})

    show(facts.licence)
    known = {"licence": facts.licence}

    async def change() -> None:
        wanted = await ask_for_text(
            "Licence of the model", "A name such as CC-BY-4.0, or a text", known["licence"] or "", most=LONGEST_LICENCE
        )
        if wanted is not None:
            changed = await tried(
                change_model, bench(), facts.name, ModelChange(licence=wanted or None), kind=facts.kind
            )
            if changed is not None:
                known["licence"] = changed.licence
                show(changed.licence)

    if not bench().settings.read_only:
        edit.on_click(change)


def _notes(facts: ModelFacts) -> None:
    writable = not bench().settings.read_only
    heading("Tags and note", 2)
    tags = ui.input_chips("Tags", value=list(facts.tags), new_value_mode="add-unique").props("dense maxlength=40")
    note = ui.textarea("Note", value=facts.note).props("outlined autogrow maxlength=20000")
    for field in (tags, note):
        field.classes("w-full").set_enabled(writable)

    async def save() -> None:
        try:
            wanted = Annotations(tags=tuple(tags.value or ()), note=note.value or "")
        except ValidationError as wrong:
            ui.notify(wrong.errors()[0]["msg"].removeprefix("Value error, "), type="negative")
            return
        if await tried(annotate_model, bench(), facts.name, wanted, kind=facts.kind) is not None:
            ui.notify("Saved.", type="positive")

    if writable:
        ui.button("Save", on_click=save).props("no-caps unelevated dense").style(
            "padding: .1rem .8rem; align-self: flex-start"
        )


def _button(text: str, icon: str, action: Callable[[], Awaitable[None]]) -> ui.button:
    return ui.button(text, icon=icon, on_click=action).props("outline no-caps dense")


def _link(text: str, icon: str, address: str, *, strong: bool = False) -> ui.button:
    button = ui.button(text, icon=icon).props(f"tag=a no-caps dense {'unelevated' if strong else 'outline'}")
    button.props["href"] = address
    return button
