"""What jobs can do: name → function, imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from fullconv.collector import collector_at_rest
from fullconv.errors import PlanError
from fullconv.workbench.jobs.reporting import Reporter
from fullconv.workspace import Workspace


@dataclass(frozen=True)
class JobContext:
    """What a job works in.

    Args:
        home: the workspace.
        reporter: told how far it is.
        allow_code: networks from Python files may be used.
    """

    home: Workspace
    reporter: Reporter
    allow_code: bool = False


Payload = Mapping[str, Any]
Work = Callable[[Payload, JobContext], dict[str, Any] | None]
_PLACES = {
    "dataset": "datasets:create_dataset",
    "classes": "datasets:change_classes",
    "train": "training:train_run",
    "group": "training:close_group",
    "forecast": "training:forecast_plan",
    "evaluate": "prediction:evaluate_model",
    "predict": "prediction:predict_folder",
}


class _Kinds(Mapping[str, Work]):
    def __getitem__(self, kind: str) -> Work:
        if kind not in _PLACES:
            raise PlanError(
                f"no job does {kind!r}", where="the queue", remedy="start it with the program that queued it"
            )
        module, _, name = _PLACES[kind].partition(":")
        with collector_at_rest():
            found: Work = getattr(import_module(f"fullconv.workbench.work.{module}"), name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


KINDS: Mapping[str, Work] = _Kinds()
