"""Files as answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.responses import FileResponse


def sent_file(
    path: Path,
    *,
    name: str | None = None,
    media_type: str = "application/octet-stream",
    headers: Mapping[str, str] | None = None,
) -> FileResponse:
    """A file of this moment as an answer; OSError now, not in the midst of the answer, where it has just gone.

    Args:
        path: of the file. name: under which a browser saves it; none where it shows it.
    """
    return FileResponse(path, media_type=media_type, filename=name, headers=headers, stat_result=path.stat())
