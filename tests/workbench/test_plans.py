"""Plans before they run: resolved, priced, and every wrong field told."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from starlette.testclient import TestClient

from fullconv.training.forecast.forecasting import forecast
from fullconv.training.settings.experiment import Experiment, Plan
from fullconv.workbench.pages.plan_draft import line_of, read_value
from fullconv.workbench.services.plan_form import LEFT_OUT, SECTIONS, FormField, form_fields
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from workbench.conftest import QUICK

QUICK_PLAN = {"dataset": "streets", **QUICK}


def post(client: TestClient, experiment: Any, path: str = "", status: int = 200, **query: Any) -> Any:
    answer = client.post(f"/api/v1/plans{path}", json={"experiment": experiment}, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


def wrong(client: TestClient, experiment: Any) -> dict[str, str]:
    found = post(client, experiment, status=422)
    assert found["detail"]
    return {error["field"]: error["message"] for error in found["errors"]}


def test_a_plan_is_what_would_run_with_nothing_left_open(client: TestClient) -> None:
    found = post(client, {"dataset": "streets", "network": "fcn8s-squeezenet1_1", "weights": "random"}, memory=False)
    assert Plan.model_validate(found["plan"]).views > 1
    assert yaml.safe_load(found["yaml"]) == found["plan"]
    assert (found["runs"], found["axes"], found["memory"]) == (1, {}, None)
    assert found["images"] == {"train": 11, "val": 3, "test": 2}
    assert found["steps"] == found["steps_per_epoch"] * found["plan"]["epochs"]
    rates = [rate for _, rate in found["curve"]]
    assert max(rates) == pytest.approx(found["plan"]["optimization"]["learning_rate"], rel=0.01)
    assert found["curve"][-1][0] == found["steps"] - 1
    assert found["commonest"]["name"] in found["classes"]
    assert found["stride"] == 8
    assert 0 < found["ceiling"] < 1


def test_memory_is_what_the_forecast_says(client: TestClient, home: Workspace) -> None:
    found = post(client, QUICK_PLAN)["memory"]
    settings = {key: value for key, value in QUICK_PLAN.items() if key != "dataset"}
    expected = forecast("streets", workspace=home, trial=False, settings=settings)
    assert {each["batch_size"]: each["total"] for each in found["batches"]} == {
        each.batch_size: each.total for each in expected.batches
    }
    assert found["largest_batch"] == expected.largest_batch
    assert all(each["weights"] + each["activations"] + each["other"] == each["total"] for each in found["batches"])


def test_yaml_and_fields_are_one(client: TestClient) -> None:
    text = yaml.safe_dump(QUICK_PLAN)
    assert post(client, text, memory=False) == post(client, QUICK_PLAN, memory=False)


def test_lists_make_several_runs(client: TestClient) -> None:
    lists = {"seed": [0, 1, 2], "optimization": {"learning_rate": [1e-3, 1e-2]}}
    found = post(client, QUICK_PLAN | lists, memory=False)
    assert found["runs"] == 6
    assert found["axes"] == {"seed": [0, 1, 2], "optimization.learning_rate": [1e-3, 1e-2]}
    assert found["plan"]["seed"] == 0
    assert post(client, QUICK_PLAN | {"folds": 3}, memory=False)["runs"] == 3


def test_every_wrong_field_is_told_in_plain_words(client: TestClient) -> None:
    asked = {
        "dataset": "streets",
        "regime": {"kind": "patchwise", "step": 0},
        "epoch": 3,
        "seed": [1, "two"],
        "optimization": {"learning_rate": -1, "policy": {"kind": "stepp"}},
        "crop": [64],
        "batch_size": "many",
    }
    found = wrong(client, asked)
    assert set(found) == {
        "regime.step",
        "epoch",
        "seed",
        "optimization.learning_rate",
        "optimization.policy.kind",
        "crop.1",
        "batch_size",
    }
    assert found["epoch"] == "there is no such setting; do you mean epochs?"
    assert found["batch_size"] == "give a whole number, not 'many'"
    assert found["crop.1"] == "is missing"
    assert "one-cycle" in found["optimization.policy.kind"]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"crop": [8, 8]}, "crop", "at least 32 pixels"),
        ({"optimization": {"optimizer": "nesterov", "momentum": 0}}, "optimization.momentum", "above 0"),
        ({"network": "fcn8s-nonsense"}, "network", "no backbone is named 'nonsense'"),
        ({"network": "../x"}, "network", "no network is named"),
        ({"dataset": "nowhere"}, "dataset", "no dataset 'nowhere'"),
        ({"dataset": "/etc/dataset.yaml"}, "dataset", "outside the allowed folders"),
        ({"weights": "/etc/passwd"}, "weights", "outside the allowed folders"),
        ({"weights": "nobody"}, "weights", "no model, weights or finished run"),
        ({"network": "/tmp/net.py:build"}, "network", "--allow-code"),
        ({"group": "../up"}, "group", "cannot be a name"),
        ({"folds": 2, "group_by": "(a+"}, "group_by", "no regular expression"),
        ({"folds": 2, "group_by": "a" * 201}, "group_by", "too long"),
        ({"nodes": 2}, "nodes", "torchrun"),
        ({"epochs": 10**12}, "epochs", "too large"),
        ({"seed": list(range(300))}, "seed", "300 runs"),
        ({"regime": {"kind": "patchwise", "size": [32, 32]}}, "regime.loss_at", "no receptive field"),
        ({"optimization": {"backbone": "frozen"}, "heads": {"a": "all"}}, "heads", "the first head"),
    ],
)
def test_what_cannot_be_asked_for_is_told_at_its_field(
    client: TestClient, change: dict[str, Any], field: str, words: str
) -> None:
    found = wrong(client, QUICK_PLAN | {"crop": None} | change)
    if field == "regime.loss_at":  # the sentence has no field of its own
        assert words in next(iter(found.values()))
    else:
        assert words in found[field]


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "just words",
        "- a\n- b",
        "a: &x [1]\nb: [*x, *x]",
        "[" * 2000,
        "a: " + "{b: " * 40,
        "!!python/object/apply:os.system ['true']",
        "dataset: streets\nseed: 99999999999999999999999999999999",
        "1: 2",
    ],
)
def test_hostile_text_is_refused(client: TestClient, text: str) -> None:
    assert wrong(client, text)


def test_samples_are_pictures_of_views(client: TestClient) -> None:
    found = post(client, QUICK_PLAN, "/samples", count=3, first=2)
    assert [sample["place"] for sample in found["samples"]] == [2, 3, 4]
    assert all(sample["key"].startswith("train/") for sample in found["samples"])
    for sample in found["samples"]:
        for kind in ("picture", "labels", "overlay"):
            picture = Image.open(io.BytesIO(base64.b64decode(sample[kind].partition(",")[2])))
            assert picture.size == (sample["width"], sample["height"]) == (64, 64)
    again = post(client, QUICK_PLAN, "/samples", count=3, first=2)
    other = post(client, QUICK_PLAN, "/samples", count=3, first=2, epoch=2)
    assert again == found
    assert other["samples"] != found["samples"]


def test_samples_too_large_to_show_are_refused(client: TestClient) -> None:
    found = client.post("/api/v1/plans/samples", json={"experiment": QUICK_PLAN | {"crop": [90_000, 90_000]}})
    assert found.status_code == 422
    assert found.json()["errors"][0]["field"] == "crop"


def test_time_is_measured_in_a_job(client: TestClient, bench: Workbench, work: Callable[[int], None]) -> None:
    job = post(client, QUICK_PLAN, "/forecast", status=202)
    assert (job["kind"], job["device"]) == ("forecast", "aside")
    work(job["id"])
    found = client.get(f"/api/v1/jobs/{job['id']}").json()
    assert found["state"] == "done", found
    assert found["result"]["times"]["epoch"] > 0
    assert found["result"]["memory"]["largest_batch"] >= 4
    assert not list(bench.home.runs.glob("*forecast*"))


def test_the_form_has_every_setting_with_an_explanation(client: TestClient) -> None:
    asked_for = {name for names in SECTIONS.values() for name in names}
    assert asked_for | set(LEFT_OUT) == set(Experiment.model_fields)
    fields = {field.path: field for field in form_fields()}
    assert all(field.help for field in fields.values() if not field.only), [f.path for f in form_fields() if not f.help]
    assert fields["optimization.optimizer"].choices[0] == "adamw"
    assert fields["crop"].kind == "pair"
    assert fields["loss.boundary.width"].default is None
    assert fields["optimization.policy.gamma"].only == {
        "optimization.policy.kind": ("step", "multistep", "exp", "inv", "sigmoid")
    }
    assert [field["path"] for field in client.get("/api/v1/plans/fields").json()] == [f.path for f in form_fields()]


def test_a_file_of_weights_must_lie_in_an_allowed_folder(
    client: TestClient, home: Workspace, scenes: Path, tmp_path: Path
) -> None:
    package = str(home.runs / "first" / "model")
    found = post(client, QUICK_PLAN | {"weights": "first"}, memory=False)
    assert found["plan"]["weights"] == package
    assert found["weights"] == "first"
    pickle = scenes.parent / "weights.pth"
    pickle.write_bytes(b"x")
    assert "safetensors" in wrong(client, QUICK_PLAN | {"weights": str(pickle)})["weights"]
    link = scenes.parent / "link.safetensors"
    link.unlink(missing_ok=True)
    outside = tmp_path / "outside.safetensors"
    outside.touch()
    link.symlink_to(outside)
    assert "outside" in wrong(client, QUICK_PLAN | {"weights": str(link)})["weights"]


@pytest.mark.parametrize("value", ["!!bool x", "!!int ''", "!!timestamp x", ":".join("1" * 200) + ".5"])
def test_values_that_are_not_what_their_tags_say_are_no_yaml(client: TestClient, value: str) -> None:
    assert "no YAML" in post(client, f"dataset: streets\nepochs: {value}", status=422)["detail"]
    field = FormField(path="loss.terms", section="", label="", help="", kind="yaml")
    assert read_value(field, value) == value


def test_a_text_that_is_no_yaml_has_no_lines() -> None:
    assert line_of('epochs: "\\UFFFFFFFF"', "epochs") is None
