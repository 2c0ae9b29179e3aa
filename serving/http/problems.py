"""Problems (RFC 9457): the answer to each kind of failure says what was found and what to do.

Failures that are not the caller's fault are logged as well, with the trace but without the path, which may name a
customer.
"""

import logging
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from features.errors import BadInput, Mismatch, Refused, Unavailable
from features.events import BadEvent
from features.record import BadRecord
from pipeline.runtime import tracing
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable, StoreUnavailable
from serving.audit.trail import TrailFull
from serving.auth.keys import ProviderUnavailable
from serving.auth.tokens import Forbidden, Unauthenticated

DEADLINE_S = 2.0  # of an answer: a caller who waits longer has gone
AGAIN = "ask again: an event that had been counted meanwhile is not counted twice"
OURS = "tell who runs this service"


logger = logging.getLogger(__name__)


class NotJson(BadInput):
    """The body of the request is not declared as JSON."""


class Problem(BaseModel):
    """Problem details (RFC 9457): why there is no answer."""

    title: str
    status: int
    detail: str
    reason: str | None = Field(None, description="of an event that cannot be used, as in dead letters")


# By type of error, the more special one first: status, title, what to add to the detail.
FAILURES: dict[type[Exception], tuple[int, str, str]] = {
    BadEvent: (422, "The event cannot be used", ""),
    NotJson: (415, "The body is not JSON", ""),
    ClientDisconnect: (400, "The caller has gone", ""),
    Unauthenticated: (401, "Who are you?", ""),
    Forbidden: (403, "You may not do this", ""),
    ProviderUnavailable: (503, "Tokens cannot be checked now", "ask again"),
    StoreUnavailable: (503, "Redis cannot be used now", AGAIN),
    PubSubUnavailable: (503, "Pub/Sub cannot be used now", AGAIN),
    PubSubRefused: (503, "Pub/Sub refuses the event", f"its topic or permission is missing: {OURS}"),
    TrailFull: (503, "The audit trail is full", f"ask again when BigQuery is back, or {OURS}"),
    Unavailable: (503, "A part of the service cannot be used now", AGAIN),
    Refused: (503, "A part of the service refuses to work", OURS),
    Mismatch: (500, "Parts of the service do not fit together", OURS),
    BadInput: (422, "The request cannot be used", ""),
    TimeoutError: (503, f"No answer within {DEADLINE_S:g} s", AGAIN),
    BadRecord: (
        500,
        "A record cannot be read",
        f"a sent event is kept until it is repaired; {OURS}",
    ),
}
NOT_NOW = frozenset({"from_future", "too_late"})  # nothing is wrong with the event by itself
HEADERS = {
    401: {"www-authenticate": "Bearer"},
    503: {"retry-after": "1"},
}
# For the OpenAPI document.
PROBLEMS = {
    status: {"content": {"application/problem+json": {"schema": Problem.model_json_schema()}}}
    for status in sorted({status for status, *_ in FAILURES.values()} | {404, 408, 409, 413, 415, 431})
}


def handlers() -> dict[Any, Any]:
    """Return the handler of each type of error."""
    return {**dict.fromkeys(FAILURES, known), RequestValidationError: bad_query, HTTPException: missed}


async def known(request: Request, error: Exception) -> JSONResponse:
    """Answer an error of the table FAILURES."""
    status, title, advice = next(FAILURES[kind] for kind in type(error).__mro__ if kind in FAILURES)
    if status >= 500:
        trace = tracing.trace_id(tracing.parent_of(request.headers))
        logger.warning("answered %d: %s: %s", status, title, error, extra={"trace_id": trace})
    reason = error.reason if isinstance(error, BadEvent) else None
    status = 409 if reason in NOT_NOW else status
    detail = error.detail if isinstance(error, BadEvent) else str(error)
    return problem(status, title, "; ".join(filter(None, (detail, advice))), reason)


async def bad_query(_: Request, error: RequestValidationError) -> JSONResponse:
    """Answer a query that FastAPI refuses."""
    faults = (f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
    return problem(422, "The query cannot be used", "; ".join(faults))


async def missed(_: Request, error: HTTPException) -> JSONResponse:
    """Answer a path that does not exist, or of which nothing is known."""
    return problem(error.status_code, "There is nothing here", error.detail, headers=error.headers)


def problem(
    status: int, title: str, detail: str, reason: str | None = None, headers: Any = None
) -> JSONResponse:
    """Return a problem as the response."""
    content = Problem(title=title, status=status, detail=detail, reason=reason)
    return JSONResponse(
        content.model_dump(exclude_none=True), status, HEADERS.get(status, {}) | dict(headers or {}),
        media_type="application/problem+json",
    )  # fmt: skip
