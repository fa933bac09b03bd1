from __future__ import annotations

import os
import random
import shutil
import string
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from commands import run
from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench import catalogue as module
from fullconv.workbench.annotations import Annotations, read_annotations, write_annotations
from fullconv.workbench.catalogue import Catalogue
from fullconv.workbench.database import connect
from fullconv.workbench.services.upload_use import used_uploads
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace


@pytest.fixture
def bench(home: Workspace, database: str) -> Iterator[Workbench]:
    """A workbench on a database of each kind."""
    made = Workbench(ServerSettings(home, database=database))
    made.catalogue.refresh()
    yield made
    made.engine.dispose()


def test_the_catalogue_follows_the_directories(bench: Workbench) -> None:
    assert bench.catalogue.refresh() == 0
    write_annotations(bench.home.run("first"), Annotations(tags=("paper",), note="good"))
    assert bench.catalogue.refresh() == 1
    (entry,) = bench.catalogue.entries("run")
    assert (entry.tags, entry.facts["note"], entry.state) == ("\npaper\n", "good", "done")
    shutil.copytree(bench.home.run("first"), bench.home.run("second"))
    shutil.rmtree(bench.home.run("first"))
    bench.catalogue.refresh()
    assert [entry.name for entry in bench.catalogue.entries("run")] == ["second"]


def test_a_run_whose_process_is_gone_is_shown_as_killed(bench: Workbench) -> None:
    directory = bench.home.run("first")
    running = Status.now("running", read_status(directory))
    write_status(directory, running)
    bench.catalogue.refresh()
    assert bench.catalogue.entries("run")[0].state == "running"
    write_status(directory, running.model_copy(update={"identity": "another"}))
    bench.catalogue.refresh()
    assert bench.catalogue.entries("run")[0].state == "killed"


def test_a_damaged_directory_is_listed_with_what_is_wrong(bench: Workbench) -> None:
    (bench.home.run("first") / "status.json").write_text("{")
    bench.catalogue.refresh()
    (entry,) = bench.catalogue.entries("run")
    assert "is damaged" in (entry.problem or "")


def test_the_catalogue_is_forgotten_and_read_again(bench: Workbench) -> None:
    before = [entry.model_dump() for entry in bench.catalogue.entries("run")]
    assert bench.catalogue.rebuild()["run"] == 1
    assert [entry.model_dump() for entry in bench.catalogue.entries("run")] == before


def test_the_catalogue_is_never_empty_while_it_is_read_again(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever deletes something asks it what others need."""
    seen = []

    def looked(directory: Path) -> Annotations:
        seen.append(len(bench.catalogue.entries("run")))
        return read_annotations(directory)

    monkeypatch.setattr(module, "read_annotations", looked)
    bench.catalogue.rebuild()
    assert seen
    assert set(seen) == {1}


def test_a_model_may_say_of_itself_what_no_column_takes(bench: Workbench) -> None:
    """Anybody can write a package: zero characters, and texts for which no index has room."""
    random.seed(0)
    long = "".join(random.choices(string.ascii_letters + "äöüß猫", k=5000))
    for name, dataset in (("zero", "a\0b"), ("long", long)):
        package = bench.home.model(name)
        shutil.copytree(bench.home.run("first") / "model", package)
        card = yaml.safe_load((package / "model.yaml").read_text())
        card["scores"][0]["dataset"] = dataset
        card["history"][0]["when"] = dataset
        (package / "model.yaml").write_text(yaml.safe_dump(card))
    bench.catalogue.refresh()
    found = {entry.name: entry.dataset for entry in bench.catalogue.entries("model")}
    assert found == {"zero": "a\N{REPLACEMENT CHARACTER}b", "long": long[:500]}
    assert bench.catalogue.refresh() == 0


def test_a_run_keeps_its_dataset_by_a_path_of_any_length(bench: Workbench) -> None:
    plan = bench.home.run("first") / "experiment.yaml"
    plan.write_text(plan.read_text().replace("dataset: streets", f"dataset: /{'far/' * 200}streets"))
    bench.catalogue.refresh()
    (entry,) = bench.catalogue.entries("run")
    assert (entry.problem, len(entry.dataset or "")) == (None, 500)
    assert used_uploads(bench) is None, "it may name any of them"


def test_several_servers_may_read_the_same_directories_at_once(bench: Workbench, database: str) -> None:
    for number in range(40):
        shutil.copytree(bench.home.run("first"), bench.home.run(f"run-{number}"), copy_function=os.link)
    others = [Catalogue(bench.home, connect(database)) for _ in range(3)]
    problems: list[BaseException] = []

    def refresh(catalogue: Catalogue) -> None:
        try:
            catalogue.refresh()
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=refresh, args=(catalogue,)) for catalogue in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for catalogue in others:
        catalogue.engine.dispose()
    assert problems == []
    assert len(bench.catalogue.entries("run")) == 41


def test_the_catalogue_can_be_made_again_from_the_shell(home: Workspace) -> None:
    bench = Workbench(ServerSettings(home))
    bench.catalogue.refresh()
    before = [entry.model_dump() for entry in bench.catalogue.entries("run")]
    for file in bench.home.root.glob("workbench.sqlite*"):
        file.unlink()
    code, output, _ = run("workspace", "rebuild", "--workspace", bench.home.root)
    assert code == 0
    assert "run: 1" in output
    again = Catalogue(bench.home, connect(bench.settings.database_url))
    assert [entry.model_dump() for entry in again.entries("run")] == before
