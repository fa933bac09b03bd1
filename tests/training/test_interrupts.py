"""Ctrl-C and SIGTERM are answered by one process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from fullconv.data.samples import Batch
from fullconv.training.distribution.interrupts import (
    Terminated,
    deaf_to_interrupts,
    deaf_to_sigterm,
    ended_by_sigterm,
)
from fullconv.training.guard.reading_faults import ReportingLoader


def hears() -> bool:
    """Whether this process hears Ctrl-C."""
    return signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def tell(answers: Any) -> None:
    answers.send(hears())


class Ears(Dataset[Batch]):
    """One batch, whose indices tell whether the process that makes it hears Ctrl-C."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Batch:
        return Batch(torch.zeros(1), torch.zeros(1), None, torch.tensor([hears()]), torch.zeros(1))


def test_a_process_started_meanwhile_never_hears_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    receiving, sending = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=tell, args=(sending,))
    with deaf_to_interrupts():
        process.start()
    assert receiving.recv() is False
    process.join()
    assert signal.getsignal(signal.SIGINT) is before


def test_loader_processes_never_hear_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    loader = ReportingLoader(Ears(), batch_size=None, num_workers=1, multiprocessing_context="spawn")
    assert [bool(batch.indices.item()) for batch in loader] == [False]
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_leaves_it_as_it_is() -> None:
    found: list[bool] = []

    def inside() -> None:
        with deaf_to_interrupts():
            found.append(hears())

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [True]


def test_sigterm_ends_what_goes_on_as_ctrl_c_does_and_once() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # while it cleans up

    with pytest.raises(Terminated), ended_by_sigterm():
        work()
    assert signal.getsignal(signal.SIGTERM) is before


def test_last_words_are_not_cut_short_by_sigterm() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with deaf_to_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
