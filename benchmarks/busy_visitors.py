"""Servers of a workbench in processes of their own, and a visitor who never stops asking for something."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.exc import SQLAlchemyError

from fullconv.errors import FullconvError
from fullconv.training.runs import list_runs
from fullconv.training.status import read_status
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.tables import OPEN
from fullconv.workspace import Workspace
from queue_checks import Answer

START_SECONDS = 180.0
PAUSE_SECONDS = 0.2
ANSWER_SECONDS = 60.0
MORE_THAN_ABORTS = 8
"""So many requests are made for one that ends a job, also where all takes long: most work comes to its end."""


class Server:
    """`fullconv serve` on a workspace.

    Args:
        home: the workspace. port: where it listens. options: further ones.
    """

    def __init__(self, home: Workspace, port: int, options: tuple[str, ...] = ()) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        command = [sys.executable, "-m", "fullconv", "serve", "--workspace", str(home.root), "--port", str(port)]
        with (home.root / f"server-{port}.log").open("ab") as log:
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen([*command, *options], stdout=log, stderr=log, env=environment)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def answers(self) -> bool:
        """Whether it does, now."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/api/v1/jobs", timeout=5).status_code == 200
        return False

    def wait(self) -> None:
        """Until it answers.

        Raises:
            SystemExit: it ended, or took too long.
        """
        end = time.monotonic() + START_SECONDS
        while not self.answers():
            if not self.alive or time.monotonic() > end:
                raise SystemExit(f"the server on {self.url} did not start")
            time.sleep(0.1)

    def kill(self) -> None:
        """With SIGKILL."""
        self.process.kill()
        self.process.wait()


class Visitor:
    """A thread that asks the servers that live for runs, groups, datasets, evaluations, resumptions and ends of jobs.

    Args:
        home, queue: of the workspace, to see what could be asked for.
        servers: those that live, as they are now.
        rng: decides what is asked, and whom.
        plan: of a run, but for its seed.
        images: a folder that datasets are made of.
        most: jobs that wait or run at the same time. requests: after so many were granted, nothing new is asked for.
    """

    def __init__(
        self,
        home: Workspace,
        queue: Queue,
        servers: Callable[[], list[Server]],
        rng: random.Random,
        plan: dict[str, Any],
        images: Path,
        most: int = 6,
        requests: int = 1_000_000,
    ) -> None:
        self.home, self.queue, self.servers, self.rng = home, queue, servers, rng
        self.plan, self.images, self.most, self.requests = plan, images, most, requests
        self.answers: list[Answer] = []
        self.asking: str | None = None
        """What it has asked for and got no answer to yet."""
        self.asks = threading.Event()
        """Set when it asks for something new."""
        self._made = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)

    def __enter__(self) -> Visitor:
        self._thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._over.set()
        self._thread.join()

    def ask(self, server: Server, what: str, path: str, body: Any = None) -> Answer:
        """One request and its answer."""
        self.asking = what
        self.asks.set()
        try:
            got = httpx.post(f"{server.url}/api/v1/{path}", json=body, timeout=ANSWER_SECONDS)
        except httpx.HTTPError:  # killed
            answer = Answer(what, 0)
        else:
            answer = Answer(what, got.status_code, _jobs(got.json()) if got.is_success else {})
        self.asking = None
        self.answers.append(answer)
        return answer

    def _visit(self) -> None:
        while not self._over.wait(self.rng.uniform(0, PAUSE_SECONDS)):
            servers = self.servers()
            with suppress(SQLAlchemyError, FullconvError, OSError):
                request = self._chosen()
                if servers and request is not None:
                    self.ask(self.rng.choice(servers), *request)

    def _chosen(self) -> tuple[str, str, Any] | None:
        """The next request: in words, its path and document."""
        waiting = self.queue.jobs(states=OPEN)
        full = len(waiting) >= self.most or sum(bool(answer.jobs) for answer in self.answers) >= self.requests
        kinds = {"run": 8, "group": 2, "dataset": 4, "resume": 4, "evaluate": 2, "retry": 1}
        kind = self.rng.choices(list(kinds), list(kinds.values()))[0]
        aborts = sum(answer.request == "abort" for answer in self.answers)
        if self.rng.random() < 0.02 and MORE_THAN_ABORTS * aborts < len(self.answers):
            kind = "abort"
        self._made += 1
        if kind == "abort":
            return (kind, f"jobs/{self.rng.choice(waiting).id}/abort", None) if waiting else None
        if full:
            return None
        if kind in ("run", "group"):
            seed: Any = self._made if kind == "run" else [self._made, self._made + 1_000_000]
            return kind, "runs", {"experiment": self.plan | {"seed": seed}}
        if kind == "dataset":
            return kind, "datasets", {"name": f"made-{self._made}", "images": str(self.images)}
        if kind == "retry":
            ended = [job for job in self.queue.jobs(states=("failed",)) if job.kind in ("dataset", "group", "evaluate")]
            return (kind, f"jobs/{self.rng.choice(ended).id}/retry", None) if ended else None
        states = ("done",) if kind == "evaluate" else ("running", "failed", "aborted")
        runs = [run.name for run in list_runs(self.home) if read_status(run).state in states]
        if not runs:
            return None
        name = self.rng.choice(runs)
        if kind == "evaluate":
            return kind, "evaluations", {"model": name, "dataset": self.plan["dataset"], "split": "val"}
        return kind, f"runs/{name}/resume", None


def _jobs(content: Any) -> dict[int, str | None]:
    """The jobs in an answer, with what they work on."""
    if not isinstance(content, dict):
        return {}
    views = [*content.get("jobs", []), content.get("closing")] if "runs" in content else [content]
    return {view["id"]: view["subject"] for view in views if isinstance(view, dict) and "retry_of" in view}
