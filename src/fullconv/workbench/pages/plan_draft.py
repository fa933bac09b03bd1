"""A plan while it is written: the same settings as a form and as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from fullconv.files import dump_yaml
from fullconv.plain_yaml import MISREAD
from fullconv.training.settings.experiment import Experiment
from fullconv.workbench.services.plan_form import FormField
from fullconv.workbench.services.plan_settings import PlainLoader, settings_of

Settings = dict[str, Any]


class PlanDraft:
    """What was said so far; what was not said is decided from the data and the machine.

    Args:
        settings: to begin with.

    >>> draft = PlanDraft({"dataset": "streets"})
    >>> draft.put("optimization.learning_rate", 0.01)
    >>> draft.text
    'dataset: streets\\noptimization:\\n  learning_rate: 0.01\\n'
    >>> draft.put("optimization.learning_rate", None)
    >>> draft.settings
    {'dataset': 'streets'}
    """

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.settings: Settings = dict(settings or {})

    @property
    def text(self) -> str:
        """As YAML, in the order of the documentation."""
        order = {name: place for place, name in enumerate(Experiment.model_fields)}
        names = sorted(self.settings, key=lambda name: order.get(name, len(order)))
        return dump_yaml({name: self.settings[name] for name in names}) if names else ""

    def read(self, text: str) -> None:
        """Take what the text says.

        Raises:
            WrongFields: it is no YAML of names and values; the settings are then as before.
        """
        self.settings = settings_of(text) if text.strip() else {}

    def get(self, path: str) -> Any:
        """What was said of a setting; None where nothing was."""
        value: Any = self.settings
        names = path.split(".")
        for place, name in enumerate(names):
            if not isinstance(value, Mapping):  # a regime, policy or loss by its name alone
                return value if name in ("kind", "terms") and place == len(names) - 1 else None
            value = value.get(name)
        return None if isinstance(value, Mapping) and names[-1] == "kind" else value

    def put(self, path: str, value: Any) -> None:
        """Say something of a setting, or nothing any more where the value is None."""
        *sections, last = path.split(".")
        place = self.settings
        for name in sections:
            inner = place.get(name)
            if isinstance(inner, str):  # the name of a regime, a policy or a loss
                inner = {"terms": inner} if name == "loss" else {"kind": inner}
            place[name] = dict(inner) if isinstance(inner, Mapping) else {}
            place = place[name]
        if last == "kind" and value != place.get("kind"):
            place.clear()  # what was said of another kind
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
        self._without_empty(sections)

    def _without_empty(self, sections: list[str]) -> None:
        for depth in range(len(sections), 0, -1):
            place: Any = self.settings
            for name in sections[: depth - 1]:
                place = place[name]
            if not place[sections[depth - 1]]:
                del place[sections[depth - 1]]


def line_of(text: str, path: str) -> int | None:
    """The line of a text that says something of a setting, from 1; of the nearest section around it if none does.

    >>> line_of("dataset: streets\\noptimization:\\n  learning_rate: -1", "optimization.learning_rate")
    3
    >>> line_of("crop: [8, 8]", "crop.0"), line_of("crop: [8, 8]", "seed"), line_of("crop: [", "crop")
    (1, None, None)
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except MISREAD:
        return None
    line = None
    for name in path.split("."):
        if not isinstance(node, yaml.MappingNode):
            break
        found = next(((key, value) for key, value in node.value if key.value == name), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def shown_value(field: FormField, value: Any) -> str:
    """What a field of text shows of a value: several values with commas, pairs with a cross.

    >>> pair = FormField(path="crop", section="", label="crop", help="", kind="pair")
    >>> shown_value(pair, [64, 96]), shown_value(pair, [[64, 96], [32, 32]])
    ('64 × 96', '64 × 96, 32 × 32')
    """
    if value is None:
        return ""
    if field.kind == "pair" and isinstance(value, list):
        pairs = value if value and isinstance(value[0], list) else [value]
        return ", ".join(" × ".join(map(_scalar, pair)) for pair in pairs)
    if field.kind == "yaml":
        plain = isinstance(value, Mapping) and field.path == "loss.terms" and set(value.values()) == {1.0}
        return "+".join(value) if plain else _flow(value)
    if isinstance(value, list):
        return ", ".join(map(_scalar, value))
    return _scalar(value)


def read_value(field: FormField, text: str) -> Any:
    """What was meant by a text; None for nothing. What cannot be read stays text, to be told as wrong.

    >>> rate = FormField(path="optimization.learning_rate", section="", label="", help="", kind="number")
    >>> read_value(rate, "1e-3"), read_value(rate, "0.001, 1e-2"), read_value(rate, "fast"), read_value(rate, " ")
    (0.001, [0.001, 0.01], 'fast', None)
    >>> read_value(FormField(path="crop", section="", label="", help="", kind="pair"), "64x96")
    [64, 96]
    """
    text = text.strip()
    if not text:
        return None
    if field.kind == "pair":
        sides = [part.replace("×", "x").split("x") for part in text.split(",")]
        if all(len(pair) == 1 for pair in sides) and len(sides) == 2:  # two numbers with a comma between them
            return [_number(pair[0]) for pair in sides]
        pairs = [[_number(side) for side in pair] for pair in sides]
        return pairs[0] if len(pairs) == 1 else pairs
    if field.kind in ("number", "whole"):
        numbers = [_number(part) for part in text.split(",") if part.strip()]
        return numbers[0] if len(numbers) == 1 else numbers
    if field.kind == "yaml":
        try:
            return yaml.load(text, Loader=PlainLoader)
        except MISREAD:
            return text
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return parts[0] if len(parts) == 1 else parts


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text.strip())
        except ValueError:
            continue
    return text.strip()


def _scalar(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flow(value: Any) -> str:
    if isinstance(value, str):
        return value
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).removesuffix("...\n").strip()
    )
