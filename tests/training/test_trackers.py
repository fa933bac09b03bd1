"""Trackers are told what metrics.csv holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from lightning.pytorch.loggers import Logger

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import PlanError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training import trackers
from fullconv.training.recording import RunRecorder
from fullconv.training.stopping import StopRequested
from fullconv.workspace import Workspace

Told = list[tuple[str, int, float]]


def told_to_tensorboard(run: Path) -> Told:
    """(name, step, value), read back by TensorBoard itself."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    names = events.Tags()["scalars"]
    return sorted((name, event.step, event.value) for name in names for event in events.Scalars(name))


def written(run: Path) -> Told:
    """The same of metrics.csv."""
    return sorted(
        (f"{row['split']}/{name}", int(row["step"]), float(value))
        for row in read_rows(run / "metrics.csv")
        for name, value in row.items()
        if value and name not in ("step", "epoch", "split")
    )


@contextmanager
def stopping(epoch: int, step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs end after that step of that epoch, both from 1, before the epoch is whole."""
    plain = RunRecorder.on_train_batch_end

    def stop(self: RunRecorder, trainer: Any, task: Any, outputs: Any, batch: Any, index: int) -> None:
        plain(self, trainer, task, outputs, batch, index)
        if (trainer.current_epoch + 1, index + 1) == (epoch, step):
            raise StopRequested

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_train_batch_end", stop)
        with pytest.raises(StopRequested):
            yield


def stopped_thrice(dataset: Dataset, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was stopped in its first epoch, in its second, and in that one again, earlier; then it was done."""
    with stopping(1, 2, monkeypatch):
        fc.train(dataset, quiet=True, **settings)
    (run,) = Workspace.find().runs.iterdir()
    for step in (3, 1):
        with stopping(2, step, monkeypatch):
            fc.resume(run, quiet=True)
    fc.resume(run, quiet=True)
    return run


def same(found: Told, expected: Told, *, times: bool = True) -> None:
    """Equal, but for digits that metrics.csv leaves out; times may be those of rows that were cut off."""
    assert [entry[:2] for entry in found] == [entry[:2] for entry in expected]
    for one, other in zip(found, expected, strict=True):
        if times or one[0].split("/")[1] not in ("seconds", "images_per_second", "loader_wait"):
            assert one[2] == pytest.approx(other[2], rel=1e-4)


def test_tensorboard_is_told_what_metrics_holds_also_when_resumed(
    dataset: Dataset, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    run = stopped_thrice(dataset, quick | {"loggers": ["tensorboard"]}, monkeypatch)
    expected = written(run)
    assert {"train/loss", "train/learning_rate", "val/mean_iou", "val/iou_road"} <= {name for name, _, _ in expected}
    same(told_to_tensorboard(run), expected)
    plan = yaml.safe_load((run / "tensorboard" / "hparams.yaml").read_text())
    assert plan["network"] == quick["network"]


class Remembering(Logger):
    """A tracker that forgets nothing, as MLflow and Weights & Biases are."""

    told: ClassVar[dict[str, Told]] = {}
    ended: ClassVar[list[int]] = []

    def __init__(self, *, id: str, **options: Any) -> None:
        super().__init__()
        self.points = self.told.setdefault(id, [])
        self.id = id

    @property
    def experiment(self) -> Any:
        return self

    def finish(self, *, exit_code: int) -> None:
        self.ended.append(exit_code)

    @property
    def name(self) -> str:
        return "remembering"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, params: Any, *rest: Any, **named: Any) -> None:
        self.plan = params

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert step is not None
        self.points += [(name, step, value) for name, value in metrics.items()]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Told]:
    """What such a tracker was told, by its own names of runs."""
    monkeypatch.setattr(Remembering, "told", {})
    monkeypatch.setattr(Remembering, "ended", [])
    monkeypatch.setattr(trackers, "find_spec", lambda package: package)
    monkeypatch.setattr(trackers, "WandbLogger", Remembering)
    return Remembering.told


def test_a_tracker_that_forgets_nothing_is_told_every_row_once(
    dataset: Dataset, quick: dict[str, Any], told: dict[str, Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stopped_thrice(dataset, quick | {"loggers": ["wandb"]}, monkeypatch)
    assert list(told) == [run.name]
    assert Remembering.ended == [1, 1, 1, 0]
    same(sorted(told[run.name]), written(run), times=False)


def test_at_another_rate_such_a_tracker_gets_another_run_with_all_that_holds_of_the_first(
    dataset: Dataset, quick: dict[str, Any], told: dict[str, Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopping(2, 3, monkeypatch):
        fc.train(dataset, quiet=True, **quick, loggers=["wandb"])
    (run,) = Workspace.find().runs.iterdir()
    before = list(told[run.name])
    with stopping(3, 2, monkeypatch):
        fc.resume(run, learning_rate=1e-4, quiet=True)
    fc.resume(run, quiet=True)
    assert list(told) == [run.name, f"{run.name}-2"]
    assert told[run.name] == before
    same(sorted(told[f"{run.name}-2"]), written(run), times=False)


@pytest.mark.filterwarnings("ignore")  # its own
def test_mlflow_is_told_what_metrics_holds_also_when_resumed(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    run = stopped_thrice(dataset, quick | {"loggers": ["mlflow"]}, monkeypatch)
    client = mlflow.tracking.MlflowClient(f"sqlite:///{workspace_home / 'mlflow.db'}")
    (found,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert found.info.run_name == run.name
    assert found.info.status == "FINISHED"
    points = [
        (point.key, point.step, point.value)
        for name in found.data.metrics
        for point in client.get_metric_history(found.info.run_id, name)
    ]
    same(sorted(points), written(run), times=False)


def logged(content: bytes) -> Iterator[bytes]:
    """The records of a file of Weights & Biases: LevelDB's log format behind a header of 7 bytes."""
    block, header, place, parts = 32768, 7, 7, b""
    while place + header <= len(content):
        if block - place % block < header:
            place += block - place % block
            continue
        size, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        parts += content[place + header : place + header + size]
        place += header + size
        if kind in (1, 4):  # whole, or its last part
            yield parts
            parts = b""


@pytest.mark.filterwarnings("ignore")  # its own
def test_wandb_is_told_what_metrics_holds_also_when_resumed(
    dataset: Dataset, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline every part of the run leaves a file of its own."""
    wandb = pytest.importorskip("wandb")
    records = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = stopped_thrice(dataset, quick | {"loggers": ["wandb"]}, monkeypatch)
    assert wandb.run is None  # the next run is another one
    points, names = [], set()
    for path in run.glob("wandb/offline-run-*/run-*.wandb"):
        names.add(path.stem.removeprefix("run-"))
        for content in logged(path.read_bytes()):
            record = records.Record.FromString(content)
            row = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            numbers = {name: float(value) for name, value in row.items() if name.startswith(("train/", "val/"))}
            points += [(name, int(row["trainer/global_step"]), value) for name, value in numbers.items()]
    assert names == {run.name}
    same(sorted(points), written(run), times=False)


def test_without_trackers_none_is_made(dataset: Dataset, quick: dict[str, Any]) -> None:
    run = fc.train(dataset, quiet=True, **quick | {"epochs": 1})
    assert not {"tensorboard", "wandb", "lightning_logs", "mlflow-run.txt"} & {p.name for p in run.directory.iterdir()}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_one_sentence(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda package: None)
    with pytest.raises(PlanError, match=f"{name} is not installed; install it with `pip install {name}`"):
        fc.train(dataset, quiet=True, **quick, loggers=[name])
    assert not list(workspace_home.glob("runs/*"))


def test_a_tracker_that_refuses_is_one_sentence(
    dataset: Dataset, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("no API key\nconfigured")

    monkeypatch.setattr(trackers, "find_spec", lambda package: package)
    monkeypatch.setattr(trackers, "WandbLogger", refusing)
    with pytest.raises(PlanError, match=r"wandb cannot be used \(no API key\); set it up as its own manual says"):
        fc.train(dataset, quiet=True, **quick, loggers=["wandb"])
