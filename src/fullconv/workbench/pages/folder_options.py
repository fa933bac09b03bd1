"""How folders are to be read, where detection needs help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from fullconv.data.labels import KINDS

UNLABELLED = {"skip": "are left out", "background": "are all background", "ignore": "are all ignored"}


class FolderOptions:
    """Format, class file, codes and lists; closed until somebody wants them.

    Args:
        on_change: called after every change.
    """

    def __init__(self, on_change: Callable[..., Awaitable[None]]) -> None:
        more = ui.expansion("How to read them", icon="tune").classes("w-full").props("dense")
        with more, ui.element("div").classes("options"):
            self.format = ui.select(["detected", *KINDS], label="Label format", value="detected")
            self.unlabelled = ui.select(UNLABELLED, label="Images without label", value="skip")
            self.classes = self._text("Class file, if not beside the labels")
            self.ignore = self._text("Classes to ignore, by name, id or #rrggbb; commas between")
            self.remap = self._text("Codes that mean another class, as 7=road, #102030=ignore")
            self.lists = {
                split: self._text(f"List of {name} images (text file)")
                for split, name in (("train", "training"), ("val", "validation"), ("test", "test"))
            }
        ui.add_css(STYLE)
        for field in (self.format, self.unlabelled, self.classes, self.ignore, self.remap, *self.lists.values()):
            field.props("dense")
            field.on_value_change(on_change)

    @staticmethod
    def _text(label: str) -> ui.input:
        return ui.input(label).props("debounce=700 spellcheck=false autocomplete=off maxlength=4096")

    def said(self) -> dict[str, object]:
        """What differs from the default, as fields of a `FolderRequest`."""
        said: dict[str, object] = {}
        if self.format.value != "detected":
            said["format"] = self.format.value
        if self.unlabelled.value != "skip":
            said["unlabelled"] = self.unlabelled.value
        if path := (self.classes.value or "").strip():
            said["classes"] = path
        if names := _listed(self.ignore.value):
            said["ignore"] = names
        if pairs := _listed(self.remap.value):
            said["remap"] = {left.strip(): right.strip() for left, _, right in (pair.partition("=") for pair in pairs)}
        if lists := {split: field.value.strip() for split, field in self.lists.items() if (field.value or "").strip()}:
            said["lists"] = lists
        return said


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


STYLE = """
.options { display: grid; gap: .4rem 1.2rem; width: 100%; padding: .2rem 0 .6rem;
  grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)) }
"""
