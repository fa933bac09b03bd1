"""How far colour alone gets on the generated street scenes: a random forest on single pixels' red, green and blue.

The scenes are worth learning only if it does badly: shape and surroundings must tell the classes apart.

    python benchmarks/scenes_color_baseline.py

writes benchmarks/results/scenes_color_baseline.md.
"""

from __future__ import annotations

import platform
import subprocess
import time
from pathlib import Path

import numpy as np
import sklearn
from sklearn.ensemble import RandomForestClassifier

from fullconv.data.scenes import SCENE_CLASSES, generate_scene

SIZE = (480, 360)
TRAIN_SCENES, TEST_SCENES = 200, 50
TRAIN_PIXELS, TEST_PIXELS = 500, 4000
LIMIT = 0.60
RESULT = Path(__file__).parent / "results" / "scenes_color_baseline.md"


def sampled_pixels(seed: int, scenes: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours (P, 3) and classes (P,) of random labelled pixels of so many scenes."""
    generator = np.random.default_rng(seed)
    colors, classes = [], []
    for index in range(scenes):
        image, labels = generate_scene(seed, index, SIZE)
        known = np.flatnonzero(labels.ravel() < len(SCENE_CLASSES))
        chosen = generator.choice(known, pixels, replace=False)
        colors.append(image.reshape(-1, 3)[chosen])
        classes.append(labels.ravel()[chosen])
    return np.concatenate(colors), np.concatenate(classes)


def main() -> None:
    """Train, measure, write the result."""
    started = time.process_time()
    colors, classes = sampled_pixels(0, TRAIN_SCENES, TRAIN_PIXELS)
    unseen, truth = sampled_pixels(1, TEST_SCENES, TEST_PIXELS)
    drawn = time.process_time() - started
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=0, n_jobs=-1).fit(colors, classes)
    found = forest.predict(unseen)
    accuracy = float((found == truth).mean())
    commonest = int(np.bincount(classes).argmax())
    rows = []
    for index, name in enumerate(SCENE_CLASSES.names):
        true, said = truth == index, found == index
        rows.append(f"| {name} | {true.mean():.1%} | {(found[true] == index).mean():.1%} | "
                    f"{(true & said).sum() / max((true | said).sum(), 1):.3f} |")  # fmt: skip
    unions = [((truth == k) | (found == k)).sum() for k in range(len(SCENE_CLASSES))]
    overlaps = [((truth == k) & (found == k)).sum() for k in range(len(SCENE_CLASSES))]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    text = f"""# Street scenes: what colour alone tells

A random forest (200 trees) on a pixel's red, green and blue. Trained on {TRAIN_SCENES} scenes (seed 0), {TRAIN_PIXELS}
pixels of each; tested on {TEST_SCENES} scenes that it never saw (seed 1), {TEST_PIXELS} pixels of each. Scenes of
{SIZE[0]}×{SIZE[1]} pixels, void left out.

| | |
|---|---|
| pixel accuracy | **{accuracy:.1%}** (must stay under {LIMIT:.0%}) |
| mean IoU | {np.mean(np.array(overlaps) / np.maximum(unions, 1)):.3f} |
| always saying {SCENE_CLASSES.names[commonest]} | {(truth == commonest).mean():.1%} |
| processor time to draw one scene | {1000 * drawn / (TRAIN_SCENES + TEST_SCENES):.0f} ms |

| class | share of pixels | found | IoU |
|---|---|---|---|
{chr(10).join(rows)}

scikit-learn {sklearn.__version__}, numpy {np.__version__}, Python {platform.python_version()}, {platform.machine()};
after commit {commit}. Command: `python benchmarks/scenes_color_baseline.py`.
"""
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text)
    if accuracy >= LIMIT:
        raise SystemExit(f"colour alone reaches {accuracy:.1%}: too much")


if __name__ == "__main__":
    main()
