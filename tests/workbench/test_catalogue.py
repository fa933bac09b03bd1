from __future__ import annotations

import shutil

from commands import run
from fullconv.training.status import Status, read_status, write_status
from fullconv.workbench.annotations import Annotations, write_annotations
from fullconv.workbench.catalogue import Catalogue
from fullconv.workbench.database import connect
from fullconv.workbench.workbench import Workbench


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
    write_status(directory, running.model_copy(update={"started": 1.0}))
    bench.catalogue.refresh()
    assert bench.catalogue.entries("run")[0].state == "killed"


def test_a_damaged_directory_is_listed_with_what_is_wrong(bench: Workbench) -> None:
    (bench.home.run("first") / "status.json").write_text("{")
    bench.catalogue.refresh()
    (entry,) = bench.catalogue.entries("run")
    assert "is damaged" in (entry.problem or "")


def test_the_catalogue_can_be_made_again_from_the_shell(bench: Workbench) -> None:
    before = [entry.model_dump() for entry in bench.catalogue.entries("run")]
    for file in bench.home.root.glob("workbench.sqlite*"):
        file.unlink()
    code, output, _ = run("workspace", "rebuild", "--workspace", bench.home.root)
    assert code == 0
    assert "run: 1" in output
    again = Catalogue(bench.home, connect(bench.settings.database_url))
    assert [entry.model_dump() for entry in again.entries("run")] == before
