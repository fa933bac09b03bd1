"""Addresses under /api that lead nowhere: a problem document, not a page."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send


class Elsewhere:
    """Answers what no route of REST does, before the pages are asked: 405 for another method, else 404.

    Args:
        app: that has the routes.
    """

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Raises:
            HTTPException: nothing is there, or not for this method.
        """
        for route in self._app.router.routes:
            match, found = route.matches(scope)
            if match is Match.PARTIAL:
                await route.handle({**scope, **found}, receive, send)
                return
        raise HTTPException(404, "There is nothing at this address; /api/v1/openapi.json tells what there is.")


def add_elsewhere(app: Starlette) -> None:
    """Add it to an application whose routes are all there."""
    app.router.routes.append(Route("/api/{path:path}", Elsewhere(app), include_in_schema=False))
