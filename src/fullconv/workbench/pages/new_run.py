"""A new run: everything about it as a form and as text, with what it would take here."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from fullconv.errors import FullconvError
from fullconv.training.settings.experiment import DEFAULT_NETWORK
from fullconv.workbench.mistakes import WrongField, WrongFields
from fullconv.workbench.pages.accessible_names import name_editor
from fullconv.workbench.pages.asking import asked, refuse, tried
from fullconv.workbench.pages.network_choice import NetworkChoice
from fullconv.workbench.pages.plan_draft import PlanDraft, line_of
from fullconv.workbench.pages.plan_fields import PlanForm
from fullconv.workbench.pages.plan_summary import PlanSummary, RateCurve, memory_text
from fullconv.workbench.pages.sample_preview import SamplePreview
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.plan_form import SECTIONS, form_fields
from fullconv.workbench.services.plans import PlanView, start_forecast, view_plan
from fullconv.workbench.services.run_starting import Started, clone_of, start_runs

PAUSE_SECONDS = 0.4
"""How long nothing was changed before a plan is looked at."""
MEMORY_SECONDS = 1.0
OWN = ("dataset", "network", "weights")
"""Fields with a way of their own to choose."""
STYLE = """
.new-run { display: grid; gap: 1rem; width: 100%; grid-template-columns: minmax(0, 1fr) minmax(20rem, 30rem);
  align-items: start }
.new-run .side { position: sticky; top: 4rem; max-height: calc(100vh - 5rem); overflow: auto }
.new-run .nicegui-codemirror, .new-run .cm-editor { width: 100% }
.wrong-line { background: color-mix(in srgb, var(--bad) 22%, transparent) !important }
.as-text { white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: .85rem;
  background: var(--soft); padding: .6rem; border-radius: 6px; width: 100%; max-height: 24rem; overflow: auto }
@media (max-width: 1000px) {
  .new-run { grid-template-columns: minmax(0, 1fr) } .new-run .side { position: static; max-height: none } }
"""


async def new_run_page(request: Request) -> None:
    """The page; `dataset`, `network`, `weights` or `clone`, the name of a run, may be in the address."""
    with frame("New run", "/runs/new"):
        with ui.row().classes("w-full items-center justify-between"):
            heading("New run")
            ui.link("JSON", "/api/v1/plans/fields").classes("faint")
        names = await asked(_datasets)
        if not names:
            await asked(bench().catalogue.refresh)  # one that was made just now
            names = await asked(_datasets)
        if not names:
            nothing_yet(
                "There is no dataset to train on yet.", "Make one of a folder of images and labels", "/datasets/new"
            )
            return
        given = request.query_params
        settings: dict[str, Any] = {key: given[key] for key in OWN if given.get(key)}
        if given.get("clone"):
            try:
                settings = (await asked(clone_of, bench(), given["clone"])).experiment | settings
                ui.label(f"As {given['clone']} was planned; change what you like.").classes("faint")
            except FullconvError as problem:
                ui.label(str(problem)).classes("bad").props('role="alert"')
        settings.setdefault("dataset", names[0])
        _NewRun(PlanDraft(settings), names, await asked(_known_weights))


class _NewRun:
    def __init__(self, draft: PlanDraft, datasets: list[str], weights: list[str]) -> None:
        ui.add_css(STYLE)
        self.draft, self._known_weights = draft, weights
        self.version = 1
        self._checked = self._priced = 0
        self._changed_at = 0.0
        self._looking: dict[bool, bool] = {False: False, True: False}
        """Whether somebody looks at the plan now, without and with its memory."""
        self._loading = False
        self.view: PlanView | None = None
        self.networks = NetworkChoice(self._price, self._forecast_with)
        with ui.element("div").classes("new-run"):
            with ui.column().classes("w-full").style("gap: 1rem"):
                self._form(datasets)
            with ui.column().classes("card side").style("gap: .8rem"):
                self._side()
        self.form.show()
        self._show_own()
        self.timer = ui.timer(0.2, self._tick)

    def _form(self, datasets: list[str]) -> None:
        self.form = PlanForm(self.draft, self._form_changed)
        with ui.column().classes("card"):
            heading("Data and network", 2)
            self._own_fields(datasets)
            self.form.add([field for field in form_fields() if field.path == "recipe"])
        for section in list(SECTIONS)[1:]:
            fields = [field for field in form_fields() if field.section == section and field.path not in OWN]
            opened = section in ("Training", "Optimiser")
            with (
                ui.expansion(section, value=opened)
                .classes("card q-pa-none w-full")
                .props("header-class=text-weight-bold")
            ):
                if section == "Optimiser":
                    self.curve = RateCurve()
                if section == "Augmentation":
                    self.samples = SamplePreview(lambda: deepcopy(self.draft.settings))
                self.form.add(fields)

    def _own_fields(self, datasets: list[str]) -> None:
        with ui.element("div").classes("plan-fields"):
            with ui.column().classes("plan-field"):
                chosen = str(self.draft.get("dataset") or "")
                options = datasets if chosen in datasets else [*datasets, chosen]
                self.dataset = ui.select(options, label="dataset").props(
                    "dense outlined hide-bottom-space options-dense"
                )
                self.dataset.without_auto_validation().mark("field-dataset")
                ui.link("Another one", "/datasets/new").classes("help")
            with ui.column().classes("plan-field"):
                self.network = ui.input("network", placeholder=DEFAULT_NETWORK).without_auto_validation()
                self.network.props("dense outlined hide-bottom-space stack-label debounce=350 maxlength=2000")
                self.network.props("spellcheck=false").mark("field-network")
                with self.network.add_slot("append"):
                    choose = ui.button(icon="search", on_click=self._choose_network).props("flat round dense")
                    choose.props["aria-label"] = "Choose from the catalogue"
                    choose.mark("choose-network")
                code = (
                    " Or a Python file, as /nets/my_net.py:build."
                    if bench().settings.allow_code
                    else " One in a Python file needs a workbench that was started with --allow-code."
                )
                ui.label(f"Of the catalogue; several with commas make a run of each.{code}").classes("help")
            with ui.column().classes("plan-field"):
                self.weights = ui.input(
                    "weights", placeholder="auto", autocomplete=self._known_weights
                ).without_auto_validation()
                self.weights.props("dense outlined hide-bottom-space stack-label debounce=350 maxlength=4096")
                self.weights.props("spellcheck=false").mark("field-weights")
                ui.label(
                    "What it starts from: auto or imagenet, random, the name of a model or of an earlier run, or the "
                    "path of a .safetensors file on the server."
                ).classes("help")
        for name, element in (("dataset", self.dataset), ("network", self.network), ("weights", self.weights)):
            element.on_value_change(lambda event, n=name: self._own_said(n, event.value))

    def _side(self) -> None:
        heading("The plan", 2)
        self.start = ui.button("Start", icon="play_arrow", on_click=self._start).props("no-caps unelevated")
        self.start.classes("w-full").mark("start-run")
        self.started = ui.column().classes("w-full")
        self.summary = PlanSummary(self._use_batch, self._forecast)
        with ui.tabs().props("no-caps dense align=left").classes("w-full") as tabs:
            ui.tab("asked", "As YAML")
            ui.tab("whole", "As it would run")
        with ui.tab_panels(tabs, value="asked", animated=False).classes("w-full").style("background: transparent"):
            with ui.tab_panel("asked").classes("q-pa-none q-pt-sm"):
                ui.label(
                    "What you say; the rest is decided from the data and the machine. Edit it here or in the form."
                ).classes("help faint")
                self.editor = ui.codemirror(self.draft.text, language="YAML", indent="  ", line_wrapping=True)
                self.editor.style("height: auto; min-height: 9rem; max-height: 24rem").mark("plan-yaml")
                self.editor.on_value_change(self._text_changed)
                name_editor(self.editor, "The plan as YAML")
            with ui.tab_panel("whole").classes("q-pa-none q-pt-sm"):
                self.whole = ui.label().classes("as-text").props("tabindex=0").mark("plan-whole")
        if bench().settings.read_only:
            self.start.disable()

    def _form_changed(self) -> None:
        if self._loading:
            return
        self._touch()
        self._loading = True
        self.editor.value = self.draft.text
        self._loading = False

    def _own_said(self, name: str, value: Any) -> None:
        if self._loading:
            return
        parts = [part.strip() for part in str(value or "").split(",") if part.strip()]
        self.draft.put(name, None if not parts else parts[0] if len(parts) == 1 else parts)
        self._form_changed()

    def _text_changed(self, event: Any) -> None:
        if self._loading or event.value == self.draft.text:
            return
        try:
            self.draft.read(str(event.value or ""))
        except WrongFields as problem:
            self._refuse(problem.errors)
            return
        self._touch()
        self._show_form()

    def _show_form(self) -> None:
        self._loading = True
        self.form.show()
        self._show_own()
        self._loading = False

    def _show_own(self) -> None:
        self._loading = True
        for name, element in (("network", self.network), ("weights", self.weights)):
            value = self.draft.get(name)
            element.value = ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
        dataset = str(self.draft.get("dataset") or "")
        if dataset and dataset not in self.dataset.options:
            self.dataset.set_options([*self.dataset.options, dataset])
        self.dataset.value = dataset or None
        self._loading = False

    def _touch(self) -> None:
        self.version += 1
        self._changed_at = time.monotonic()
        self.summary.forget_time()
        self.samples.outdate()

    async def _tick(self) -> None:
        """Look at the plan when nothing was changed for a moment; then, after another one, at its memory."""
        quiet = time.monotonic() - self._changed_at
        if self._checked != self.version:
            if quiet > PAUSE_SECONDS and not self._looking[False]:
                await self._look(memory=False)
        elif self._priced != self.version and self.view is not None and quiet > MEMORY_SECONDS:
            self.summary.show_memory(None, 0)
            if not self._looking[True]:
                await self._look(memory=True)

    async def _look(self, *, memory: bool) -> None:
        self._looking[memory] = True
        version = self.version
        try:
            view = await asked(view_plan, bench(), deepcopy(self.draft.settings), memory=memory)
        except WrongFields as problem:
            if version == self.version:
                self._checked = version
                self._refuse(problem.errors)
            return
        except FullconvError as problem:
            self._checked = version
            self._refuse([WrongField(field="", message=str(problem))])
            return
        finally:
            self._looking[memory] = False
        if version != self.version:
            return
        self._checked = version
        self._show(view)
        if memory:
            self._priced = version
            self.summary.show_memory(view.memory, int(view.plan["batch_size"]))

    def _show(self, view: PlanView) -> None:
        self.view = view
        self._complain({})
        self.editor.decorations = []
        self.summary.show(view)
        self.curve.show(view.curve)
        self.form.show_decided(view.plan)
        self.whole.text = view.yaml
        self.start.text = f"Start {view.runs} runs" if view.runs > 1 else "Start"
        self.start.set_enabled(not bench().settings.read_only)

    def _refuse(self, errors: Any) -> None:
        self.view = None
        found: dict[str, str] = {}
        for error in errors:
            found[error.field] = f"{found[error.field]}; {error.message}" if error.field in found else error.message
        left = self._complain(found)
        self.summary.refuse(left, len(found))
        self.start.disable()
        lines = {line_of(self.editor.value or "", path) for path in found} - {None}
        self.editor.decorations = [{"kind": "line", "line": line, "class": "wrong-line"} for line in sorted(lines)]  # type: ignore[type-var]

    def _complain(self, errors: dict[str, str]) -> list[str]:
        left = dict(errors)
        for name, element in (("dataset", self.dataset), ("network", self.network), ("weights", self.weights)):
            element.error = left.pop(name, None)
        return self.form.complain(left)

    def _use_batch(self, batch: int) -> None:
        self.draft.put("batch_size", batch)
        self._show_form()
        self._form_changed()

    async def _choose_network(self) -> None:
        present = self.draft.get("network") or DEFAULT_NETWORK
        chosen = await self.networks.choose(present if isinstance(present, list) else [present])
        if chosen:
            self.draft.put("network", chosen[0] if len(chosen) == 1 else chosen)
            self._show_form()
            self._form_changed()

    async def _price(self, name: str) -> str:
        """What the plan would take with another network."""
        settings = deepcopy(self.draft.settings) | {"network": name}
        try:
            view = await asked(view_plan, bench(), settings)
        except FullconvError as problem:
            return str(problem)
        assert view.memory is not None
        return memory_text(view.memory, int(view.plan["batch_size"]))

    async def _forecast(self) -> int | None:
        return await self._time(deepcopy(self.draft.settings))

    async def _forecast_with(self, name: str) -> int | None:
        return await self._time(deepcopy(self.draft.settings) | {"network": name})

    @staticmethod
    async def _time(settings: dict[str, Any]) -> int | None:
        """The job that times a plan."""
        job = await tried(start_forecast, bench(), settings)
        return None if job is None else job.id

    async def _start(self) -> None:
        self.start.disable()
        self.start.props("loading")
        try:
            started = await asked(start_runs, bench(), deepcopy(self.draft.settings))
        except WrongFields as problem:
            self._refuse(problem.errors)
            return
        except FullconvError as problem:
            refuse(problem)
            self.start.enable()
            return
        finally:
            self.start.props(remove="loading")
        if len(started.runs) == 1:
            ui.navigate.to(f"/runs/{quote(started.runs[0])}")
        else:
            self._show_started(started)
            self.start.enable()

    def _show_started(self, started: Started) -> None:
        self.started.clear()
        with self.started, ui.column().classes("notice").props('role="status"').style("gap: .2rem"):
            ui.label(f"{len(started.jobs)} runs of the group {started.group} wait in the queue.")
            for name in started.runs:
                ui.link(name, f"/runs/{quote(name)}").style("overflow-wrap: anywhere")


def _datasets() -> list[str]:
    return [entry.name for entry in bench().catalogue.entries("dataset") if entry.problem is None]


def _known_weights() -> list[str]:
    """What is offered: kinds by name, models, and runs that have one."""
    kept = [*bench().catalogue.entries("model"), *bench().catalogue.entries("weights")]
    models = [entry.name for entry in kept if entry.problem is None]
    runs = [entry.name for entry in bench().catalogue.entries("run") if entry.state == "done"]
    return ["auto", "imagenet", "random", *models, *runs[:200]]
