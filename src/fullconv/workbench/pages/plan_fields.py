"""The form of a plan: a field for every setting, made from the list of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui

from fullconv.workbench.pages.plan_draft import PlanDraft, read_value, shown_value
from fullconv.workbench.services.plan_form import FormField

STYLE = """
.plan-fields { display: grid; gap: .7rem 1.2rem; width: 100%; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)) }
.plan-field { min-width: 0; width: 100%; gap: .1rem }
.plan-field .help { color: var(--faint); font-size: .8rem; line-height: 1.3 }
.plan-field .q-field { width: 100% }
"""


class PlanField:
    """One setting on the page.

    Args:
        field: what it is.
        draft: that it shows and changes.
        changed: called after a visitor changed it.
    """

    def __init__(self, field: FormField, draft: PlanDraft, changed: Callable[[], None]) -> None:
        self.field, self._draft, self._changed = field, draft, changed
        self._loading = False
        with ui.column().classes("plan-field") as self.element:
            self.input = self._made()
            self.input.mark(f"field-{field.path}")
            self.fault = ui.label().classes("bad help").props('role="alert"')
            self.help = ui.label().classes("help")
        self.input.on_value_change(self._said)
        self.show()

    def show(self) -> None:
        """What the draft says."""
        self.element.visible = self._is_there()
        value = self._draft.get(self.field.path)
        self._loading = True
        try:
            self._put(value)
        finally:
            self._loading = False
        self._explain()

    def show_decided(self, plan: Mapping[str, Any]) -> None:
        """Where nothing is said, what was decided from the data and the machine."""
        if not isinstance(self.input, ui.input):
            return
        value: Any = plan
        for name in self.field.path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        text = shown_value(self.field, value)
        self.input.props["placeholder"] = text if text else _placeholder(self.field)

    def complain(self, message: str | None) -> None:
        """Mark the field as wrong, or as right."""
        if isinstance(self.input, ui.input | ui.select):
            self.input.error = message
        self.fault.text = "" if isinstance(self.input, ui.input | ui.select) else message or ""
        self.fault.visible = bool(self.fault.text)

    def _explain(self) -> None:
        """What the setting means, and the kind that is chosen."""
        field = self.field
        said = [field.help, field.meanings.get(str(self.input.value), "") if field.meanings else ""]
        text = " ".join(part for part in said if part) + (f" ({field.bounds})" if field.bounds else "")
        self.help.text = text[:1].upper() + text[1:]

    def _is_there(self) -> bool:
        return all(str(self._draft.get(path) or _usual(path)) in values for path, values in self.field.only.items())

    def _made(self) -> Any:
        field = self.field
        label = field.label
        if field.kind == "switch":
            return ui.switch(label)
        if field.kind == "choice":
            return self._choice()
        if field.kind == "choices":
            select = ui.select(list(field.choices), label=label, multiple=True)
            return select.props("dense outlined hide-bottom-space options-dense use-chips")
        made: ui.input = ui.input(label, placeholder=_placeholder(field), autocomplete=list(field.choices) or None)
        made.props("dense outlined hide-bottom-space stack-label debounce=350 maxlength=500 spellcheck=false")
        return made.without_auto_validation()

    def _choice(self) -> ui.select:
        """A choice, which becomes one of several values on demand."""
        select = ui.select(list(self.field.choices), label=self.field.label)
        select.props("dense outlined hide-bottom-space options-dense").without_auto_validation()
        with select.add_slot("append"), ui.button(icon="playlist_add").props("flat round dense size=sm") as button:
            button.props["aria-label"] = f"Several values of {self.field.label}, a run of each"
            ui.tooltip("Several values, a run of each")
        button.on("click.stop", lambda: self._several(not select.multiple))
        return select

    def _several(self, on: bool) -> None:
        """Let several values be chosen, or one."""
        self._loading = True
        try:
            value = self.input.value
            self.input.multiple = on
            self.input.props.set_bool("multiple", on)
            self.input.props.set_bool("use-chips", on)
            if on:
                self.input.value = value if isinstance(value, list) else [value] if value else []
            else:
                self.input.value = value[0] if isinstance(value, list) and value else None
        finally:
            self._loading = False
        if not on:
            self._said(self.input)

    def _put(self, value: Any) -> None:
        field = self.field
        if field.kind == "switch":
            self.input.value = bool(field.default if value is None else value)
        elif field.kind == "choice":
            said = field.default if value is None else value
            if isinstance(said, list) != bool(self.input.multiple):
                self._several(isinstance(said, list))
                self._loading = True
            known = list(dict.fromkeys([*field.choices, *map(str, said if isinstance(said, list) else [said])]))
            shown = list(map(str, said)) if isinstance(said, list) else None if said is None else str(said)
            self.input.set_options([choice for choice in known if choice != "None"], value=shown)
        elif field.kind == "choices":
            self.input.value = [str(one) for one in (value or []) if str(one) in field.choices]
        else:
            self.input.value = shown_value(field, value)

    def _said(self, event: Any) -> None:
        if self._loading:
            return
        self._draft.put(self.field.path, self._meant(event.value))
        self._explain()
        self._changed()

    def _meant(self, value: Any) -> Any:
        """What a visitor's value says; None where it says nothing."""
        field = self.field
        if field.kind == "choice":
            said = value[0] if isinstance(value, list) and len(value) == 1 else value or None
        elif field.kind in ("switch", "choices"):
            said = value or None
        else:
            return read_value(field, str(value or ""))
        plain = self._draft.get("recipe") in (None, "default")  # else the usual value may not be what a recipe says
        return None if said == field.default and plain else said


class PlanForm:
    """All fields of some sections.

    Args:
        draft: that they show and change.
        changed: called after a visitor changed one.
    """

    def __init__(self, draft: PlanDraft, changed: Callable[[], None]) -> None:
        self._draft, self._changed = draft, changed
        self.fields: list[PlanField] = []
        ui.add_css(STYLE)

    def add(self, fields: list[FormField]) -> None:
        """Put fields where the page is being built."""
        with ui.element("div").classes("plan-fields"):
            for field in fields:
                self.fields.append(PlanField(field, self._draft, self._one_changed))

    def show(self) -> None:
        """What the draft says now."""
        for field in self.fields:
            field.show()

    def show_decided(self, plan: Mapping[str, Any]) -> None:
        """What was decided where nothing is said."""
        for field in self.fields:
            field.show_decided(plan)

    def complain(self, errors: Mapping[str, str]) -> list[str]:
        """Mark the fields that are wrong, and no others.

        Args:
            errors: path → message.

        Returns:
            Messages of which no field is shown.
        """
        left = dict(errors)
        for field in self.fields:
            path = field.field.path
            mine = [key for key in left if key == path or key.startswith(f"{path}.") or f"{key}.kind" == path]
            here = mine if field.element.visible else []
            field.complain("; ".join(left[key] for key in here) or None)
            for key in here:
                del left[key]
        return [f"{path}: {said}" if path else said for path, said in left.items()]

    def _one_changed(self) -> None:
        for field in self.fields:  # which kind was chosen decides which fields there are
            field.element.visible = field._is_there()
        self._changed()


def _usual(path: str) -> str:
    """What holds where nothing is said of a kind."""
    return {"regime.kind": "whole-image", "optimization.policy.kind": "one-cycle"}.get(path, "")


def _placeholder(field: FormField) -> str:
    if field.default in (None, [], {}):
        return "left open"
    return shown_value(field, field.default)
