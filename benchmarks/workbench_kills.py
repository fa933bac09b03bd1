"""Kill servers and jobs of a workbench at random moments while jobs are queued and run, and look at what is left.

A visitor never stops asking for runs, groups of runs, datasets, evaluations, resumptions, and ends of jobs, by REST.
Meanwhile servers (`fullconv serve`, one or two on the same workspace), processes of jobs, or both at once are killed
with SIGKILL: at any moment, while a request is being answered, while a job begins, while a run learns, or while one
comes to its end.
Killed servers are started again, at times two. Then they are left alone until nothing is open any more.

Looked for: jobs that an answer promised and that are not there; jobs that were begun more than once (each process that
begins one writes a line into the job's log), and things that two living processes worked on; jobs that failed though
nobody killed their process; jobs and runs that wait for ever; processes left over; what SQLite says of its file, after
every kill; runs that are done and cannot be read, or whose metrics.csv has other rows than that of a run that nobody
disturbed. At last everything that was cut short is asked for again, and has to be done.

Run: python benchmarks/workbench_kills.py [--kills 50] [--seed 0] [--database URL]   (about 15 minutes on two cores)
writes benchmarks/results/workbench_kills.md.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from busy_visitors import Server, Visitor
from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.process_identity import process_lives
from fullconv.training.fit import train_as
from fullconv.training.runs import list_runs
from fullconv.training.status import read_status
from fullconv.workbench.database import check_integrity, connect
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.tables import ACTIVE, Job
from fullconv.workspace import Workspace
from provenance import provenance
from queue_checks import Answer, Onlooker, beginnings, problems, rows, unfinished
from workbench_home import SETTINGS

RESULT = Path(__file__).parent / "results" / "workbench_kills.md"
PORTS = (8542, 8543)
PLAN = SETTINGS | {"dataset": "tiny", "network": "fcn8s-compact", "epochs": 12}
MOMENTS = ("any", "a request is answered", "a job begins", "a run learns", "a run comes to its end")
TARGETS = {"server": 4, "job": 5, "both": 2}
NEARLY = 0.7
LONGEST_WAIT = 60.0
END_SECONDS = 1200.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Kill:
    """One of them.

    Args:
        moment: that was waited for. target: "server", "job", or "both". servers: that lived then.
        during: what the killed ones were doing.
    """

    moment: str
    target: str
    servers: int
    during: tuple[str, ...]


@dataclass
class Found:
    """What came of it.

    Args:
        kills, answers: of all. problems: that were found, none in the best case.
        jobs, runs: by state, when nothing was open any more. begun: processes that began a job.
        again: runs that were cut short and are done since they were asked for again.
        seconds: of an undisturbed run, in a process that was there already.
    """

    kills: list[Kill] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    jobs: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    begun: int = 0
    again: int = 0
    seconds: float = 0.0


class Killer:
    """Keeps servers running, and kills.

    Args:
        home, queue: of the workspace. rng: decides.
        options: of every server. ports: where they listen, one or two.
    """

    def __init__(
        self, home: Workspace, queue: Queue, rng: random.Random, options: tuple[str, ...], ports: tuple[int, ...]
    ) -> None:
        self.home, self.queue, self.rng, self.options, self.ports = home, queue, rng, options, ports
        self.servers: dict[int, Server] = {}
        self.ready: list[Server] = []
        self.killed: set[int] = set()
        self.kills: list[Kill] = []
        self.problems: list[str] = []

    def restart(self, *, all_of_them: bool = False) -> None:
        """Start the first server if it does not live, and sometimes the second one; mostly wait for them."""
        for place, port in enumerate(self.ports):
            wanted = place == 0 or all_of_them or self.rng.random() < 0.5
            if wanted and (port not in self.servers or not self.servers[port].alive):
                self.servers[port] = Server(self.home, port, self.options)
        if all_of_them or self.rng.random() < 0.85:
            for server in self.living:
                server.wait()
        self.ready = [server for server in self.living if server.answers()]

    @property
    def living(self) -> list[Server]:
        return [server for server in self.servers.values() if server.alive]

    def kill(self, visitor: Visitor) -> Kill:
        """Wait for a moment, then kill what was chosen for it."""
        moment = self.rng.choice(MOMENTS)
        learning = self._wait(moment, visitor)
        target = self.rng.choices(list(TARGETS), list(TARGETS.values()))[0]
        active = [job for job in self.queue.jobs(states=ACTIVE) if job.state == "running" or job.launched is not None]
        if target != "server" and not active:
            target = "server"
        living, during = self.living, []
        if target != "job":
            server = self.rng.choice(living)
            during.append(f"server: {visitor.asking or 'nobody asks'}" if server in self.ready else "server: starting")
            self.ready = [other for other in self.ready if other is not server]
            server.kill()
        if target != "server":
            during.append(self._kill_job(learning or self.rng.choice(active)))
        done = Kill(moment, target, len(living), tuple(during))
        self.kills.append(done)
        integrity = check_integrity(self.queue.engine)
        if integrity != "ok":
            self.problems.append(f"the database after kill {len(self.kills)}: {integrity}")
        return done

    def _kill_job(self, job: Job) -> str:
        assert job.process is not None
        if not process_lives(job.process, job.started or 0.0):
            return f"{job.kind}: ended just then"
        self.killed.add(job.process)
        with suppress(ProcessLookupError):
            os.kill(job.process, signal.SIGKILL)
        if job.state == "claimed":
            return f"{job.kind}: starting"
        return f"{job.kind}: {'at the end' if job.progress > NEARLY else 'at work' if job.progress else 'begun'}"

    def _wait(self, moment: str, visitor: Visitor) -> Job | None:
        """Until the moment has come; the training that it is a moment of."""
        known = {job.id for job in self.queue.jobs(states=ACTIVE)}
        if moment == "a request is answered":
            visitor.asks.clear()
            visitor.asks.wait(timeout=LONGEST_WAIT)
            time.sleep(self.rng.choice((self.rng.uniform(0, 0.1), self.rng.uniform(0, 2.0))))
        elif moment == "a job begins":
            _until(lambda: any(job.id not in known for job in self.queue.jobs(states=ACTIVE)), LONGEST_WAIT)
            time.sleep(self.rng.choice((self.rng.uniform(0, 0.2), self.rng.uniform(0, 8.0))))
        elif moment == "any":
            time.sleep(self.rng.uniform(0, 6.0))
        else:
            progress = NEARLY if moment == "a run comes to its end" else 0.0
            _until(lambda: self._learning(progress) is not None, LONGEST_WAIT)
            time.sleep(self.rng.uniform(0, 2.0))
            found = self._learning(progress)
            return None if found is None else self.queue.get(found.id or 0)
        return None

    def _learning(self, progress: float) -> Job | None:
        active = [job for job in self.queue.jobs(states=ACTIVE) if job.kind == "train"]
        return next((job for job in active if job.progress > progress), None)

    def stop(self) -> None:
        """Kill all servers."""
        for server in self.living:
            server.kill()
        self.ready = []


def rehearse(
    folder: Path,
    *,
    kills: int,
    seed: int = 0,
    database: str | None = None,
    ports: tuple[int, ...] = PORTS,
    most: int = 6,
    requests: int = 1_000_000,
    plan: dict[str, Any] = PLAN,
) -> Found:
    """Disturb a new workspace in a folder, and look at what is left.

    Args:
        folder: an empty one. kills: how many. seed: of all that is random.
        database: URL; SQLite in the workspace if not given. ports: of one server or two.
        most: jobs that wait or run at the same time. requests: that are granted before the visitor is content.
        plan: of every run, but for its seed.
    """
    torch.set_num_threads(1)
    home, found, rng = Workspace(folder / "workspace"), Found(), random.Random(seed)
    images = write_scenes(folder / "scenes", count=16, size=(96, 72), seed=seed, processes=1)
    Dataset.from_folders(images, name="tiny").save(home)
    began = time.monotonic()
    undisturbed = train_as("undisturbed", "tiny", _without_dataset(plan), workspace=home, quiet=True)
    found.seconds = time.monotonic() - began
    options = ("--root", str(folder), "--cpu-jobs", "2", *(("--database", database) if database else ()))
    queue = Queue(connect(database or f"sqlite:///{home.root / 'workbench.sqlite'}"))
    killer = Killer(home, queue, rng, options, ports)
    visitor = Visitor(home, queue, lambda: killer.ready, random.Random(seed + 1), plan, images, most, requests)
    try:
        with Onlooker(queue) as onlooker:
            killer.restart(all_of_them=True)
            with visitor:
                while len(killer.kills) < kills:
                    print(f"{len(killer.kills) + 1}: {killer.kill(visitor)}", flush=True)
                    time.sleep(rng.uniform(0, 1.0))
                    killer.restart()
            last = killer.servers[ports[0]]
            last.wait()  # and from here on nobody disturbs it
            _until(lambda: not unfinished(home, queue), END_SECONDS)
            found.begun = len(beginnings(home))
            found.jobs = Counter(job.state for job in queue.jobs(limit=100_000))
            found.runs = Counter(read_status(run).shown for run in list_runs(home))

            def look() -> list[str]:
                return problems(home, queue, visitor.answers, onlooker, killer.killed, rows(undisturbed.directory))

            found.problems = killer.problems + look()
            found.again = _ask_again(home, visitor, last)
            _until(lambda: not unfinished(home, queue), END_SECONDS)
            found.problems += [
                f"run {run.name} is {read_status(run).shown} though nobody disturbs it"
                for run in list_runs(home)
                if read_status(run).state != "done"
            ]
            found.problems += [f"in the end: {text}" for text in look()]
    finally:
        killer.stop()
        queue.engine.dispose()
    found.kills, found.answers = killer.kills, visitor.answers
    return found


def _ask_again(home: Workspace, visitor: Visitor, server: Server) -> int:
    """Let all runs go on that were cut short; how many."""
    stopped = [run.name for run in list_runs(home) if read_status(run).state != "done"]
    return sum(visitor.ask(server, "again", f"runs/{name}/resume").status == 202 for name in stopped)


def _without_dataset(plan: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plan.items() if name != "dataset"}


def _until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(POLL_SECONDS)


def main() -> None:
    """Kill, look, write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database")
    parser.add_argument("--keep", type=Path, help="folder in which everything is left")
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = chosen.keep or Path(folder)
        found = rehearse(place, kills=chosen.kills, seed=chosen.seed, database=chosen.database)
    text = page(found, chosen)
    chosen.out.write_text(text, encoding="utf-8")
    print(text)
    if found.problems:
        raise SystemExit(1)


def page(found: Found, chosen: argparse.Namespace) -> str:
    """The verdict, where the kills fell, and what was left."""
    during = Counter(one for kill in found.kills for one in kill.during)
    moments = Counter(kill.moment for kill in found.kills)
    targets = Counter(kill.target for kill in found.kills)
    unanswered = Counter(answer.request for answer in found.answers if not answer.status)
    done = Counter(answer.request for answer in found.answers if 200 <= answer.status < 300)
    promised = sum(len(answer.jobs) for answer in found.answers)
    paragraphs = (__doc__ or "").split("\n\n")
    command = f"python benchmarks/workbench_kills.py --kills {chosen.kills} --seed {chosen.seed}"
    kind = "PostgreSQL" if chosen.database else "SQLite"
    return "\n".join(
        [
            "# Killed servers and jobs",
            "",
            *"\n\n".join(paragraphs[:3]).splitlines(),
            "",
            f"{PLAN['network']}, {PLAN['epochs']} epochs on 16 scenes of 96×72 pixels ({found.seconds:.1f} s without "
            f"disturbance and start); {kind}.",
            "",
            f"**{len(found.kills)} kills; found: {'; '.join(found.problems) or 'nothing'}.** {found.begun} jobs were "
            f"begun, {promised} promised. When nothing was open any more: jobs {_counts(found.jobs)}; runs "
            f"{_counts(found.runs)}. Asked for again, the {found.again} runs that were cut short are done.",
            "",
            "| killed | kills |",
            "|---|---:|",
            *(f"| {target} | {targets[target]} |" for target in TARGETS),
            f"| (with two servers alive) | {sum(kill.servers > 1 for kill in found.kills)} |",
            "",
            "| the moment that was waited for | kills |",
            "|---|---:|",
            *(f"| {moment} | {moments[moment]} |" for moment in MOMENTS),
            "",
            "| what was killed, and what it did | times |",
            "|---|---:|",
            *(f"| {what} | {count} |" for what, count in sorted(during.items())),
            "",
            "| request | granted | without an answer |",
            "|---|---:|---:|",
            *(f"| {what} | {done[what]} | {unanswered[what]} |" for what in sorted({*done, *unanswered})),
            "",
            f"{provenance('torch', 'sqlalchemy', 'uvicorn')}. Command: `{command}`.",
            "",
        ]
    )


def _counts(states: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"


if __name__ == "__main__":
    main()
