"""Is the forecast of time right? What `fc.forecast` expects of a run against the run itself, on generated scenes.

Run: python benchmarks/plan_time.py   (about 10 minutes on two cores)
writes benchmarks/results/plan_time.md. Another busy process between forecast and run makes them differ.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.evaluation.metrics_table import read_rows
from fullconv.workspace import Workspace
from provenance import provenance

RESULT = Path(__file__).parent / "results" / "plan_time.md"
SIZE, SCENES = (240, 180), 160
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("fcn2s-compact-features", {"epochs": 8, "crop": (160, 224), "batch_size": 8}),
    ("fcn8s-squeezenet1_1", {"epochs": 6, "crop": (160, 224), "batch_size": 8}),
    ("fcn4s-mobilenet_v2-features", {"epochs": 4, "crop": (160, 224), "batch_size": 4, "validate_every": 2}),
)


def main() -> None:
    """One row per network."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = Workspace(Path(folder) / "workspace")
        Dataset.from_folders(write_scenes(Path(folder) / "scenes", count=SCENES, size=SIZE), name="streets").save(home)
        for network, settings in CASES:
            common: dict[str, Any] = {"weights": "random", "views": 1, **settings}
            before = os.getloadavg()[0]
            expected = fc.forecast("streets", network, workspace=home, **common).times
            assert expected is not None
            loads = f"{before:.1f} → {os.getloadavg()[0]:.1f}"
            began = time.monotonic()
            run = fc.train("streets", network, workspace=home, quiet=True, **common)
            took = time.monotonic() - began
            loads += f" → {os.getloadavg()[0]:.1f}"
            metrics = read_rows(run.directory / "metrics.csv")
            spent = [float(row["seconds"]) for row in metrics if row["split"] == "train" and row["seconds"]]
            epoch = sum(spent[1:]) / len(spent[1:])  # the first waits for the loader to start, which `expected.run` has
            rows.append(
                f"| {network} | {settings['epochs']} | {expected.epoch:.1f} | {epoch:.1f} "
                f"| {expected.epoch / epoch - 1:+.0%} | {expected.run:.0f} | {took:.0f} "
                f"| {expected.run / took - 1:+.0%} | {loads} |"
            )
            print(rows[-1], flush=True)
    text = (
        "# Time of a run: expected and taken\n\n"
        f"{SCENES} scenes of {SIZE[0]}×{SIZE[1]} pixels, 70/15/15; views of 224×160. Expected by `fc.forecast` from a "
        "few steps, taken by `fc.train` right after it, evaluation and packing included. An epoch is one "
        "after the first, in which the loader starts too. Load: of the machine before "
        "the forecast, between the two, and after the run.\n\n"
        "| network | epochs | s per epoch, expected | taken | error | s in all, expected | taken | error | load |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---|\n"
        + "\n".join(rows)
        + f"\n\n{provenance('torch', 'torchvision', 'lightning')}. Command: `python benchmarks/plan_time.py`.\n"
    )
    RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
