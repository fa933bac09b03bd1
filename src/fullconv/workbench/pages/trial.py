"""The page Test: what a model says of an image, of many, or of a whole dataset."""

from __future__ import annotations

from urllib.parse import urlencode

from nicegui import context, ui
from starlette.datastructures import QueryParams

from fullconv.errors import FullconvError
from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.many_images import ManyImages
from fullconv.workbench.pages.scoring import Scoring
from fullconv.workbench.pages.stacks import add_stack_style
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.pages.trial_images import STYLE as IMAGES_STYLE
from fullconv.workbench.pages.trial_images import ImageChoice
from fullconv.workbench.pages.trial_view import VIEW_STYLE, TrialDisplay
from fullconv.workbench.services.predictable import Predictable, heads_of, predictable_models
from fullconv.workbench.services.predictions import package_of
from fullconv.workbench.services.trials import open_trial, trial_of
from fullconv.workbench.stored import PackageKind
from fullconv.workbench.trials.views import TrialView, TrialWish

LOOK_SECONDS = 0.5
TABS = {"one": "One image", "many": "Many images", "dataset": "A whole dataset"}


async def trial_page() -> None:
    """A model, an image, and what the one says of the other."""
    address = context.client.request.query_params
    models = await asked(predictable_models, bench())
    with frame("Test", "/test"):
        add_stack_style()
        ui.add_css(IMAGES_STYLE + VIEW_STYLE)
        heading("Test")
        if not models:
            nothing_yet("There is no model yet. A run makes one when it is done.", "Start a run", "/runs/new")
            return
        await _Trial(models, address).build()


class _Trial:
    """One visitor's page.

    Args:
        models: to choose from.
        address: what the page's address asks for.
    """

    def __init__(self, models: list[Predictable], address: QueryParams) -> None:
        self.models = {f"{entry.kind}:{entry.name}": entry for entry in models}
        wanted = f"run:{address['run']}" if address.get("run") else f"model:{address.get('model', '')}"
        if wanted not in self.models and address.get("model"):
            wanted = f"run:{address['model']}"
        self.model = wanted if wanted in self.models else next(iter(self.models))
        self.unknown = address.get("run") or address.get("model") if wanted not in self.models else None
        self.head: str | None = address.get("head")
        self.dataset = address.get("dataset", "") or self.models[self.model].dataset or ""
        self.image = _image_of(address)
        self.tab = address.get("tab", "one") if address.get("tab") in TABS else "one"
        self._turn = 0

    async def build(self) -> None:
        """Put everything on the page."""
        if self.unknown:
            ui.label(f"There is no model {self.unknown!r}; another one is chosen.").classes("bad").props("role=alert")
        with ui.row().classes("w-full items-end").style("gap: .4rem 1rem"):
            names = {key: _described(entry) for key, entry in self.models.items()}
            choice = ui.select(names, label="Model", value=self.model, with_input=True, on_change=self._other_model)
            choice.props("dense options-dense").classes("col").style("min-width: min(18rem, 100%)").mark("model")
            self.heads = ui.select([], label="Head", on_change=self._other_head).props("dense options-dense")
            self.heads.style("min-width: 9rem")
        await self._show_heads()
        with ui.tabs().props("dense no-caps align=left").classes("w-full") as tabs:
            for name, title in TABS.items():
                ui.tab(name, title)
        with ui.tab_panels(tabs, value=self.tab, animated=False, keep_alive=True).classes("w-full bg-transparent"):
            with ui.tab_panel("one").classes("column").style("gap: 1rem; padding: .6rem 0"):
                ImageChoice(self.image, self.dataset, self._chosen)
                self.result = ui.column().classes("w-full").style("gap: .6rem").props("aria-live=polite")
                self._hint()
            with ui.tab_panel("many").classes("column").style("gap: 1rem; padding: .6rem 0"):
                ManyImages(self._chosen_model)
            with ui.tab_panel("dataset").classes("column").style("gap: 1rem; padding: .6rem 0"):
                Scoring(self._chosen_model, self.dataset)
        if self.image:
            ui.timer(0.01, self._predict, once=True)

    def _chosen_model(self) -> tuple[str, PackageKind, str | None]:
        entry = self.models[self.model]
        return entry.name, entry.kind, self.head

    async def _show_heads(self) -> None:
        entry = self.models[self.model]
        found: tuple[str, ...] = ()
        try:
            found = await asked(lambda: heads_of(package_of(bench(), entry.name, entry.kind)))
        except FullconvError as problem:
            ui.notify(str(problem), type="negative")
        self.head = self.head if self.head in found else (found[0] if found else None)
        self.heads.set_options(list(found), value=self.head)
        self.heads.visible = bool(found)

    async def _other_model(self, event: object) -> None:
        value = getattr(event, "value", None)
        if value not in self.models or value == self.model:
            return
        self.model, self.head = value, None
        await self._show_heads()
        await self._predict()

    async def _other_head(self, event: object) -> None:
        value = getattr(event, "value", None)
        if value and value != self.head:
            self.head = value
            await self._predict()

    async def _chosen(self, image: str) -> None:
        self.image = image
        await self._predict()

    async def _predict(self) -> None:
        """Label the chosen image and show it, unless something else was chosen meanwhile."""
        if not self.image:
            return
        self._turn += 1
        turn, entry = self._turn, self.models[self.model]
        ui.navigate.history.replace(self._address())
        self.result.clear()
        with self.result, ui.row().classes("items-center q-pa-md"):
            ui.spinner(size="1.6rem")
            ui.label("Predicting …").classes("faint")
        try:
            wish = TrialWish(model=entry.name, kind=entry.kind, head=self.head, image=self.image)
            trial = await open_trial(bench(), wish)
        except (FullconvError, ValueError) as problem:
            if turn == self._turn:
                self._refused(str(problem) if isinstance(problem, FullconvError) else "This cannot be an image.")
            return
        if turn != self._turn:
            return
        if trial.state == "computing":
            self._wait(trial, turn)
        else:
            self._display(trial)

    def _wait(self, trial: TrialView, turn: int) -> None:
        """A large image: say how far it is, then show it."""
        self.result.clear()
        with self.result, ui.column().classes("card w-full").props("role=status"):
            ui.label(f"{trial.title}: {trial.width}×{trial.height} pixels, computed piece by piece.")
            bar = ui.linear_progress(0, show_value=False).props('rounded aria-label="Progress"')

        def look() -> None:
            if turn != self._turn:
                timer.deactivate()
                return
            try:
                now = trial_of(bench(), trial.id)
            except FullconvError as problem:
                timer.deactivate()
                self._refused(str(problem))
                return
            bar.value = now.progress
            if now.state != "computing":
                timer.deactivate()
                self._refused(str(now.error)) if now.state == "failed" else self._display(now)

        with self.result:
            timer = ui.timer(LOOK_SECONDS, look)

    def _display(self, trial: TrialView) -> None:
        self.result.clear()
        with self.result:
            heading(trial.title, 2)
            TrialDisplay(trial)

    def _refused(self, sentence: str) -> None:
        self.result.clear()
        with self.result, ui.column().classes("card").props("role=alert"):
            ui.label(sentence).classes("bad")

    def _hint(self) -> None:
        with self.result:
            nothing_yet("Drop an image, give a path, or choose one of a dataset's.")

    def _address(self) -> str:
        entry = self.models[self.model]
        said: dict[str, str] = {entry.kind: entry.name}
        if self.head:
            said["head"] = self.head
        kind, _, rest = self.image.partition(":")
        if kind == "dataset":
            said["dataset"], _, said["image"] = rest.partition(":")
        elif kind == "path":
            said["path"] = rest
        return f"/test?{urlencode(said)}"


def _image_of(address: QueryParams) -> str:
    """The image that an address asks for; nothing where it asks for none."""
    image = address.get("image", "")
    if address.get("path"):
        return f"path:{address['path']}"[:5000]
    if image and address.get("dataset"):
        return f"dataset:{address['dataset']}:{image}"[:5000]
    return image[:5000] if image.startswith(("upload:", "shapes")) else ""


def _described(entry: Predictable) -> str:
    facts = [entry.network or ""]
    if entry.mean_iou is not None:
        facts.append(f"mean IoU {100 * entry.mean_iou:.1f} % on {entry.dataset}")
    return f"{entry.name} ({', '.join(fact for fact in facts if fact)})"
