"""Results kept on disk, so that a benchmark that was stopped goes on; each with the settings that it was made with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fullconv.files import write_atomically

Result = dict[str, Any]


def recorded(path: Path, settings: Mapping[str, Any], measure: Callable[[], Result]) -> Result:
    """What lies there, or is measured now and laid there.

    Args:
        path: of the record.
        settings: everything that the result depends on and that its name does not say.
        measure: gives what JSON can hold.

    Raises:
        SystemExit: the record was made with other settings, so that it would be published as what it is not.
    """
    wanted = json.loads(json.dumps(dict(settings)))
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["settings"] != wanted:
            raise SystemExit(f"{path} was made with {found['settings']}, not {wanted}: choose another --out")
        return dict(found["result"])
    result = measure()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"settings": wanted, "result": result}))
    return result
