"""Where the pictures of layers are found, and the page itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from fullconv.workbench.services.layers import Asked


def page_address(asked: Asked, **more: Any) -> str:
    """The page of a model and an image.

    >>> page_address(Asked(model="first", image="dataset:streets:a b"), layer="conv1")
    '/layers?model=first&image=dataset%3Astreets%3Aa+b&layer=conv1'
    >>> page_address(Asked(model="first", kind="run"))
    '/layers?model=first&kind=run&image=shapes'
    """
    return f"/layers?{_query(asked, model=asked.model, **more)}"


def rest_address(asked: Asked, *parts: object, **more: Any) -> str:
    """An address below that of the model in REST.

    >>> rest_address(Asked(model="first"), "layers", "conv/1", "filters", page=2)
    '/api/v1/models/first/layers/conv%2F1/filters?image=shapes&page=2'
    """
    path = "/".join(quote(str(part), safe="") for part in (asked.model, *parts))
    return f"/api/v1/models/{path}?{_query(asked, **more)}"


def _query(asked: Asked, model: str | None = None, **more: Any) -> str:
    known = {"model": model, "kind": asked.kind, "image": asked.image, "head": asked.head, **more}
    return urlencode({name: value for name, value in known.items() if value is not None})
