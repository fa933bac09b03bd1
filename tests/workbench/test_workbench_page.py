"""The page on the workbench: its commands are run, all of them, against a server; and no page has others."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import fullconv as fc
from fullconv.training.fit import plan_run
from fullconv.workbench.services.run_ending import abort_run
from fullconv.workbench.services.run_starting import resume_run
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace
from programs import program
from workbench.conftest import QUICK

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "workbench.md"
OTHER = ROOT / "docs" / "how-to" / "rest.md"
"""Its commands are run by `test_rest_page.py`."""
FAILING = 'curl() { command curl --fail-with-body -S "$@" || { echo "refused: $*" >&2; exit 1; }; }\n'
GROUP = {"axes": {"seed": [0]}, "runs": [{"run": "first", "settings": {"seed": 0}, "split": "test", "scores": {}}]}


def code(page: Path, language: str) -> str:
    """All of a page's code in a language."""
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))


def test_no_page_has_commands_that_no_test_runs() -> None:
    pages = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")]
    assert {page for page in pages if "curl" in code(page, "bash")} == {PAGE, OTHER}
    for page in pages:
        rest = re.sub(r"```bash\n.*?```|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert "curl" not in rest, page


@pytest.fixture
def told(home: Workspace, bench: Workbench, tmp_path: Path, scenes: Path) -> Path:
    """A folder with the files that the page names, beside a workspace with its runs, its group and its job."""
    shutil.copytree(home.run("first"), home.run("second"))
    plan_run("streets", QUICK, workspace=home).rename(home.run("third"))
    group = home.root / "groups" / "seeds"
    group.mkdir(parents=True)
    (group / "summary.json").write_text(json.dumps(GROUP), encoding="utf-8")
    for number in range(1, 8):
        job = resume_run(bench, "third")
        assert job.id == number
        abort_run(bench, "third")
    folder = tmp_path / "reader"
    folder.mkdir()
    Image.open(min((scenes / "test" / "images").iterdir())).save(folder / "photo.jpg")
    save_file({"a.weight": torch.zeros(4)}, folder / "vgg16.safetensors")
    torch.save({"a.weight": torch.ones(4)}, folder / "vgg16.pth")
    return folder


def test_every_command_does_what_the_page_says(
    serve: Callable[..., str], home: Workspace, bench: Workbench, told: Path
) -> None:
    program("curl")
    url = serve(home, "--cpu-jobs", "0", "--root", str(told))
    commands = FAILING + code(PAGE, "bash")
    assert commands.count("http://") == 1
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands.replace("http://127.0.0.1:8460", url)],
        cwd=told,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "refused" not in done.stderr
    assert '"problem":"' not in done.stdout  # of a selection
    assert {"tiles.png", "filters.png", "difference.png", "compared.json", "streets.zip"} <= {
        path.name for path in told.iterdir()
    }
    assert len(bench.queue.jobs(states=("queued",))) == 1 + 3 + 1  # "third" goes on; three runs and their summary
    assert home.model("streets").is_dir()
    assert [path.name for path in home.models.glob("*/weights.safetensors")] == ["weights.safetensors"]


def test_the_pages_python_works(told: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(fc.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code(PAGE, "python")], cwd=told, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert load_file(told / "vgg16.safetensors")["a.weight"].sum() == 4
