from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE

import pytest

from fullconv.errors import FullconvError, StorageError
from fullconv.workbench import database as database_module
from fullconv.workbench.database import check_integrity, connect, reading
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.refusals import Busy, NotThere
from fullconv.workbench.settings import Slots
from fullconv.workbench.tables import Job


@pytest.fixture
def url(database: str) -> str:
    return database


@pytest.fixture
def queue(url: str) -> Iterator[Queue]:
    made = Queue(connect(url), host="here")
    yield made
    made.engine.dispose()


def add(queue: Queue, **changes: object) -> Job:
    return queue.add("dataset", **({"title": "t", "payload": {}} | changes))  # type: ignore[arg-type]


def claimed(queue: Queue) -> Job:
    job = queue.claim(Slots(cpu=1))
    assert job is not None
    assert job.id is not None
    assert job.claim is not None
    return job


def test_jobs_are_claimed_in_order_and_as_slots_allow(queue: Queue) -> None:
    first, second, third = (add(queue, title=str(number)) for number in range(3))
    assert queue.claim(Slots(cpu=2)).id == first.id  # type: ignore[union-attr]
    assert queue.claim(Slots(cpu=2)).id == second.id  # type: ignore[union-attr]
    assert queue.claim(Slots(cpu=2)) is None
    queue.end(first.id, queue.get(first.id).claim, "done")  # type: ignore[arg-type]
    assert queue.claim(Slots(cpu=2)).id == third.id  # type: ignore[union-attr]


def test_slots_of_graphics_cards_and_of_the_processor_are_apart(queue: Queue) -> None:
    on_card, on_processor = add(queue, device="gpu"), add(queue)
    assert queue.claim(Slots(cpu=1)).id == on_processor.id  # type: ignore[union-attr]
    assert queue.claim(Slots(cpu=1)) is None  # a job for a card waits for a machine with one
    assert queue.claim(Slots(cpu=1, gpu=1)).id == on_card.id  # type: ignore[union-attr]


def test_every_machine_has_its_own_slots(queue: Queue) -> None:
    add(queue)
    add(queue)
    elsewhere = Queue(queue.engine, host="there")
    assert queue.claim(Slots(cpu=1)) is not None
    assert queue.claim(Slots(cpu=1)) is None
    assert elsewhere.claim(Slots(cpu=1)) is not None


CLAIM_ALL = """
import sys
from fullconv.workbench.database import connect
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.settings import Slots
queue, misses = Queue(connect(sys.argv[1]), host=sys.argv[2]), 0
print("ready", flush=True)
sys.stdin.readline()
while misses < 3:
    job = queue.claim(Slots(cpu=100))
    misses += job is None
    if job is not None:
        print(job.id)
"""


def test_no_job_is_claimed_twice_by_several_processes(url: str, queue: Queue) -> None:
    numbers = [add(queue).id for _ in range(30)]
    others = [
        subprocess.Popen([sys.executable, "-c", CLAIM_ALL, url, host], stdin=PIPE, stdout=PIPE, text=True)
        for host in ("here", "here", "there")
    ]
    for process in others:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    got: list[int] = []
    for process in others:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in others:
        got += map(int, process.communicate(timeout=120)[0].split())
    assert sorted(got) == numbers
    assert check_integrity(queue.engine) == "ok"


def test_no_job_is_claimed_twice_by_several_threads(queue: Queue) -> None:
    for _ in range(20):
        add(queue)
    with ThreadPoolExecutor(8) as pool:
        got = [job.id for job in pool.map(lambda _: queue.claim(Slots(cpu=20)), range(40)) if job is not None]
    rest = []
    while (job := queue.claim(Slots(cpu=20))) is not None:
        rest.append(job.id)
    assert sorted(got + rest) == list(range(1, 21))  # type: ignore[type-var]


def test_only_the_one_with_the_claim_begins_beats_and_ends(queue: Queue) -> None:
    add(queue)
    job = claimed(queue)
    assert queue.begin(job.id, "another", process=1, started=1.0) is None  # type: ignore[arg-type]
    assert queue.begin(job.id, job.claim, process=1, started=1.0) is not None  # type: ignore[arg-type]
    again = queue.begin(job.id, job.claim, process=1, started=1.0)  # type: ignore[arg-type]
    assert again is not None, "the answer to the first one was lost"
    assert again.state == "running"
    assert queue.begin(job.id, job.claim, process=2, started=1.0) is None  # type: ignore[arg-type]
    assert queue.begin(job.id, job.claim, process=1, started=2.0) is None  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="somebody else"):
        queue.beat(job.id, "another")  # type: ignore[arg-type]
    assert queue.beat(job.id, job.claim, progress=0.5) is None  # type: ignore[arg-type]
    assert not queue.end(job.id, "another", "done")  # type: ignore[arg-type]
    assert queue.end(job.id, job.claim, "failed", error="why")  # type: ignore[arg-type]
    assert not queue.end(job.id, job.claim, "done")  # type: ignore[arg-type]
    assert (queue.get(1).state, queue.get(1).error, queue.get(1).progress) == ("failed", "why", 0.5)


def test_a_claimed_job_that_nobody_began_goes_back_to_its_place(queue: Queue) -> None:
    first, second = add(queue), add(queue)
    job = claimed(queue)
    assert queue.give_back(job.id, job.claim)  # type: ignore[arg-type]
    assert [waiting.id for waiting in queue.jobs(states=("queued",))] == [first.id, second.id]
    assert queue.begin(job.id, job.claim, process=1, started=1.0) is None  # type: ignore[arg-type]


def test_a_waiting_job_is_aborted_at_once_and_a_running_one_is_told(queue: Queue) -> None:
    add(queue)
    add(queue)
    job = claimed(queue)
    queue.begin(job.id, job.claim, process=1, started=1.0)  # type: ignore[arg-type]
    assert queue.abort(2).state == "aborted"
    assert queue.abort(1).state == "running"
    assert queue.beat(1, job.claim) is not None  # type: ignore[arg-type]
    since = queue.get(1).abort_at
    assert queue.abort(1).abort_at == since
    with pytest.raises(StorageError, match="ended"):
        queue.abort(2)


def test_a_thing_has_one_open_job_at_most(queue: Queue) -> None:
    add(queue, subject="run:a")
    add(queue, subject="run:b")
    with pytest.raises(StorageError, match="a: a job for it is open already"):
        add(queue, subject="run:a")
    queue.abort(1)
    add(queue, subject="run:a")


def test_the_order_can_be_changed(queue: Queue) -> None:
    for _ in range(4):
        add(queue)

    def order() -> list[int | None]:
        return [job.id for job in queue.jobs(states=("queued",))]

    queue.move(4, before=1)
    assert order() == [4, 1, 2, 3]
    queue.move(3, before=2)
    assert order() == [4, 1, 3, 2]
    queue.move(4)
    assert order() == [1, 3, 2, 4]
    with pytest.raises(StorageError):
        queue.move(1, before=99)


@pytest.mark.parametrize("place", ["after the first", "before the first"])
def test_the_order_can_be_changed_again_and_again(queue: Queue, place: str) -> None:
    """Halving the way between two numbers ends after some fifty times."""
    first, second, one, other = (add(queue) for _ in range(4))
    before = second if place == "after the first" else first
    expected = [first, other, one, second] if before is second else [other, one, first, second]
    for _ in range(100):
        for moved in (one, other):
            queue.move(moved.id, before=before.id)  # type: ignore[arg-type]
            before_it = one if moved is other else other
            queue.move(before_it.id, before=moved.id)  # type: ignore[arg-type]
    queue.move(one.id, before=before.id)  # type: ignore[arg-type]
    queue.move(other.id, before=one.id)  # type: ignore[arg-type]
    assert [job.id for job in queue.jobs(states=("queued",))] == [job.id for job in expected]
    positions = [job.position for job in queue.jobs(states=("queued",))]
    assert len(set(positions)) == len(positions)


def test_a_claimed_job_goes_back_to_its_place_though_others_were_moved_often(queue: Queue) -> None:
    first, second, third, fourth = (add(queue) for _ in range(4))
    job = claimed(queue)
    for _ in range(60):
        queue.move(fourth.id, before=third.id)  # type: ignore[arg-type]
        queue.move(second.id, before=fourth.id)  # type: ignore[arg-type]
        queue.move(second.id, before=third.id)  # type: ignore[arg-type]
    assert queue.give_back(first.id, job.claim)  # type: ignore[arg-type]
    assert [job.id for job in queue.jobs(states=("queued",))] == [first.id, fourth.id, second.id, third.id]


def test_the_number_of_a_job_is_never_given_again(queue: Queue) -> None:
    """Its log, and what people remember of it, are not those of another job."""
    add(queue)
    last = add(queue)
    queue.abort(last.id)  # type: ignore[arg-type]
    queue.remove(last.id)  # type: ignore[arg-type]
    assert add(queue).id == 3


def test_a_database_that_is_locked_is_a_sentence_for_visitors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "WAIT_SECONDS", 0.1)
    queue = Queue(connect(f"sqlite:///{tmp_path / 'jobs.sqlite'}"))
    with database_module.writing(queue.engine), pytest.raises(Busy, match="cannot be used just now") as caught:
        add(queue)
    assert "locked" in str(caught.value)
    assert add(queue).id == 1
    queue.engine.dispose()


def test_retry_makes_a_new_job_of_one_that_failed(queue: Queue) -> None:
    add(queue, subject="dataset:a", payload={"root": "x"})
    with pytest.raises(StorageError, match="open"):
        queue.retry(1)
    job = claimed(queue)
    queue.end(1, job.claim, "failed")  # type: ignore[arg-type]
    again = queue.retry(1)
    assert (again.id, again.retry_of, again.payload, again.state) == (2, 1, {"root": "x"}, "queued")
    with pytest.raises(StorageError, match="a job for it is open"):
        queue.retry(1)


def test_a_job_starts_only_when_those_before_it_have_ended(queue: Queue) -> None:
    first, second = add(queue), add(queue)
    closing = add(queue, after=[first.id, second.id])
    queue.move(closing.id, before=first.id)  # type: ignore[arg-type]
    one, other = (queue.claim(Slots(cpu=3)) for _ in range(2))
    assert {one.id, other.id} == {first.id, second.id}  # type: ignore[union-attr]
    assert queue.claim(Slots(cpu=3)) is None
    queue.end(one.id, one.claim, "done")  # type: ignore[arg-type, union-attr]
    assert queue.claim(Slots(cpu=3)) is None
    queue.end(other.id, other.claim, "failed")  # type: ignore[arg-type, union-attr]
    assert queue.claim(Slots(cpu=3)).id == closing.id  # type: ignore[union-attr]


def test_a_job_waits_neither_for_what_is_gone_nor_lets_others_wait(queue: Queue) -> None:
    add(queue, after=[77])
    held = add(queue)
    blocked = add(queue, after=[held.id])
    free = add(queue)
    assert [queue.claim(Slots(cpu=9)).id for _ in range(3)] == [1, held.id, free.id]  # type: ignore[union-attr]
    assert queue.claim(Slots(cpu=9)) is None
    assert queue.get(blocked.id).state == "queued"  # type: ignore[arg-type]


def test_a_waiting_job_can_be_put_after_others(queue: Queue) -> None:
    first = add(queue)
    closing = add(queue, after=[first.id])
    later = add(queue)
    with queue.adding() as step:
        assert step.let_wait(closing.id, [later.id, first.id]).after == [first.id, later.id]  # type: ignore[arg-type, list-item]
    claimed(queue)
    with pytest.raises(StorageError, match="does not wait"), queue.adding() as step:
        step.let_wait(first.id, [later.id])  # type: ignore[arg-type, list-item]


def test_jobs_that_belong_together_come_all_or_not_at_all(queue: Queue) -> None:
    add(queue, subject="run:b")

    def add_both() -> None:
        with queue.adding() as step:
            step.job("train", title="a", payload={}, subject="run:a")
            step.job("train", title="b", payload={}, subject="run:b")

    with pytest.raises(StorageError, match="b: a job for it is open"):
        add_both()
    assert [job.subject for job in queue.jobs()] == ["run:b"]
    with queue.adding() as step:
        run = step.job("train", title="a", payload={}, subject="run:a")
        step.job("group", title="all", payload={}, after=[run.id])  # type: ignore[list-item]
        assert step.open_jobs(["run:a", "run:c"]) == {"run:a": run.id}
        assert step.latest("run:a").id == run.id  # type: ignore[union-attr]
    assert [(job.title, job.after) for job in queue.jobs(states=("queued",))][1:] == [("a", []), ("all", [run.id])]


def test_a_job_can_come_before_all_that_wait(queue: Queue) -> None:
    add(queue)
    add(queue)
    first = add(queue, first=True)
    assert [job.id for job in queue.jobs(states=("queued",))] == [first.id, 1, 2]


def test_short_work_does_not_wait_for_trainings(queue: Queue) -> None:
    add(queue)
    add(queue)
    aside = add(queue, device="aside")
    assert queue.claim(Slots(cpu=1)).id == 1  # type: ignore[union-attr]
    assert queue.claim(Slots(cpu=1)).id == aside.id  # type: ignore[union-attr]
    assert queue.claim(Slots(cpu=1)) is None


def test_short_work_takes_a_card_that_is_free_and_else_goes_aside(queue: Queue) -> None:
    short, other = add(queue, device="either"), add(queue, device="either")
    training = add(queue, device="gpu")
    slots = Slots(cpu=1, gpu=1, aside=1)
    first = queue.claim(slots)
    second = queue.claim(slots)
    assert first is not None
    assert second is not None
    assert (first.id, first.slot_kind) == (short.id, "gpu")
    assert (second.id, second.slot_kind) == (other.id, "aside")
    assert queue.claim(slots) is None  # the training waits for the card
    queue.end(short.id, first.claim or "", "done")  # type: ignore[arg-type]
    add(queue, device="either")
    assert queue.claim(slots).id == training.id  # type: ignore[union-attr]  # which was there first


def test_without_a_card_short_work_goes_aside(queue: Queue) -> None:
    add(queue)
    short = add(queue, device="either")
    assert queue.claim(Slots(cpu=1)).id == 1  # type: ignore[union-attr]
    found = queue.claim(Slots(cpu=1))
    assert found is not None
    assert (found.id, found.slot_kind) == (short.id, "aside")


def test_whatever_a_log_or_a_file_name_holds_is_kept(queue: Queue) -> None:
    odd = "zero \0, half \udce9, Straße"
    job = add(queue, title=odd, payload={"name": odd, "mean_iou": float("nan"), "list": [float("inf"), odd]})
    taken = claimed(queue)
    assert queue.begin(taken.id, taken.claim, process=1, started=1.0) is not None  # type: ignore[arg-type]
    queue.beat(taken.id, taken.claim, message=odd)  # type: ignore[arg-type]
    queue.end(taken.id, taken.claim, "failed", error=odd, tail=odd, result={"mean_iou": float("nan")})  # type: ignore[arg-type]
    found, plain = queue.get(job.id), "zero �, half ?, Straße"  # type: ignore[arg-type]
    assert {found.title, found.message, found.error, found.tail} == {plain}
    assert found.payload == {"name": plain, "mean_iou": None, "list": [None, plain]}
    assert found.result == {"mean_iou": None}


def test_the_latest_job_of_many_subjects_is_found_at_once(queue: Queue) -> None:
    for subject in ("evaluation:a", "evaluation:b", "prediction:a"):
        queue.abort(add(queue, subject=subject).id)  # type: ignore[arg-type]
    again = add(queue, subject="evaluation:a")
    assert queue.latest("evaluation:") == {"evaluation:a": again.id, "evaluation:b": 2}


def test_what_is_not_there_is_said(queue: Queue) -> None:
    for act in (queue.get, queue.abort, queue.retry, queue.remove):
        with pytest.raises(NotThere, match="there is no job 7"):
            act(7)


def test_readers_are_not_kept_waiting_by_a_writer(queue: Queue) -> None:
    from fullconv.workbench.database import writing

    add(queue)
    with writing(queue.engine) as session:
        session.add(Job(kind="dataset", title="unseen"))
        session.flush()
        with reading(queue.engine) as other:
            assert len(other.connection().exec_driver_sql("select id from job").all()) == 1


def test_a_database_of_another_version_is_refused(url: str) -> None:
    from fullconv.workbench.database import writing

    engine = connect(url)
    with writing(engine) as session:
        session.connection().exec_driver_sql("update schema_version set version = '99'")
    engine.dispose()
    with pytest.raises(StorageError, match="another version"):
        connect(url)


NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/nothing"


@pytest.mark.parametrize("wrong", ["nonsense", "nosuch://x", "sqlite:////proc/nothing/here.sqlite", NOWHERE])
def test_a_database_that_cannot_be_opened_is_one_sentence(wrong: str) -> None:
    with pytest.raises(FullconvError) as caught:
        connect(wrong)
    assert str(caught.value).count("\n") == 0
    assert "secret" not in str(caught.value)
