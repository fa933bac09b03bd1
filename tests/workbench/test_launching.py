"""The environment in which a job's process begins."""

from __future__ import annotations

from pathlib import Path

from fullconv.workbench.jobs.launching import environment_of
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.tables import Job
from fullconv.workspace import Workspace

SETTINGS = ServerSettings(Workspace(Path("/data/fullconv")))


def environment(job: Job, own: dict[str, str], *, beside: bool = False) -> dict[str, str]:
    return environment_of(job, SETTINGS, own, beside=beside, cores=16)


def test_a_job_on_a_card_sees_that_card_and_all_others_see_none() -> None:
    def visible(kind: str, slot: int, own: dict[str, str]) -> str:
        job = Job(kind="train", title="t", slot_kind=kind, slot=slot, claim="c")
        return environment(job, own)["CUDA_VISIBLE_DEVICES"]

    assert visible("gpu", 1, {}) == "1"
    assert visible("gpu", 1, {"CUDA_VISIBLE_DEVICES": "3, 5"}) == "5"
    assert visible("gpu", 0, {"CUDA_VISIBLE_DEVICES": "GPU-8a7e"}) == "GPU-8a7e"
    assert visible("cpu", 0, {}) == visible("aside", 0, {"CUDA_VISIBLE_DEVICES": "3"}) == ""


def test_work_beside_trainings_takes_few_threads() -> None:
    aside = Job(kind="evaluate", title="t", slot_kind="aside", slot=0, claim="c")
    assert environment(aside, {}, beside=True)["OMP_NUM_THREADS"] == "4"
    assert "OMP_NUM_THREADS" not in environment(aside, {})
    assert environment(aside, {"OMP_NUM_THREADS": "9"}, beside=True)["OMP_NUM_THREADS"] == "9"
    for kind, slot_kind in (("train", "cpu"), ("forecast", "aside")):
        job = Job(kind=kind, title="t", slot_kind=slot_kind, slot=0, claim="c")
        assert "OMP_NUM_THREADS" not in environment(job, {}, beside=True)


def test_a_token_is_not_handed_to_jobs() -> None:
    job = Job(kind="train", title="t", slot_kind="cpu", slot=0, claim="c")
    assert "FULLCONV_TOKEN" not in environment(job, {"FULLCONV_TOKEN": "secret-secret-secret"})
