"""The story of the DIGITS 5 article, told again: what transfer and skips do for a fully convolutional network.

Four stages on one set of images, each of which answers a question:

1. An FCN-32s from random weights: where does it get stuck, against always saying the commonest class?
2. The same network from ImageNet weights: is 90 % of the pixels within reach, and what do the contours look like?
3. An FCN-8s that starts from stage 2: what do skips add, and how soon?
4. A classifier of patches, made dense: what does it see, and what does it see once it has skips?

Run: python examples/story.py --weights mobilenet_v2-imagenet.safetensors     (about half an hour on two cores)
and with --camvid FOLDER on CamVid too. Stages that are done are not trained again. --quick shows the way in a minute.

Source: G. Heinrich, "Image Segmentation Using DIGITS 5", NVIDIA developer blog, 2016.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import story_pages as pages
from patch_classifier import as_start_of_fcn, labels_of, load_patch_classifier, slide, train_patch_classifier

import fullconv as fc
from fullconv.cli.console import parse_size
from fullconv.data.scenes import write_scenes
from fullconv.errors import PlanError
from fullconv.prediction.classifying import class_index
from fullconv.training.stopping import StopRequested
from fullconv.workspace import Workspace

COARSE, FINE = "fcn32s-mobilenet_v2", "fcn8s-mobilenet_v2"
WITHOUT_NORM = "fcn32s-alexnet"
SCENES_SEED = 2016


@dataclass(frozen=True)
class Pace:
    """How much is drawn, trained and seen.

    Args:
        scenes: how many; size: their width and height.
        epochs: of stages 1 and 2; short_epochs: of what starts from a trained network.
        epoch_pixels: that an epoch shows at least, by several views of each image.
        patch: side of a patch; patches: how many the classifier sees.
        settings: of every training, see docs/reference/experiment.md.
        processes: that draw scenes; None for one per core.
    """

    scenes: int
    size: tuple[int, int]
    epochs: int
    short_epochs: int
    epoch_pixels: float
    patch: int
    patches: int
    settings: dict[str, Any]
    processes: int | None = None


FULL = Pace(
    scenes=480,
    size=(960, 720),  # stride 32 leaves no room for 90 % in smaller scenes; SYNTHIA's images are as large
    epochs=6,
    short_epochs=3,
    epoch_pixels=1e8,
    patch=128,
    patches=19_200,
    settings={
        "batch_size": 4,
        "validate_every": 1,
        "class_weights": "none",
        "loss": "cross-entropy",
        "augmentation": {"scale": [0.8, 1.25], "brightness": 0.2, "contrast": 0.1, "saturation": 0.1, "hue": 0.0},
    },
)
QUICK = Pace(
    scenes=14,
    size=(96, 72),
    epochs=1,
    short_epochs=1,
    epoch_pixels=0,
    patch=32,
    patches=32,
    settings=FULL.settings | {"workers": 0, "precision": "fp32"},
    processes=1,
)


def tell(data: fc.Dataset, name: str, pace: Pace, *, weights: str, home: Workspace, page: Path, heat: str) -> None:
    """All stages on one dataset, then the figures and the table of the page."""
    if not len(data.test):
        raise PlanError("has no test images", where=data.name, remedy="give more images")
    names, test, shown_class = data.classes.names, data.test, class_index(data.classes.names, heat)
    commonest = data.statistics.commonest
    print(f"\n{data.name}: {len(data.train)} images to learn from, {len(data.test)} to be scored on.")
    print(f"Always saying {commonest.name!r} scores {commonest.pixel_accuracy:.1%} of the pixels.")

    # As much of an image as two cores like, in whole cells of the coarsest stride.
    crop = [32 * max(2, round(side * 2 / 3 / 32)) for side in data.sizes[0]]
    views = max(1, round(pace.epoch_pixels / (crop[0] * crop[1] * len(data.train))))

    def stage(key: str, network: str, start: str, epochs: int, **more: Any) -> fc.Run:
        """A run of its own group. A sweep over one seed finds the run again: done, or to be continued."""
        print(f"\n{key}: {network} from {start}")
        settings = pace.settings | {"crop": crop, "views": views} | more
        group = fc.sweep(
            data,
            network,
            group=f"{data.name}-{key}",
            workspace=home,
            seed=[0],
            epochs=[epochs],
            weights=start,
            **settings,
        )
        return group.runs[0]

    # Stage 1. Random weights: as the article had it, plain SGD on a network without batch norm; and with today's means.
    plain = {"optimizer": "sgd", "learning_rate": 1e-3, "policy": "fixed"}
    stuck = stage("1-plain", WITHOUT_NORM, "random", pace.short_epochs, optimization=plain)
    scratch = stage("1-random", COARSE, "random", pace.epochs)

    # Stage 2. The same network, but its backbone has seen ImageNet.
    coarse = stage("2-imagenet", COARSE, weights, pace.epochs)

    # Stage 3. Skips: the finer network takes over all that the coarse one has; its new score layers start at zero.
    fine = stage("3-skips", FINE, str(coarse.directory), pace.short_epochs)

    # Stage 4. A classifier of patches knows nothing of segmentation. Made dense, it slides over an image in one pass;
    # and its weights start an FCN-8s, which needs to learn little more than the skips.
    file = home.root / f"{data.name}-patch-classifier.safetensors"
    if not file.is_file():
        print(f"\n4-patches: a classifier of {pace.patches} patches of {pace.patch}×{pace.patch} pixels from {weights}")
        workers = pace.settings.get("workers")
        train_patch_classifier(
            data, file, weights=weights, side=pace.patch, patches=pace.patches, workers=workers, home=home
        )
    classifier = load_patch_classifier(file, classes=len(data.classes))
    dense = fc.convolutionalize(classifier, input_size=(pace.patch, pace.patch))
    print(dense.conversion)
    start = as_start_of_fcn(classifier, home.root / f"{data.name}-patch-fcn8s.safetensors")
    grown = stage("4-skips", FINE, str(start), pace.short_epochs)

    results = pages.results_of(
        data,
        [
            pages.numbers_of("1 random weights, no batch norm, plain SGD", stuck, test),
            pages.numbers_of("1 random weights", scratch, test),
            pages.numbers_of("2 ImageNet weights", coarse, test),
            pages.numbers_of("3 skips, from stage 2", fine, test),
            pages.scores_of(
                "4 patches, made dense", "mobilenet_v2", lambda image: labels_of(slide(dense, image, names)), test
            ),
            pages.numbers_of("4 patches, with skips", grown, test),
        ],
    )
    maps = []
    for image, truth in pages.with_most(test, shown_class):
        maps.append(
            {
                "image": image,
                f"truth: {heat}": (truth == shown_class).astype(float),
                f"patches of {pace.patch}, every 32 pixels": slide(dense, image, names).on_photo(heat),
                "every 8 pixels": slide(dense, image, names, stride=8).on_photo(heat),
                "FCN-8s: with skips": grown.model.predict(image, probabilities=True).probabilities[shown_class],
            }
        )
    shown = {"1 random weights": scratch, "2 ImageNet weights": coarse, "3 skips": fine}
    folder = pages.folder_of(page)
    pages.write_curves(results, folder / f"{name}-curves.svg")
    pages.write_predictions(shown, test, folder / f"{name}-predictions.png")
    pages.write_heat_maps(maps, folder / f"{name}-heat.png")
    pages.write_page(page, name, results)
    print(f"\n{pages.table_of(results)}\n\nPage: {page}")


def main() -> None:
    """Read the options, make or find the data, tell the story."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, help="How many scenes are drawn; 0 for none.")
    parser.add_argument("--size", type=parse_size, help="Of the scenes, as 960x720.")
    parser.add_argument("--camvid", type=Path, metavar="FOLDER", help="CamVid, or other images with labels.")
    parser.add_argument(
        "--weights", metavar="FILE", help="ImageNet weights of mobilenet_v2; torchvision's if not given."
    )
    parser.add_argument("--out", type=Path, default=Path("story"), help="Folder of scenes, runs and models.")
    parser.add_argument("--page", type=Path, help="Page that gets the tables; figures go to a folder beside it.")
    parser.add_argument("--epochs", type=int, help="Of stages 1 and 2; half as many in stages 3 and 4.")
    parser.add_argument("--heat", default="car", metavar="CLASS", help="The class whose heat maps are drawn.")
    parser.add_argument("--quick", action="store_true", help="Tiny scenes, one epoch: shows how it works, no more.")
    options = parser.parse_args()
    pace = QUICK if options.quick else FULL
    epochs = options.epochs or pace.epochs
    short = pace.short_epochs if options.epochs is None else max(1, epochs // 2)
    size = pace.size if options.size is None else options.size[::-1]
    scenes = pace.scenes if options.scenes is None else options.scenes
    pace = replace(pace, scenes=scenes, size=size, epochs=epochs, short_epochs=short)
    weights = options.weights or ("random" if options.quick else "imagenet")

    home = Workspace((options.out / "workspace").absolute())
    page = options.page or options.out / "story.md"
    asked = {"pace": pace, "weights": weights, "home": home, "page": page, "heat": options.heat}
    if pace.scenes:
        tell(scenes_of(pace, options.out, home), "scenes", **asked)
    if options.camvid is not None:
        tell(found_or_made("camvid", options.camvid, home), "camvid", **asked)


def scenes_of(pace: Pace, out: Path, home: Workspace) -> fc.Dataset:
    """Scenes of that number and size, drawn if they are not there yet."""
    name = f"scenes-{pace.scenes}-{pace.size[0]}x{pace.size[1]}"
    if not (out / name).is_dir():
        write_scenes(out / name, count=pace.scenes, seed=SCENES_SEED, size=pace.size, processes=pace.processes)
    return found_or_made(name, out / name, home)


def found_or_made(name: str, folder: Path, home: Workspace) -> fc.Dataset:
    """The dataset of that name in the workspace, made of a folder if there is none."""
    if not home.dataset(name).is_dir():
        fc.Dataset.from_folders(folder, name=name).save(home)
    return fc.Dataset.load(name, home)


if __name__ == "__main__":
    try:
        main()
    except fc.FullconvError as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
    except (StopRequested, KeyboardInterrupt):
        print("\nStopped. The same command goes on from the last whole epoch.", file=sys.stderr)
        sys.exit(130)
