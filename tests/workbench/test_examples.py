"""The OpenAPI document shows what is sent and what comes back, everywhere, and what it shows is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from starlette.testclient import TestClient

from fullconv.training.settings.experiment import Experiment
from fullconv.workbench.services.experiment_schema import experiment_schema
from fullconv.workbench.services.plans import EXAMPLE
from hostile_requests import operations


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    return dict(client.get("/api/v1/openapi.json").json())


def contents(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All JSON that operations take and give, with what it is."""
    for method, path, operation in operations(document):
        bodies = {"request": operation.get("requestBody", {})}
        bodies |= {code: answer for code, answer in operation["responses"].items() if code.startswith("2")}
        for where, body in bodies.items():
            for kind, content in body.get("content", {}).items():
                if kind == "application/json" or kind.endswith("+json"):
                    yield f"{method} {path} {where} {kind}", content


def example_of(part: dict[str, Any], document: dict[str, Any]) -> Any:
    """The example of a content or schema, or one made of those of its parts; none where a part has none."""
    if "example" in part:
        return part["example"]
    if "schema" in part:
        return example_of(part["schema"], document)
    if "$ref" in part:
        return example_of(document["components"]["schemas"][part["$ref"].rpartition("/")[2]], document)
    if part.get("type") == "array":
        inner = example_of(part.get("items", {}), document)
        return None if inner is None else [inner]
    found = (example_of(branch, document) for branch in part.get("anyOf", ()))
    return next((example for example in found if example is not None), None)


def without_required(schema: Any) -> Any:
    """The same where every field may be left out: FastAPI leaves nulls out of examples."""
    if isinstance(schema, list):
        return [without_required(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: without_required(inner)
        for name, inner in schema.items()
        if not (name == "required" and isinstance(inner, list))
    }


def test_everything_that_is_json_has_an_example(document: dict[str, Any]) -> None:
    without = [what for what, content in contents(document) if example_of(content, document) is None]
    assert without == []


def test_examples_are_as_their_schemas_say(document: dict[str, Any]) -> None:
    wrong, parts = {}, without_required(document["components"])
    for what, content in contents(document):
        example, schema = example_of(content, document), content.get("schema", {})
        whole = without_required(schema) | {"components": parts}
        problem = next(jsonschema_rs.Draft202012Validator(whole).iter_errors(example), None)
        if problem is not None:
            wrong[what] = f"{problem.instance_path}: {problem.message[:200]}"
    assert wrong == {}


def test_plans_and_runs_say_what_an_experiment_is(document: dict[str, Any]) -> None:
    for path in ("plans", "runs"):
        body = document["paths"][f"/api/v1/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        schema = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
        fields = schema["properties"]["experiment"]["anyOf"][0]["properties"]
        assert set(fields) == set(Experiment.model_fields)
        assert all("$ref" not in str(field) for field in fields.values())


@pytest.mark.parametrize(
    ("experiment", "right"),
    [
        (EXAMPLE, True),
        ("dataset: streets", True),
        ({"dataset": "streets", "crop": [64, 96]}, True),
        ({"dataset": "streets", "seed": [1, 2, 3], "optimization": {"learning_rate": [0.1, 0.2]}}, True),
        ({"dataset": "streets", "loss": "cross-entropy+dice", "regime": "patchwise"}, True),
        ({"dataset": "streets", "loss": {"terms": "dice"}, "optimization": {"policy": "poly"}}, True),
        ({"seed": 1}, False),
        ({"dataset": "streets", "colour": "red"}, False),
        ({"dataset": "streets", "epochs": "many"}, False),
        ({"dataset": "streets", "optimization": {"speed": 1}}, False),
    ],
)
def test_the_schema_of_an_experiment_takes_what_is_one(experiment: Any, right: bool) -> None:
    assert jsonschema_rs.Draft202012Validator(experiment_schema()).is_valid(experiment) == right


def test_an_experiment_with_all_that_is_left_open_fits_the_schema() -> None:
    whole = Experiment(dataset="streets").model_dump(mode="json")
    jsonschema_rs.Draft202012Validator(experiment_schema()).validate(whole)
