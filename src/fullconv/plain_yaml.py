"""YAML from elsewhere, looked at before anything is made of it: a few references can stand for more than fits."""

from __future__ import annotations

from pathlib import Path

import yaml

from fullconv.errors import FullconvError

DEEPEST = 20
MISREAD = (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What PyYAML raises: at a text that is no YAML, at values that are not what their tags say, as `!!bool x`."""


def refuse_references(
    path: Path, *, largest: int, error: type[FullconvError], remedy: str = "give a file that was made by FullConv"
) -> None:
    """Raise unless a file is small, valid YAML without references, and not nested for ever.

    Args:
        path: the file.
        largest: bytes that it may have.
        error: what is raised. remedy: what to do.

    Raises:
        error: as it says.
    """
    try:
        if path.stat().st_size > largest:
            raise error("is too large for a description", where=path, remedy=remedy)
        content = path.read_bytes()
    except OSError as problem:
        raise error(f"cannot be read ({problem.strerror})", where=path, remedy=remedy) from problem
    try:
        depth = 0
        for event in yaml.parse(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent):
                raise error("holds references, which no description needs", where=path, remedy=remedy)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise error("is nested too deeply", where=path, remedy=remedy)
    except MISREAD as problem:
        raise error("is not valid YAML", where=path, remedy=remedy) from problem
