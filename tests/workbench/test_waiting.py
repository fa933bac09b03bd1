"""Looking at folders and comparing models goes on in few threads, and who waits for it takes none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import PrivateAttr

from fullconv.data.examination import Examination
from fullconv.data.layouts import list_files
from fullconv.data.scan import Scan
from fullconv.progress import told_to
from fullconv.workbench.application import create_app
from fullconv.workbench.comparisons import ImageSet, LiveComparison
from fullconv.workbench.folders import FolderRequest
from fullconv.workbench.refusals import Busy
from fullconv.workbench.workbench import Workbench
from workbench.conftest import BASE

WAITING = 60


class SlowRequest(FolderRequest):
    """Folders whose files are looked at only when they are let go."""

    _begun: threading.Semaphore = PrivateAttr(default_factory=lambda: threading.Semaphore(0))
    _go: threading.Event = PrivateAttr(default_factory=threading.Event)

    def examined(self, *, scanned: Callable[[Scan], None] | None = None) -> Examination:
        self._begun.release()
        self._go.wait(60)
        return super().examined(scanned=scanned)


@pytest.fixture
def slow(scenes: Path) -> Iterator[SlowRequest]:
    request = SlowRequest(images=str(scenes))
    yield request
    request._go.set()


def test_who_waits_takes_no_thread_from_others(bench: Workbench, slow: SlowRequest) -> None:
    check = bench.checks.begin(slow)

    async def many() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(bench, pages=False))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as visitor:
            wait = {"wait": 20}
            waiting = [
                asyncio.create_task(visitor.get(f"/api/v1/checks/{check.id}", params=wait)) for _ in range(WAITING)
            ]
            answer = await asyncio.wait_for(visitor.get("/api/v1/datasets"), 15)
            assert answer.status_code == 200
            assert not any(task.done() for task in waiting)
            slow._go.set()
            return await asyncio.gather(*waiting)

    answers = asyncio.run(many())
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["state"] for answer in answers} == {"done"}


def test_checks_that_were_dropped_count_until_they_end(bench: Workbench, slow: SlowRequest) -> None:
    for _ in range(2):
        check = bench.checks.begin(slow)
        assert slow._begun.acquire(timeout=60)
        bench.checks.drop(check.id)
    with pytest.raises(Busy):
        bench.checks.begin(slow)
    slow._go.set()
    for check in bench.checks._started:
        check._thread.join(60)
    bench.checks.drop(bench.checks.begin(slow).id)


def test_comparisons_that_were_dropped_count_until_they_end(bench: Workbench) -> None:
    begun, gate = threading.Semaphore(0), threading.Event()

    def images() -> ImageSet:
        begun.release()
        gate.wait(60)
        return ImageSet([])

    def begin(key: int) -> LiveComparison:
        return bench.comparisons.begin(key, lambda: LiveComparison((), images, bench.predictor))

    for key in range(2):
        one = begin(key)
        assert begun.acquire(timeout=60)
        bench.comparisons.drop(one.id)
    with pytest.raises(Busy):
        begin(2)
    gate.set()
    for one in bench.comparisons._started:
        one._thread.join(60)
    assert begin(3).id


def test_walking_through_folders_is_told_and_can_be_ended(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    heard = []
    with told_to(lambda what, done, total, seconds: heard.append((what, done))):
        list_files(tmp_path)
    assert heard == [("Looking for files", number) for number in (1, 2, 3)]
