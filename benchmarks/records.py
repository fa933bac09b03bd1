"""Results kept on disk, so that a benchmark that was stopped goes on; each with the settings and the code of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.files import write_atomically
from fullconv.training.settings.experiment import Experiment
from provenance import provenance

Result = dict[str, Any]


def whole(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a plan, so that a record of other defaults is known as such; weights by their file's name."""
    plan = Experiment.model_validate({"dataset": "data"} | dict(settings)).model_dump(mode="json")
    return plan | {"weights": Path(str(plan["weights"])).name}


def stamps(results: Iterable[Result]) -> str:
    """With what they were made: every date, machine, version and commit once."""
    return "; ".join(dict.fromkeys(result["provenance"] for result in results))


def recorded(path: Path, settings: Mapping[str, Any], measure: Callable[[], Result], *packages: str) -> Result:
    """What lies there, or is measured now and laid there.

    Args:
        path: of the record.
        settings: everything that the result depends on and that its name does not say.
        measure: gives what JSON can hold.
        packages: whose versions matter.

    Returns:
        The result, with the "provenance" as it was when the measuring began.

    Raises:
        SystemExit: the record was made with other settings, so that it would be published as what it is not.
    """
    wanted = json.loads(json.dumps(dict(settings)))
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["settings"] != wanted:
            raise SystemExit(f"{path} was made with {found['settings']}, not {wanted}: choose another --out")
        return dict(found["result"])
    stamp = provenance(*packages)
    result = measure() | {"provenance": stamp}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"settings": wanted, "result": result}))
    return result


def spread(values: list[float]) -> str:
    """Mean, and the range where there are several."""
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"
