"""The fields of an experiment as OpenAPI describes them: a list in the place of one value asks for several runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from fullconv.training.settings.experiment import Experiment

LONGEST = 100_000
"""Characters of an experiment as text."""
_SAID = ("description", "default")
_BY_NAME = ("loss", "terms", "regime", "policy")
"""Sections that may be a word: the kind alone, and everything else as usual."""


def experiment_schema() -> dict[str, Any]:
    """The JSON schema of an experiment, complete in itself: an object, or the same as YAML text.

    >>> fields, text = experiment_schema()["anyOf"]
    >>> fields["required"], text["type"]
    (['dataset'], 'string')
    >>> [kind["type"] for kind in fields["properties"]["network"]["anyOf"]]
    ['string', 'array']
    """
    whole = Experiment.model_json_schema()
    fields = _with_lists(_complete(whole, whole.get("$defs", {})))
    return {"anyOf": [fields, {"type": "string", "maxLength": LONGEST, "description": "The same as YAML."}]}


def _complete(schema: Any, parts: Mapping[str, Any]) -> Any:
    """A schema with what it refers to in the places of the references."""
    if isinstance(schema, list):
        return [_complete(inner, parts) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    own = {name: value for name, value in schema.items() if name not in ("$ref", "$defs", "discriminator", "title")}
    if "$ref" in schema:
        own = parts[schema["$ref"].rpartition("/")[2]] | own
        return _complete(own, parts)
    if "properties" in own:  # a field may be called as a keyword is
        properties = {name: _complete(inner, parts) for name, inner in own.pop("properties").items()}
        return {name: _complete(inner, parts) for name, inner in own.items()} | {"properties": properties}
    return {name: _complete(inner, parts) for name, inner in own.items()}


def _with_lists(schema: dict[str, Any]) -> dict[str, Any]:
    """The same where every field may also be a list of values, section by section."""
    changed = dict(schema)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            changed[several] = [_with_lists(branch) for branch in schema[several]]
    if "properties" in schema:
        changed["properties"] = {
            name: _several(name, _with_lists(inner)) for name, inner in schema["properties"].items()
        }
    return changed


def _several(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    said = {name: schema[name] for name in _SAID if name in schema}
    forms = [{name: value for name, value in schema.items() if name not in said}]
    if field in _BY_NAME:
        forms.append({"type": "string", "minLength": 1})
    forms.append({"type": "array", "minItems": 1, "description": "One of these in each run."})
    return said | {"anyOf": forms}


ExperimentFields = Annotated[dict[str, Any] | str, Field(max_length=LONGEST), WithJsonSchema(experiment_schema())]
"""Fields of an experiment, or the same as YAML text."""
