"""What to compare: models, and the images of a dataset or of files on the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from nicegui import ui
from pydantic import ValidationError

from fullconv.errors import FullconvError
from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.folder_chooser import FolderChooser
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.compare_views import MOST_MODELS, CompareRequest
from fullconv.workbench.services.predictable import Predictable, heads_of
from fullconv.workbench.services.predictions import package_of

SPLITS = {"test": "Test images", "val": "Validation images", "train": "Training images", "keys": "These images"}
SAMPLE = 50
_SOURCES = {"dataset": "A dataset", "files": "Files on the server"}


class CompareForm:
    """The choice, as fields.

    Args:
        models: to choose from. datasets: names.
        address: what the page's address says.
        begin: called with what was chosen.
    """

    def __init__(
        self,
        models: list[Predictable],
        datasets: list[str],
        address: Mapping[str, str],
        begin: Callable[[CompareRequest], Awaitable[None]],
    ) -> None:
        self._begin = begin
        self.names = {model.name: _described(model) for model in reversed(models)}
        self.names = dict(reversed(self.names.items()))  # of one name, that of the store comes first
        self._stored = {model.name for model in models if model.kind == "model"}
        self._of_runs = {model.name for model in models if model.kind == "run"}
        given = [part for part in address.get("models", "").split(",") if part]
        self._heads_asked = {name: head for name, _, head in (part.partition(":") for part in given) if head}
        chosen = [name for name in dict.fromkeys(part.partition(":")[0] for part in given) if name in self.names]
        scored = {model.name: model.dataset for model in models}
        dataset = address.get("dataset") or next((scored[name] for name in chosen if scored[name] in datasets), None)
        with ui.column().classes("card").style("gap: .7rem"):
            self.models = ui.select(self.names, label=f"Models, two to {MOST_MODELS}", value=chosen, multiple=True)
            self.models.props(f"dense options-dense use-chips max-values={MOST_MODELS}").classes("w-full")
            self.models.on_value_change(self._show_heads)
            self.models.mark("models")
            self.namesakes = ui.label().classes("faint")
            self.heads = ui.row().classes("items-end").style("gap: .4rem 1rem")
            self._head_choices: dict[str, ui.select] = {}
            with ui.row().classes("w-full items-end").style("gap: .6rem 1rem"):
                self.source = ui.select(
                    _SOURCES, label="Images from", value="files" if "files" in address else "dataset"
                )
                self.dataset = ui.select(datasets, label="Dataset", value=dataset if dataset in datasets else None)
                split = "keys" if address.get("keys") else address.get("split", "test")
                self.split = ui.select(SPLITS, label="Which", value=split if split in SPLITS else "test")
                self.sample = ui.number("At most, drawn at random", value=_whole(address.get("sample")), min=1, step=1)
                self.files = ui.input("Folder or image on the server", value=address.get("files", ""))
                self.browse = ui.button("Browse", icon="folder_open", on_click=self._browse)
                for field in (self.source, self.dataset, self.split):
                    field.props("dense options-dense").style("min-width: 9rem")
                self.sample.props("dense clearable").style("width: 12rem")
                self.files.props("dense maxlength=4096").classes("col").style("min-width: min(16rem, 100%)")
                self.browse.props("outline no-caps dense")
            self.keys = ui.input("Names, separated by commas", value=address.get("keys", ""))
            self.keys.props('dense maxlength=20000 hint="as the dataset has them, such as test/scene_0007"')
            self.keys.classes("w-full")
            with ui.row().classes("w-full items-center").style("gap: .6rem 1rem"):
                self.button = ui.button("Compare", icon="compare", on_click=self.submit)
                self.button.props("no-caps unelevated").mark("compare")
                self.problem = ui.label().classes("bad").props("role=alert")
        for choice in (self.source, self.split):
            choice.on_value_change(self._show_fields)
        self._show_fields()

    async def prepare(self) -> None:
        """Ask for heads of the models that are chosen."""
        await self._show_heads()

    @property
    def ready(self) -> bool:
        """Whether the address said enough to begin at once."""
        chosen = self.files.value if self.source.value == "files" else self.dataset.value
        return len(self.models.value) >= 2 and bool(chosen)

    async def submit(self) -> None:
        """Begin with what is chosen, or say what is missing."""
        self.problem.text = ""
        try:
            request = self.request()
        except (FullconvError, ValidationError) as wrong:
            self.problem.text = _sentence(wrong)
            return
        await self._begin(request)

    def request(self) -> CompareRequest:
        """What is chosen.

        Raises:
            ValidationError: it is not enough.
        """
        heads = {name: choice.value for name, choice in self._head_choices.items()}
        models = tuple(f"{name}:{heads[name]}" if heads.get(name) else name for name in self.models.value)
        sample = int(self.sample.value) if self.sample.value else None
        if self.source.value == "files":
            return CompareRequest(models=models, files=tuple(filter(None, [self.files.value.strip()])), sample=sample)
        if self.split.value == "keys":
            keys = tuple(key.strip() for key in (self.keys.value or "").split(",") if key.strip())
            return CompareRequest(models=models, dataset=self.dataset.value, keys=keys)
        return CompareRequest(models=models, dataset=self.dataset.value, split=self.split.value, sample=sample)

    def _show_fields(self) -> None:
        files = self.source.value == "files"
        named = not files and self.split.value == "keys"
        self.files.visible = self.browse.visible = files
        self.dataset.visible = self.split.visible = not files
        self.keys.visible = named
        self.sample.visible = not named

    async def _show_heads(self) -> None:
        """A choice for each model with several heads."""
        chosen = list(self.models.value)
        both = [name for name in chosen if name in self._stored and name in self._of_runs]
        self.namesakes.text = _of_the_store(both)
        self.namesakes.visible = bool(both)
        found = {}
        for name in chosen:
            try:
                found[name] = await asked(lambda name=name: heads_of(package_of(bench(), name)))  # type: ignore[misc]
            except FullconvError:
                found[name] = ()
        if chosen != list(self.models.value):
            return
        before = {name: choice.value for name, choice in self._head_choices.items()} | self._heads_asked
        self._head_choices = {}
        self.heads.clear()
        with self.heads:
            for name, heads in found.items():
                if heads:
                    value = before[name] if before.get(name) in heads else heads[0]
                    choice = ui.select(list(heads), label=f"Head of {name}", value=value).props("dense options-dense")
                    self._head_choices[name] = choice.style("min-width: 10rem")

    async def _browse(self) -> None:
        chosen = await FolderChooser().choose(self.files.value or None)
        if chosen:
            self.files.value = chosen


def address_of(request: CompareRequest) -> str:
    """The page that shows this comparison."""
    query: dict[str, Any] = {"models": ",".join(request.models)}
    if request.files:
        query["files"] = request.files[0]
    else:
        query |= {"dataset": request.dataset, "split": request.split, "keys": ",".join(request.keys)}
    query["sample"] = request.sample
    return "/compare?" + urlencode({name: value for name, value in query.items() if value}, safe=",:/")


def _described(model: Predictable) -> str:
    kind = "run" if model.kind == "run" else "stored"
    score = "" if model.mean_iou is None else f", {100 * model.mean_iou:.1f} % mIoU"
    return f"{model.name} ({kind}{score})"


def _of_the_store(names: list[str]) -> str:
    """What is said of names that a model of the store and a run share.

    >>> _of_the_store(["streets"])
    'A run has the name streets, too; the model of the store is taken.'
    """
    return f"A run has the name {' and '.join(names)}, too; the model of the store is taken."


def _sentence(wrong: Exception) -> str:
    if isinstance(wrong, ValidationError):
        first = wrong.errors()[0]
        if first["loc"][:1] == ("models",) and first["type"] in ("too_short", "too_long"):
            return f"Choose two to {MOST_MODELS} models."
        return str(first["msg"]).removeprefix("Value error, ")
    return str(wrong)


def _whole(text: str | None) -> int | None:
    """A number from the address; `SAMPLE` where it says nothing, none where it says that all are wanted."""
    if text is None:
        return SAMPLE
    return int(text) if text.isdigit() and 0 < int(text) <= 1_000_000 else None
