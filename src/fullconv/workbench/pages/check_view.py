"""What was seen in folders: pairs, classes, splits and problems, with what can be chosen about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from fullconv.data.class_edits import ClassEdits
from fullconv.data.classes import ClassTable
from fullconv.data.problems import ALLOWABLE, Problem
from fullconv.errors import FullconvError
from fullconv.workbench.pages.class_editor import ClassEditor, ClassRow, edits_of, rows_of
from fullconv.workbench.pages.dataset_charts import class_table
from fullconv.workbench.pages.dataset_problems import problem_list
from fullconv.workbench.pages.stacks import Stack, view_controls
from fullconv.workbench.pages.theme import bench, heading
from fullconv.workbench.services.dataset_checks import CheckView, found_classes
from fullconv.workbench.services.dataset_facts import Facts

PREVIEW = 320
SPLITS = {"found": "As the folders say, else 70/15/15", "shares": "By shares"}


class CheckResult:
    """The part of the page that shows a check that is done.

    Args:
        choose: called when something was chosen that needs no other look at the files. look: when it does.
    """

    def __init__(self, choose: Callable[[], Awaitable[None]], look: Callable[..., Awaitable[None]]) -> None:
        self._choose, self._look = choose, look
        self.rows: list[ClassRow] = []
        self.table: ClassTable | None = None
        self.allow: set[str] = set()
        with ui.column().classes("w-full").style("gap: 1rem") as self.element:
            with ui.column().classes("card"):
                with ui.row().classes("w-full items-center justify-between views"):
                    heading("Some of the pairs", 2)
                    controls = ui.element("div")
                self.pairs = ui.element("div").classes("thumbs")
                with controls:
                    view_controls(self.pairs)
            with ui.column().classes("card"):
                heading("Classes", 2)
                self.classes = ui.column().classes("w-full")
                self.fault = ui.label().classes("bad").props('role="alert"')
            with ui.column().classes("card"):
                heading("Splits", 2)
                self._split_controls()
                self.shares = ui.column().classes("w-full")
            with ui.column().classes("card"):
                heading("Problems", 2)
                self.problems = ui.column().classes("w-full")
        self.element.visible = False
        self.editor: ClassEditor | None = None
        self._drawn: tuple[object, ...] = ()

    def clear(self) -> None:
        """Other folders: nothing of what was chosen holds for them."""
        self.element.visible = False
        self.rows, self.table, self.editor, self._drawn = [], None, None, ()
        self.allow.clear()

    def begin(self, view: CheckView) -> None:
        """A check is done: the table of its classes, unless the same classes are being edited already."""
        table = found_classes(bench(), view.id)
        if table is not None and table != self.table:
            self.table = table
            self.rows = rows_of(table, ClassEdits())
            self.classes.clear()
            with self.classes:
                self.editor = ClassEditor(self.rows, self._choose)
        self.element.visible = True

    def show(self, view: CheckView) -> None:
        """What was found, with the choices made."""
        self.fault.text = ""
        facts = view.facts
        if facts is None:
            return
        if self.editor is not None:
            self.editor.show_shares({entry.name: entry.share for entry in facts.classes})
        self._show_pairs(view)
        self.shares.clear()
        with self.shares:
            self._show_splits(facts)
        self.problems.clear()
        with self.problems:
            problem_list(facts.problems, self._may_pass)

    def refuse(self, problem: FullconvError) -> None:
        """A choice that cannot be."""
        self.fault.text = str(problem)

    def said(self, *, choices: bool) -> dict[str, object]:
        """What was chosen, as fields of a `FolderRequest`; without `choices` only what needs a look at the files."""
        said: dict[str, object] = {"allow": sorted(self.allow)} if self.allow else {}
        edits = edits_of(self.rows)
        if edits.keep:
            said["keep"] = edits.keep
        if choices:
            said |= edits.model_dump(exclude_defaults=True, exclude={"keep", "remap"})
            said |= self._split_said()
        return said

    def _split_controls(self) -> None:
        with ui.row().classes("items-end w-full").style("gap: .4rem 1.2rem"):
            self.how = ui.radio(SPLITS, value="found").props("inline dense").classes("q-gutter-x-md")
            self.split = ui.input("Training / validation / test, percent", value="70/15/15").style("width: 16rem")
            self.split.props("dense debounce=500 maxlength=40").bind_visibility_from(self.how, "value", value="shares")
            self.seed = ui.number("Seed", value=0, min=0, max=2**31 - 1, step=1, precision=0).style("width: 6rem")
            self.seed.props("dense debounce=500")
            self.group = ui.input("Keep together what this finds in names").style("width: 18rem")
            self.group.props("dense debounce=700 maxlength=200 spellcheck=false")
            self.group.props('hint="regular expression; empty: groups that names show; none: no groups"')
        for field in (self.how, self.split, self.seed, self.group):
            field.on_value_change(self._choose)

    def _split_said(self) -> dict[str, object]:
        said: dict[str, object] = {}
        if self.how.value == "shares":
            said["split"] = (self.split.value or "").strip()
        if self.seed.value:
            said["seed"] = int(self.seed.value)
        if pattern := (self.group.value or "").strip():
            said["group_by"] = pattern
        return said

    def _show_pairs(self, view: CheckView) -> None:
        drawn = (view.id, view.version, tuple((pair.number, pair.split) for pair in view.pairs))
        if drawn == self._drawn:
            return
        self._drawn = drawn
        self.pairs.clear()
        with self.pairs:
            for pair in view.pairs:
                with ui.element("div").classes("thumb"):
                    address = f"/api/v1/checks/{view.id}/pairs/{pair.number}/picture"
                    ratio = min(2.2, max(0.7, pair.width / max(1, pair.height)))
                    Stack(address, size=PREVIEW, version=view.version, name=pair.key, ratio=ratio)
                    with ui.element("span").classes("name"):
                        ui.label(f"\u200e{pair.key} · {pair.split}").style("display: inline")

    def _show_splits(self, facts: Facts) -> None:
        counts = ", ".join(f"{found.images:,} {split}" for split, found in facts.splits.items())
        ui.label(f"{facts.images:,} images: {counts}").mark("split-counts")
        class_table(facts)

    def _may_pass(self, problem: Problem) -> None:
        if problem.kind not in ALLOWABLE or (problem.severity != "error" and problem.kind not in self.allow):
            return

        async def switch(on: bool) -> None:
            (self.allow.add if on else self.allow.discard)(problem.kind)
            await self._look()

        ui.checkbox(
            "Let it pass",
            value=problem.kind in self.allow,
            on_change=lambda event: switch(bool(event.value)),
        ).props("dense")
