"""Uploading a model package, or weights that runs can start from."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from nicegui import events, ui

from fullconv.errors import FullconvError
from fullconv.workbench.api.uploads import plain_name
from fullconv.workbench.pages.accessible_names import name_uploader
from fullconv.workbench.pages.theme import bench
from fullconv.workbench.services.model_files import WEIGHTS_KIND, upload_package, upload_weights
from fullconv.workbench.services.models import NAME_PATTERN

_TEXT = (
    "A package is the zip that a workbench gives as download: it appears under Models once all of it has been looked "
    f"at. Weights (a {WEIGHTS_KIND} file) are start values that New run can choose. Nothing in a file is run."
)


def upload_card(done: Callable[[], Awaitable[None]]) -> ui.element:
    """A field for the name and a place to drop files; hidden at first.

    Args:
        done: called after something was taken.
    """
    with ui.column().classes("card").style("gap: .6rem") as card:
        ui.label(_TEXT).classes("faint")
        with ui.row().classes("w-full items-start").style("gap: .6rem 1rem"):
            name = ui.input("Name", validation={"Use letters, digits, dot, dash and underscore.": _is_name})
            name.props('dense clearable maxlength=100 hint="empty: as the file says"').style("width: min(16rem, 100%)")
            name.mark("upload-name")
            message = ui.label().classes("bad").props("role=alert").style("overflow-wrap: anywhere")

            async def uploaded(event: events.UploadEventArguments) -> None:
                message.text = ""
                wanted = (name.value or "").strip() or None
                try:
                    if wanted is not None and not _is_name(wanted):
                        return
                    said = await _take(event, wanted)
                except FullconvError as problem:
                    message.text = str(problem)
                    return
                finally:
                    place.reset()
                name.value = ""
                ui.notify(said, type="positive")
                await done()

            place = ui.upload(on_upload=uploaded, auto_upload=True)
            place.props(f'accept=".zip,{WEIGHTS_KIND}" flat bordered').classes("col")
            place.style("min-width: min(20rem, 100%)")
            name_uploader(place, f"Drop a .zip or a {WEIGHTS_KIND} file here")
            place.on("rejected", lambda: _reject(message))
    card.visible = False
    return card


async def _take(event: events.UploadEventArguments, name: str | None) -> str:
    file_name = plain_name(event.file.name)
    if file_name.lower().endswith(".zip"):
        made = await upload_package(bench(), event.file, name=name)
        return f"{made.name} is there: /models/{quote(made.name)}"
    kept = await upload_weights(bench(), event.file, file_name=file_name, name=name)
    return f"{kept.name} can be chosen as weights of a new run."


def _is_name(text: str | None) -> bool:
    return not text or re.fullmatch(NAME_PATTERN, text.strip()) is not None


def _reject(message: ui.label) -> None:
    message.text = f"This kind of file is not taken; give a .zip or a {WEIGHTS_KIND} file."
