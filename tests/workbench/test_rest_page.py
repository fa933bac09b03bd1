"""The page on REST: what it says is run, block by block, against a server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image

import fullconv as fc
from fullconv.workspace import Workspace
from programs import program
from workbench.conftest import QUICK

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "rest.md"
QUICKLY = ", ".join(f"{name}={value!r}" for name, value in (QUICK | {"epochs": 1}).items() if name != "network")


@pytest.fixture
def folder(tmp_path: Path, scenes: Path) -> Path:
    """Where a reader works: two photos, and a folder of photos."""
    files = sorted((scenes / "test" / "images").glob("*.png"))
    (tmp_path / "photos").mkdir()
    for file, name in zip(files * 3, ("photo.jpg", "other.jpg", "photos/one.jpg"), strict=False):
        Image.open(file).save(tmp_path / name)
    return tmp_path


def code(language: str, url: str, folder: Path) -> str:
    """All of the page's code in a language, with this server and this folder in place of the page's."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    told = "\n".join(found).replace("http://127.0.0.1:8460", url).replace("/data/photos", str(folder / "photos"))
    return told.replace('"fcn4s-mobilenet_v2", epochs=20', f'"{QUICK["network"]}", {QUICKLY}')


def test_the_pages_code_works(serve: Callable[..., str], home: Workspace, folder: Path) -> None:
    program("curl")
    shutil.copytree(home.run("first") / "model", home.model("streets"))
    url = serve(home, "--root", str(folder))
    environment = os.environ | {"PYTHONPATH": str(Path(fc.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    for command in (
        ["bash", "-euo", "pipefail", "-c", code("bash", url, folder)],
        [sys.executable, "-c", code("python", url, folder)],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    names = ("labels.png", "photo.jpg", "overlay.png")
    with ExitStack() as stack:
        labels, photo, overlay = (stack.enter_context(Image.open(folder / name)) for name in names)
        assert labels.size == photo.size
        assert overlay.mode == "RGB"
    for name, entries in (("labels.zip", 3), ("predictions.zip", 3)):
        with zipfile.ZipFile(folder / name) as archive:
            assert len(archive.namelist()) == entries


def test_the_page_names_every_form(home: Workspace) -> None:
    from fullconv.workbench.predicting.answers import FORMS

    told = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{form}` |" in told for form in FORMS)
