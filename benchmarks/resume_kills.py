"""Kill a training run at random moments, resume it until it is done, and compare it with one that nobody disturbed.

Some kills fall at an even random moment of the whole run; others wait for a checkpoint being written, or for a
validation, and fall at a random moment within. Runs that were resumed may be killed again. A killed process has no
chance to say goodbye (SIGKILL). In the end the weights of the last and of the best checkpoint must be equal bit by bit,
and so must the scores and metrics.csv, times aside. Kills are spread over a network that draws nothing and one that
drops branches at random, in float32 and bfloat16, without a loader process and with one, which must change nothing.

Run: python benchmarks/resume_kills.py [--kills 50] [--seed 0]   (about 15 minutes on two cores)
writes benchmarks/results/resume_kills.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.training import fit
from fullconv.training.checkpoints import AtomicCheckpoints
from fullconv.training.recording import RunRecorder
from fullconv.training.status import read_status
from fullconv.workspace import Workspace
from provenance import provenance

RESULT = Path(__file__).parent / "results" / "resume_kills.md"
UNTIMED = ("seconds", "images_per_second", "loader_wait")
AGAIN = 0.4
"""Share of the resumed processes that are killed too."""
POLL_SECONDS = 0.0005
SETTINGS: dict[str, Any] = {
    "weights": "random",
    "epochs": 6,
    "views": 2,
    "batch_size": 4,
    "crop": [64, 64],
    "validate_every": 2,
    "device": "cpu",
    "optimization": {"ema": 0.9},
}
NETWORKS = ("fcn8s-squeezenet1_1", "fcn8s-efficientnet_b0")
"""Without and with something random in training: stochastic depth."""
PRECISIONS = ("fp32", "bf16")
WORKERS = (0, 1)
PHASES = ("preparing", "training", "validating", "writing a checkpoint", "evaluating and packing")
PREPARING, TRAINING, VALIDATING, WRITING, FINISHING = range(len(PHASES))

NOTED: tuple[tuple[Any, str, int | None, int | None], ...] = (
    (RunRecorder, "on_train_start", None, TRAINING),
    (RunRecorder, "on_validation_start", VALIDATING, VALIDATING),
    (RunRecorder, "on_validation_end", None, TRAINING),
    (AtomicCheckpoints, "save_checkpoint", WRITING, None),
    (fit, "packed_run", FINISHING, None),
)
"""(owner, function, phase while it runs, phase after it; none for that of before)."""


@dataclass
class Tracker:
    """What the process is doing, in memory that it shares with the one that kills it.

    Args:
        phase: index into `PHASES`.
        entered: how often checkpoints and validations have begun.
    """

    phase: Any
    entered: Any


def work(home: Path, name: str, settings: dict[str, Any], phase: Any, entered: Any) -> None:
    """Train in the run of that name, or go on with it."""
    torch.set_num_threads(1)
    note_phases(Tracker(phase, entered))
    workspace = Workspace(home)
    if workspace.run(name).is_dir():
        fit.resume(name, workspace=workspace, quiet=True)
    else:
        fit.train_as(name, "tiny", settings, workspace=workspace, quiet=True)


def note_phases(tracker: Tracker) -> None:
    """Let the training of this process tell what it is doing; it changes nothing in it."""

    def noting(owner: Any, method: str, during: int | None, after: int | None) -> None:
        plain: Callable[..., Any] = getattr(owner, method)

        def noted(*arguments: Any, **options: Any) -> Any:
            before = tracker.phase.value
            if during is not None:
                tracker.phase.value = during
                tracker.entered[during] += 1
            result = plain(*arguments, **options)
            tracker.phase.value = before if after is None else after
            return result

        setattr(owner, method, noted)

    for place in NOTED:
        noting(*place)


@dataclass(frozen=True)
class Configuration:
    """What is trained, and how.

    Args:
        network, precision, workers: of the plan.
    """

    network: str
    precision: str
    workers: int

    @property
    def settings(self) -> dict[str, Any]:
        """Of the plan."""
        return SETTINGS | {"network": self.network, "precision": self.precision, "workers": self.workers}

    def __str__(self) -> str:
        return f"{self.network}-{self.precision}-{self.workers}"


@dataclass(frozen=True)
class Kill:
    """One of them.

    Args:
        configuration: of the run.
        phase: that it fell in.
        epoch: that the run had reached by its status; none where there was no run yet.
        seconds: after the start of the process.
        partial: whether an unfinished checkpoint was left behind.
    """

    configuration: Configuration
    phase: str
    epoch: int | None
    seconds: float
    partial: bool


class Killer:
    """Starts processes and kills some of them.

    Args:
        home: the workspace's folder.
        configuration: of its runs.
        rng: decides about moments.
    """

    def __init__(self, home: Path, configuration: Configuration, rng: random.Random) -> None:
        self.home, self.configuration, self.rng = home, configuration, rng
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["fullconv.training.fit"])
        self.duration = 0.0

    def whole(self, name: str) -> float:
        """Run to the end; seconds."""
        began = time.monotonic()
        process, _ = self._started(name)
        process.join()
        if process.exitcode:
            raise SystemExit(f"the run {name} ended with {process.exitcode}")
        return time.monotonic() - began

    def killed(self, name: str) -> Kill | None:
        """Start, kill at a random moment; None where the run was done before that."""
        began = time.monotonic()
        process, tracker = self._started(name)
        self._wait(process, tracker)
        process.kill()
        process.join()
        directory = Workspace(self.home).run(name)
        if process.exitcode == 0:
            return None
        if process.exitcode != -9:
            raise SystemExit(f"the run {name} ended by itself with {process.exitcode}")
        partial = any(directory.glob("checkpoints/.*.partial"))
        epoch = read_status(directory).epoch if directory.is_dir() else None
        return Kill(self.configuration, PHASES[tracker.phase.value], epoch, time.monotonic() - began, partial)

    def _wait(self, process: Any, tracker: Tracker) -> None:
        """Until the moment has come."""
        kind = self.rng.choice(("anywhere", "anywhere", "writing", "validating"))
        if kind == "anywhere":
            process.join(self.rng.uniform(0.0, self.duration))
            return
        aim = WRITING if kind == "writing" else VALIDATING
        nth = self.rng.randint(1, SETTINGS["epochs"] if kind == "writing" else SETTINGS["epochs"] // 2)
        while tracker.entered[aim] < nth and process.is_alive():
            time.sleep(POLL_SECONDS)
        time.sleep(self.rng.uniform(0.0, 0.02 if kind == "writing" else 0.1))

    def _started(self, name: str) -> tuple[Any, Tracker]:
        tracker = Tracker(self.context.Value("i", 0, lock=False), self.context.Array("i", len(PHASES), lock=False))
        arguments = (self.home, name, self.configuration.settings, tracker.phase, tracker.entered)
        process = self.context.Process(target=work, args=arguments)
        process.start()
        return process, tracker


def done(run: Path) -> bool:
    """Whether nothing is left to do for a run."""
    return run.is_dir() and read_status(run).state == "done"


def differences(expected: Path, found: Path) -> list[str]:
    """What of two runs is not equal."""
    problems = []
    for name in ("last", "best"):
        one, two = (
            torch.load(run / "checkpoints" / f"{name}.ckpt", map_location="cpu", weights_only=True)["state_dict"]
            for run in (expected, found)
        )
        if one.keys() != two.keys() or not all(torch.equal(one[key], two[key]) for key in one):
            problems.append(f"weights of {name}.ckpt")
    if rows(expected) != rows(found):
        problems.append("metrics.csv")
    first, second = (json.loads((run / "report" / "scores.json").read_text())["scores"] for run in (expected, found))
    if first != second:
        problems.append("scores")
    if read_status(found).state != "done":
        problems.append("state")
    return problems


def rows(run: Path) -> list[dict[str, str]]:
    """metrics.csv as it stands, without times."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        return [{key: value for key, value in row.items() if key not in UNTIMED} for row in csv.DictReader(stream)]


def main() -> None:
    """Kill, resume, compare; write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    configurations = [
        Configuration(network, precision, workers)
        for workers, precision, network in product(WORKERS, PRECISIONS, NETWORKS)
    ][: max(1, chosen.kills)]
    kills: list[Kill] = []
    unequal: list[str] = []
    durations: list[float] = []
    runs = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Workspace(Path(folder) / "workspace")
        scenes = write_scenes(Path(folder) / "scenes", count=24, size=(96, 72), seed=chosen.seed, processes=1)
        Dataset.from_folders(scenes, name="tiny").save(home)
        rng = random.Random(chosen.seed)
        for number, configuration in enumerate(configurations):
            killer = Killer(home.root, configuration, rng)
            killer.whole(f"{configuration}-first")  # starts the server of processes and prepares the samples
            killer.duration = killer.whole(f"{configuration}-undisturbed")
            durations.append(killer.duration)
            other = Configuration(configuration.network, configuration.precision, WORKERS[0])
            expected = home.run(f"{other}-undisturbed")
            for name in ("first", "undisturbed"):
                problems = differences(expected, home.run(f"{configuration}-{name}"))
                unequal += [f"{configuration}, {name}: {text}" for text in problems]
            wanted = chosen.kills * (number + 1) // len(configurations)
            while len(kills) < wanted:
                runs += 1
                name = f"{configuration}-run-{runs}"
                kills += killed_and_resumed(killer, name, wanted - len(kills), rng)
                unequal += [f"{name}: {text}" for text in differences(expected, home.run(name))]
                shutil.rmtree(home.run(name))
    text = page(kills, unequal, runs, durations, chosen)
    chosen.out.write_text(text, encoding="utf-8")
    print(text)
    if unequal:
        raise SystemExit(1)


def killed_and_resumed(killer: Killer, name: str, most: int, rng: random.Random) -> list[Kill]:
    """Kill a run once or more often, at most so many times, and let it end; the kills that it took."""
    kills: list[Kill] = []
    directory = Workspace(killer.home).run(name)
    while len(kills) < most:
        kill = killer.killed(name)
        if kill is None:
            break
        kills.append(kill)
        print(f"{name}: {kill}", flush=True)
        if rng.random() > AGAIN or done(directory):
            break
    if not done(directory):
        killer.whole(name)
    return kills


def page(kills: list[Kill], unequal: list[str], runs: int, durations: list[float], chosen: argparse.Namespace) -> str:
    """The verdict, and where the kills fell."""
    fell = Counter(kill.phase for kill in kills)
    epochs = Counter("none yet" if kill.epoch is None else str(kill.epoch) for kill in kills)
    spread = Counter(kill.configuration for kill in kills)
    partial = sum(kill.partial for kill in kills)
    verdict = "; ".join(unequal) if unequal else "none"
    command = f"python benchmarks/resume_kills.py --kills {chosen.kills} --seed {chosen.seed}"
    return "\n".join(
        [
            "# Killed and resumed",
            "",
            *(__doc__ or "").split("\n\n")[0].splitlines(),
            "",
            *(__doc__ or "").split("\n\n")[1].splitlines(),
            "",
            f"{SETTINGS['epochs']} epochs on 24 scenes of 96×72 pixels, a moving average of the weights, validated "
            f"every second epoch; one run takes {min(durations):.0f} to {max(durations):.0f} s.",
            "",
            f"**{len(kills)} kills in {runs} runs; differences from the undisturbed run: {verdict}.** "
            f"{partial} kills left half a checkpoint behind.",
            "",
            "| network | precision | loader processes | kills |",
            "|---|---|---:|---:|",
            *(f"| {one.network} | {one.precision} | {one.workers} | {count} |" for one, count in spread.items()),
            "",
            "| the kill fell while | kills |",
            "|---|---:|",
            *(f"| {phase} | {fell[phase]} |" for phase in PHASES),
            "",
            "| whole epochs done by then | kills |",
            "|---|---:|",
            *(f"| {epoch} | {epochs[epoch]} |" for epoch in sorted(epochs, key=lambda text: (text.isdigit(), text))),
            "",
            f"{provenance('torch', 'lightning')}. Command: `{command}`.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
