"""`fullconv demo`: the whole job on generated street scenes, with an account of what happens and where things lie."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from PIL import Image
from rich.console import Console

from fullconv.cli.console import one_sentence, stoppable
from fullconv.cli.data_report import dataset_report
from fullconv.data.dataset import Dataset
from fullconv.data.pictures import colorize, grid
from fullconv.data.scenes import write_scenes
from fullconv.errors import StorageError
from fullconv.files import disk_errors
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from fullconv.prediction.model import Model

SCENES = 1800
SIZE = (240, 180)
SEED = 20
NEW_SCENES, NEW_SEED = 6, 2000
MARK = "made-by-fullconv-demo"
COMPARISON = "comparison.png"
COMPARED = 4

NETWORK = "fcn2s-compact-features"
SETTINGS: dict[str, Any] = {
    "weights": "random",
    "crop": (180, 240),
    "batch_size": 8,
    "epochs": 10,
    "views": 1,
    "validate_every": 5,
    "class_weights": "none",
    "augmentation": {"scale": (1.0, 1.0), "brightness": 0.2, "contrast": 0.1, "saturation": 0.1, "hue": 0.0},
    "optimization": {"learning_rate": 6e-3},
}
"""A small network from random weights, so that the demo needs no download and ends in minutes on two cores. Every
scene is seen ten times only, and there are many: more scenes do here what augmentation does elsewhere."""


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything the demo makes.")] = Path("demo"),
) -> None:
    """Generated scenes → check → train → evaluate → predict → report, in a few minutes on two cores."""
    from fullconv.prediction.folder import predict_files
    from fullconv.training.fit import train

    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    started = time.monotonic()
    with stoppable(), one_sentence():
        root = _fresh(out)
        home = Workspace(root / "workspace")

        say(f"\n[bold]1 Scenes.[/bold] {SCENES} street scenes with exact labels of 12 classes, made by the program.")
        scenes = write_scenes(root / "scenes", count=SCENES, seed=SEED, size=SIZE)

        say("\n[bold]2 Check.[/bold] Every image and label is read once: format, pairs, problems, class shares.")
        data = Dataset.from_folders(scenes, name="streets")
        data.save(home)
        say(dataset_report(data))

        say(f"\n[bold]3 Train.[/bold] {NETWORK} from random weights; best epoch by validation mean IoU.")
        before = time.monotonic()
        run = train("streets", NETWORK, workspace=home, settings=SETTINGS)
        minutes = (time.monotonic() - before) / 60

        say("\n[bold]4 Evaluate.[/bold] One confusion matrix over the test scenes, which the network never saw.")
        say(run.scores.table())

        say(f"\n[bold]5 Predict.[/bold] {NEW_SCENES} scenes of another seed: label maps, overlays, shares per class.")
        new = write_scenes(root / "new-scenes", count=NEW_SCENES, seed=NEW_SEED, size=SIZE, splits=False)
        pictures = root / "predictions"
        predict_files(run.model, [new / "images"], pictures)
        _compare(run.model, data.test, root / COMPARISON)
    commonest = data.statistics.commonest
    baseline = "" if commonest is None else f" (always saying {commonest.name!r}: {commonest.pixel_accuracy:.1%})"
    print(
        f"\nPixel accuracy {run.scores.pixel_accuracy:.1%}{baseline}, mean IoU {run.scores.mean_iou:.3f} on "
        f"{len(data.test)} unseen scenes;\ntraining and evaluation {minutes:.1f} min, "
        f"all {(time.monotonic() - started) / 60:.1f} min.\n\n"
        f"Report       {run.directory / 'report' / 'report.html'}\n"
        f"Pictures     {pictures}\n"
        f"Comparison   {root / COMPARISON}   (image, prediction, truth)\n"
        f"Model        {run.directory / 'model'}\n"
        f"Scenes       {scenes}\n\n"
        f"Your own images: fullconv train FOLDER   (FOLDER/images and FOLDER/labels)\n"
        f"This model:      fullconv predict {run.directory / 'model'} IMAGE --out DIR"
    )


def _compare(model: Model, data: Dataset, path: Path) -> None:
    """A few test scenes: image, prediction, truth."""
    rows = []
    for index in range(min(COMPARED, len(data))):
        image, truth = data[index]
        rows.append([image, colorize(model.label(image), data.classes), colorize(truth, data.classes)])
    Image.fromarray(grid(rows)).save(path)


def _fresh(out: Path) -> Path:
    """The folder without what an earlier demo drew and predicted; runs stay, and so does everything of the user's.

    Raises:
        StorageError: it holds something and was not made by a demo, or cannot be written.
    """
    root = out.absolute()
    with disk_errors(root):
        if root.exists() and not (root / MARK).is_file() and (not root.is_dir() or any(root.iterdir())):
            raise StorageError("holds something that no demo made", where=root, remedy="give another folder with --out")
        root.mkdir(parents=True, exist_ok=True)
        (root / MARK).touch()
        for made in ("scenes", "new-scenes", "predictions", "workspace/datasets/streets", "workspace/cache"):
            shutil.rmtree(root / made, ignore_errors=True)
    return root
