"""What goes with a server goes when it was killed, too, and never from under another one."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fullconv.files import staged_directory, staged_name
from fullconv.workbench.predicting.images import Upload
from fullconv.workbench.scratch import STAGED, Scratch
from fullconv.workbench.services.layers import hold_image
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

TRIALS = "/api/v1/trials"
KILLED = """
import os, signal, sys
from pathlib import Path
from fullconv.workbench.scratch import Scratch
from fullconv.workspace import Workspace
(Scratch(Workspace(Path(sys.argv[1]))).folder("trials") / "image-0.npy").write_text("left behind")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_server_left_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    other = Scratch(home)
    (other.folder("images") / "one").write_text("in use")
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert len(list((home.cache / ".servers").iterdir())) == 2
    (home.cache / ".servers" / "elsewhere~1~1.000~0123abcd").mkdir()
    assert Scratch(home).sweep() == 1
    assert (other.root / "images" / "one").is_file()
    assert (home.cache / ".servers" / "elsewhere~1~1.000~0123abcd").is_dir(), "another machine's"


@pytest.mark.parametrize("place", ["datasets", "runs", "models", "uploads"])
def test_what_was_being_written_or_deleted_a_day_ago_goes(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (staged_name("streets"), ".old.20250101", ".hidden", "streets"):
        (tmp_path / place / name).mkdir(parents=True)
    scratch = Scratch(Workspace(tmp_path))
    assert scratch.sweep() == 0
    monkeypatch.setattr("fullconv.workbench.scratch.STAGED_SECONDS", -1)
    assert scratch.sweep() == 1
    assert {path.name for path in (tmp_path / place).iterdir()} == {".old.20250101", ".hidden", "streets"}


def test_no_visitor_names_what_another_one_uploaded(client: TestClient, bench: Workbench, scenes: Path) -> None:
    shutil.copy(next(scenes.rglob("images/*.png")), bench.scratch.folder("images") / "photo.png")
    path = bench.scratch.root / "images" / "photo.png"
    answer = client.post(TRIALS, json={"model": "first", "image": f"path:{path}"})
    assert (answer.status_code, "outside the allowed folders" in answer.text) == (403, True)


def test_discarding_works_without_a_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    (tmp_path / "models" / "a").mkdir(parents=True)
    Scratch(Workspace(tmp_path)).discard(tmp_path / "models" / "a")
    assert not list((tmp_path / "models").iterdir())


def test_what_is_written_or_deleted_is_called_so_that_it_is_found_again(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    with staged_directory(tmp_path / "models" / "a") as partial:
        assert STAGED.fullmatch(partial.name)
    assert STAGED.fullmatch(Scratch(Workspace(tmp_path)).set_aside(tmp_path / "models" / "a").name)


def test_a_cleaned_cache_costs_the_trials_and_nothing_else(client: TestClient, bench: Workbench) -> None:
    wish = {"model": "first", "image": "shapes"}
    first = client.post(TRIALS, json=wish).json()
    shutil.rmtree(bench.home.cache)
    tile = client.get(f"{TRIALS}/{first['id']}/tiles/labels/0/0/0")
    assert tile.status_code == 404, tile.text
    second = client.post(TRIALS, json=wish)
    assert second.status_code == 201, second.text
    assert client.get(f"{TRIALS}/{second.json()['id']}/tiles/labels/0/0/0").status_code == 200


def test_held_images_survive_cleaning_as_places(client: TestClient, bench: Workbench, scenes: Path) -> None:
    photo = next(scenes.rglob("images/*.png")).read_bytes()
    held = client.post("/api/v1/images", content=photo).json()["image"]
    shutil.rmtree(bench.home.cache)
    layers = client.get("/api/v1/models/first/layers", params={"image": held})
    assert layers.status_code == 404, layers.text
    assert client.post("/api/v1/images", content=photo).status_code == 201


async def _held(bench: Workbench, path: Path) -> str:
    return await hold_image(bench, Upload("a.png", path))


def test_nothing_is_left_of_an_image_that_is_refused(bench: Workbench) -> None:
    path = bench.scratch.folder("uploads") / "upload-1"
    path.write_bytes(b"no image")
    with pytest.raises(Exception, match=r"a\.png"):
        asyncio.run(_held(bench, path))
    assert not path.exists()


def test_a_workbench_that_ends_leaves_nothing(client: TestClient, bench: Workbench) -> None:
    with client:
        assert client.post(TRIALS, json={"model": "first", "image": "shapes"}).status_code == 201
        assert bench.scratch.root.is_dir()
    assert not bench.scratch.root.exists()
    assert not list((bench.home.cache / ".servers").iterdir())
