"""Starting the processes of a run on this machine, and watching that all of them live."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from fullconv.errors import DataError, FullconvError
from fullconv.training.distribution.interrupts import deaf_to_interrupts
from fullconv.training.distribution.processes import Processes, joined
from fullconv.training.loaders import workers_without_main

Work = Callable[[Path, Path, bool, Processes], None]
"""(run, workspace, quiet, processes): what every process does; a function of a module, so that it can be named."""

LAST_WORDS_SECONDS = 5.0
"""How long the others may still tell what they met when one process has ended badly."""


def run_processes(work: Work, run: Path, home: Path, *, count: int, cuda: bool, quiet: bool) -> None:
    """Do the work in `count` processes of this machine and wait for them.

    The first that fails ends all others; so does an error here, such as Ctrl-C. Processes whose parent is gone end
    themselves.

    Args:
        work: what each does.
        run, home, quiet: handed to it.
        count: how many.
        cuda: whether each computes on a GPU of its own.

    Raises:
        FullconvError: a process was killed.
        Exception: what the first process that failed raised.
    """
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // count)
    processes: list[BaseProcess] = []
    results: list[Connection] = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fullconv-"))
        meeting = f"file://{folder}/meeting"
        stack.callback(_end, processes)
        with workers_without_main(), deaf_to_interrupts():
            for rank in range(count):
                receiving, sending = context.Pipe(duplex=False)
                one = Processes(rank, count, rank, count)
                arguments = (work, run, home, quiet, one, cuda, meeting, threads, sending)
                process = context.Process(target=_work, args=arguments, name=f"fullconv {rank + 1}/{count}")
                process.start()
                sending.close()
                processes.append(process)
                results.append(receiving)
        running = list(processes)
        while running:
            wait([process.sentinel for process in running])
            for ended in [process for process in running if not process.is_alive()]:
                running.remove(ended)
                if ended.exitcode != 0:
                    raise failure(run, processes, results)


def failure(run: Path, processes: Sequence[BaseProcess], results: Sequence[Connection]) -> BaseException:
    """Why they ended: an error that somebody can mend, else one that was killed, else whatever was said first."""
    deadline = time.monotonic() + LAST_WORDS_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    codes = [process.exitcode for process in processes]
    said = [one for one in map(_said, results) if one is not None]
    said.sort(key=lambda said: (not isinstance(said[1], DataError), said[0]))  # one alone knows of a bad file
    known = (FullconvError, ArithmeticError, OSError, MemoryError, torch.OutOfMemoryError)
    for _, problem in said:
        if isinstance(problem, known):
            return problem
    for rank, code in enumerate(codes, 1):
        if code is not None and (code < 0 or not said):
            how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
            remedy = f"continue with `fullconv train --resume {run.name}`, with a smaller batch if memory ran out"
            return FullconvError(f"process {rank} of {len(processes)} {how}", where=run, remedy=remedy)
    return said[0][1]


def _said(result: Connection) -> tuple[float, BaseException] | None:
    """When a process failed, in seconds, and why."""
    try:
        return pickle.loads(result.recv_bytes()) if result.poll() else None
    except EOFError:
        return None


def _end(processes: Sequence[BaseProcess]) -> None:
    """End all that still run; checkpoints are written so that this is safe at any moment."""
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


def _work(
    work: Work,
    run: Path,
    home: Path,
    quiet: bool,
    processes: Processes,
    cuda: bool,
    meeting: str,
    threads: int,
    result: Connection,
) -> None:
    """What a started process does."""
    for number in (signal.SIGINT, signal.SIGTERM):  # its parent answers them
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        with joined(processes, cuda=cuda, meeting=meeting):
            work(run, home, quiet or not processes.first, processes)
    except BaseException as problem:
        result.send_bytes(packed(problem))
        result.close()
        sys.stdout.flush()
        os._exit(1)  # at once: what is left would wait for processes that are gone


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def packed(problem: BaseException) -> bytes:
    """The time and an exception as bytes; one that cannot travel becomes its words."""
    now = time.time()
    problem.add_note("In another process:\n" + "".join(traceback.format_exception(problem)))
    try:
        content = pickle.dumps((now, problem))
        pickle.loads(content)
    except Exception:
        return pickle.dumps((now, RuntimeError(f"{type(problem).__name__}: {problem}")))
    return content
