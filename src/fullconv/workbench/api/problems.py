"""Errors as problem documents (RFC 9457): the same sentence that the shell prints."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from fullconv.errors import DataError, FullconvError, PackageError, PlanError, StorageError
from fullconv.workbench.mistakes import WrongFields
from fullconv.workbench.refusals import Busy, NotThere, Refusal

MEDIA_TYPE = "application/problem+json"
_STATUS: dict[type[FullconvError], int] = {DataError: 422, PlanError: 422, PackageError: 422, StorageError: 409}
log = logging.getLogger(__name__)


class Problem(BaseModel):
    """A problem document.

    Args:
        type: kind of the problem. title: of the kind. status: of the answer.
        detail: the sentence: what, where, what to do.
        where: the field, file or name that is concerned.
        remedy: what to do.
        errors: every wrong field of a document, with its path.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    where: str | None = None
    remedy: str | None = None
    errors: list[dict[str, Any]] | None = None


def problem_of(error: FullconvError) -> Problem:
    """The document for an error of ours."""
    if isinstance(error, Refusal):
        status, title = error.status, error.title
    else:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 422)
        title = HTTPStatus(status).phrase
    fields = [wrong.model_dump() for wrong in error.errors] if isinstance(error, WrongFields) else None
    return Problem(title=title, status=status, detail=str(error), where=error.where, remedy=error.remedy, errors=fields)


def answer(problem: Problem) -> JSONResponse:
    """A problem document as an answer."""
    headers = {"Retry-After": "1"} if problem.status == Busy.status else None
    content = problem.model_dump(mode="json", exclude_none=True)
    return JSONResponse(content, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def install(app: FastAPI) -> None:
    """Answer all errors of an application this way."""

    @app.exception_handler(FullconvError)
    async def _ours(request: Request, error: FullconvError) -> JSONResponse:
        return answer(problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [
            {"field": ".".join(str(part) for part in found["loc"][1:]), "message": found["msg"]}
            for found in error.errors()
        ]
        first = wrong[0] if wrong else {"field": "", "message": "cannot be read"}
        detail = f"{first['field'] or 'the request'}: {first['message']}."
        return answer(Problem(title="Unprocessable content", status=422, detail=detail, errors=wrong))

    @app.exception_handler(HTTPException)
    async def _plain(request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase
        response = answer(Problem(title=phrase, status=error.status_code, detail=str(error.detail)))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(FileNotFoundError)
    async def _gone(request: Request, error: FileNotFoundError) -> JSONResponse:
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return answer(problem_of(NotThere("a file of it is gone", remedy="look whether somebody deleted it just now")))

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
        log.exception("%s %s", request.method, request.url.path, exc_info=error)
        detail = "Something went wrong that nobody foresaw; the server's log has more."
        return answer(Problem(title="Internal server error", status=500, detail=detail))
