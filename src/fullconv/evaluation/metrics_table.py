"""Reading a run's metrics.csv, also while it is written."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fullconv.errors import DataError


def read_rows(path: Path) -> list[dict[str, str]]:
    """All whole rows of a metrics.csv, cell by column; a last line cut off while it was written is left out.

    Raises:
        DataError: the file cannot be read or has no columns step and split.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "metrics.csv").write_text("step,split,loss\\n1,train,2.5\\n2,train,2")
    ...     read_rows(Path(folder) / "metrics.csv")
    [{'step': '1', 'split': 'train', 'loss': '2.5'}]
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"cannot be read ({problem})", where=path, remedy="check the path") from problem
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]), restkey="", restval="")
    if not {"step", "split"} <= set(reader.fieldnames or ()):
        raise DataError("has no columns step and split", where=path, remedy="give the metrics.csv of a training run")
    return [{name: row[name] for name in reader.fieldnames or ()} for row in reader]
