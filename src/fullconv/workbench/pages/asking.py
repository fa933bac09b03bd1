"""What pages ask of services: off the event loop, and every refusal as its sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from nicegui import run, ui

from fullconv.errors import FullconvError

Given = ParamSpec("Given")
Found = TypeVar("Found")


async def asked(service: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs) -> Found:
    """The answer of a service that may take a while.

    Raises:
        FullconvError: what the service refuses.
    """
    return await run.io_bound(service, *args, **kwargs)  # type: ignore[return-value] # None when the server stops


async def tried(service: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs) -> Found | None:
    """The same, with a refusal shown as a message; None then."""
    try:
        return await asked(service, *args, **kwargs)
    except FullconvError as problem:
        refuse(problem)
        return None


def refuse(problem: FullconvError) -> None:
    """Show why something was not done."""
    ui.notify(str(problem), type="negative", multi_line=True, close_button="Close", timeout=12_000)
