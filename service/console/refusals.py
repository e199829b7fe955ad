"""Errors as answers: a stable code and a sentence that says what to do, never what was sent to us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from service.backlog.accounts import AccountRefused
from service.backlog.database import LedgerRefused
from service.console.wording import wording_for
from service.errors import ConfigInvalid, NodeError
from service.log import EventLog

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

_log = EventLog("console")

_NOT_FOUND: Final = frozenset(
    {"ledger.no-such-job", "ledger.no-such-series", "delivery.no-such-destination", "review.unknown"}
)
_HTTP: Final = {
    400: ("console.bad-request", "The request is not one that this server understands."),
    404: ("console.not-found", "There is nothing at this address."),
    405: ("console.method", "This address does not take that method."),
}


class Refusal(BaseModel):
    """An error as it is answered."""

    code: str
    sentence: str
    said: str = Field(default="", description="the same in the page's language, if the sentence is not in it")
    details: list[str] = []


ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    code: {"model": Refusal} for code in (400, 401, 403, 404, 409, 413, 422, 503)
}
"""What every address of the API may answer instead, for its documentation."""


class ConsoleRefused(NodeError):
    """A request is not granted; ``status`` is the HTTP status."""

    def __init__(self, status: int, code: str, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(code, sentence)
        self.status = status
        self.retry_after = retry_after


def install(app: FastAPI) -> None:
    """Answer every error in the same form."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, NodeError)  # noqa: S101 - registered for nothing else
        return _of_node_error(request, error)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
        # Never the value: it may be a patient's.
        wrong = [f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in error.errors()]
        return _answer(
            request, 422, "console.request-invalid", "Something in the request is not as it should be.", wrong
        )

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
        code, sentence = _HTTP.get(error.status_code, ("console.refused", "The request is refused."))
        return _answer(request, error.status_code, code, sentence, headers=dict(error.headers or {}))

    async def no_database(request: Request, error: Exception) -> JSONResponse:
        _log.failure("console.database-unavailable", error)
        return _answer(
            request, 503, "console.database-unavailable", "The database does not answer. Try again shortly."
        )

    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        _log.failure("console.failed", error)
        sentence = "Something went wrong that nobody foresaw. The log says where."
        return _answer(request, 500, "console.failed", sentence)

    app.add_exception_handler(NodeError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(sa.exc.DBAPIError, no_database)
    app.add_exception_handler(Exception, unforeseen)


def _of_node_error(request: Request, error: NodeError) -> JSONResponse:
    if isinstance(error, ConsoleRefused):
        headers = {} if error.retry_after is None else {"Retry-After": str(int(error.retry_after) + 1)}
        return _answer(request, error.status, error.code, error.sentence, headers=headers)
    if isinstance(error, ConfigInvalid):
        sentence = "The configuration has mistakes and would not be used."
        return _answer(request, 422, error.code, sentence, list(error.mistakes))
    if error.code in _NOT_FOUND or error.code == "account.unknown":
        return _answer(request, 404, error.code, error.sentence)
    status = 409 if isinstance(error, LedgerRefused | AccountRefused) or not error.retry else 503
    return _answer(request, status, error.code, error.sentence)


def _answer(
    request: Request,
    status: int,
    code: str,
    sentence: str,
    details: list[str] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    said = wording_for(request).of_code(code, sentence)
    body = Refusal(code=code, sentence=sentence, said=said, details=details or [])
    return JSONResponse(
        body.model_dump(exclude=None if said else {"said"}), status_code=status, headers=headers
    )
