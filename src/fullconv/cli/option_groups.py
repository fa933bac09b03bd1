"""Options that several commands share, as one parameter of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, get_type_hints


def takes(group: type, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, for its parameter of that name, the options of a group one by one, as typer reads them.

    Args:
        group: a dataclass whose fields are annotated as options are.
        name: of the command's parameter that takes one.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [parameter for key, parameter in inspect.signature(command).parameters.items() if key != name]
        hints = get_type_hints(command, include_extras=True) | get_type_hints(group, include_extras=True)
        shared = inspect.signature(group).parameters

        @wraps(command)
        def with_options(**values: Any) -> None:
            command(**{name: group(**{key: values.pop(key) for key in shared})}, **values)

        arguments = [parameter for parameter in own if parameter.kind is not inspect.Parameter.KEYWORD_ONLY]
        options = [parameter for parameter in own if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
            for parameter in (*arguments, *shared.values(), *options)
        ]
        with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return with_options

    return decorate
