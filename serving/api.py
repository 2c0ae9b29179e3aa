"""The routes: what is asked under which path, and what every failure is answered with."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as Missed
from starlette.requests import ClientDisconnect

from features.events import BadEvent
from features.record import BadRecord
from pipeline.pubsub import PubSubRefused, PubSubUnavailable
from pipeline.store import StoreUnavailable
from pipeline.tracing import parent_of
from serving import service as own
from serving.access import Forbidden, Gate, ProviderUnavailable, Refused
from serving.answers import Assessment, ModelInUse, Problem
from serving.batching import Batcher
from serving.document import request_body
from serving.observing import Observed
from serving.service import Service
from serving.standing import Standing

MOST_BODY_BYTES = 1 << 20  # the job takes no larger event
MOST_AT_ONCE = 500  # events of a batch: some milliseconds
PUBLISHING = 8  # requests to Pub/Sub at once; each takes ten or twenty milliseconds on Google Cloud
DEADLINE_S = 2.0  # a caller who waits longer has gone
AGAIN_S = 1  # Retry-After
AGAIN = "ask again: an event that had been counted meanwhile is not counted twice"


HEADERS = {
    401: {"www-authenticate": "Bearer"},
    413: {"connection": "close"},  # or the rest of the body would have to be read
    503: {"retry-after": str(AGAIN_S)},
}


class TooLarge(Exception):
    """The body is larger than any event."""


# error -> (status, title, what to add)
FAILURES: dict[type[Exception], tuple[int, str, str]] = {
    BadEvent: (422, "The event cannot be used", ""),
    TooLarge: (413, "The body is too large", ""),
    Refused: (401, "Who are you?", ""),
    Forbidden: (403, "You may not ask", ""),
    ProviderUnavailable: (503, "Tokens cannot be checked now", "ask again"),
    StoreUnavailable: (503, "Redis cannot be used now", AGAIN),
    PubSubUnavailable: (503, "Pub/Sub cannot be used now", AGAIN),
    PubSubRefused: (
        503,
        "Pub/Sub refuses the event",
        "its topic or permission is missing: tell who runs this service",
    ),
    TimeoutError: (503, f"No answer within {DEADLINE_S:g} s", AGAIN),
    ClientDisconnect: (400, "The caller has gone", ""),
    BadRecord: (500, "The record cannot be read", "tell who runs this service"),
}
PROBLEMS = {
    status: {"content": {"application/problem+json": {"schema": Problem.model_json_schema()}}}
    for status in sorted({status for status, *_ in FAILURES.values()} | {404})
}
EventTime = Annotated[
    str | None, Query(description="RFC 3339, for events without a time of their own; default: now")
]
Reasons = Annotated[bool, Query(description="tell why the score is as high as it is")]
Features = Annotated[bool, Query(description="tell the features that were scored")]


def app(service: Service, gate: Gate | None, most_in_flight: int) -> Observed:
    """The ASGI application; it closes the service when it ends."""
    use_case = service.use_case
    publishing = Batcher("publish", service.publish, MOST_AT_ONCE, PUBLISHING)
    assessing = Batcher("assess", service.assess, MOST_AT_ONCE)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        publishing.close()
        assessing.close()
        service.close()

    async def assessed(request: own.Request) -> Assessment | BadEvent:
        """Published first: what Pub/Sub has is not lost, whatever happens then."""
        await publishing.do(request)
        return await assessing.do(request)

    async def attempted(request: own.Request) -> Assessment | BadEvent:
        return await run_in_threadpool(service.attempt, request)

    asked = APIRouter(prefix="/v1", dependencies=[Depends(guard(gate))] if gate else [], responses=PROBLEMS)
    for name, event_type in use_case.event_types.items():
        body = request_body(use_case, name)
        add = _adder(asked, service, name, body)
        add(
            f"/events/{name}",
            assessed,
            f"Assess a {name} event",
            "Counts the event, once however often it is sent.",
        )
        if event_type.scored:
            add(
                f"/scores/{name}",
                attempted,
                f"Try a {name} event",
                "Says what would be said, and keeps nothing.",
            )

    @asked.post("/events/{event_type}", include_in_schema=False)
    @asked.post("/scores/{event_type}", include_in_schema=False)
    def unknown(event_type: str) -> None:
        expected = ", ".join(use_case.event_types)
        raise HTTPException(404, f"{event_type[:80]!r} is not one of {expected}, or is not scored")

    @asked.get("/customers/{customer:path}", summary="How a customer stands")
    def customer(customer: str) -> Standing:
        found = service.standing(customer)
        if found is None:
            raise HTTPException(404, f"nothing is known of this {use_case.subject}")
        return found

    @asked.get("/model", summary="The model in use")
    def model() -> ModelInUse:
        return service.model_in_use()

    made = FastAPI(
        title=f"riskstream: {use_case.name}", version="1", lifespan=lifespan,
        description="Risk of a customer, event by event: the engine of the streaming job for callers that wait.",
    )  # fmt: skip
    made.include_router(asked)
    made.include_router(health(service))
    for error, handler in handlers().items():
        made.add_exception_handler(error, handler)
    return Observed(made, most_in_flight)


Answering = Callable[[own.Request], Awaitable[Assessment | BadEvent]]


def _adder(
    router: APIRouter, service: Service, name: str, body: dict[str, Any]
) -> Callable[[str, Answering, str, str], None]:
    """Adds routes that take an event of this type."""

    def add(path: str, answer: Answering, summary: str, description: str) -> None:
        async def route(
            request: Request,
            event_time: EventTime = None,
            reasons: Reasons = False,
            features: Features = False,
        ) -> Assessment:
            parent = parent_of(request.headers)
            event = service.request(name, await body_of(request), event_time, parent, reasons, features)
            async with asyncio.timeout(DEADLINE_S):
                found = await answer(event)
            if isinstance(found, BadEvent):
                raise found
            return found

        router.add_api_route(
            path, route, methods=["POST"], summary=summary, description=description,
            operation_id=path.strip("/").replace("/", "_"), openapi_extra={"requestBody": body},
        )  # fmt: skip

    return add


async def body_of(request: Request) -> bytes:
    """Raises TooLarge before all of it is here."""
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > MOST_BODY_BYTES:
            raise TooLarge(f"found more than {MOST_BODY_BYTES} bytes; an event has some hundred")
    return bytes(found)


def guard(gate: Gate) -> Callable[[Request], None]:
    def check(request: Request) -> None:  # not async: the provider's keys may have to be fetched
        gate.caller(request.headers.get("authorization"))

    return check


def health(service: Service) -> APIRouter:
    """For whoever restarts and routes; nobody needs a token for it."""
    router = APIRouter(prefix="/health", include_in_schema=False)

    @router.get("/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/ready")
    def ready() -> dict[str, str]:
        service.check()
        return {"status": "ready"}

    return router


def handlers() -> dict[Any, Any]:
    """By error: what it is answered with."""

    async def known(_: Request, error: Exception) -> JSONResponse:
        status, title, advice = next(FAILURES[kind] for kind in type(error).__mro__ if kind in FAILURES)
        reason = error.reason if isinstance(error, BadEvent) else None
        detail = error.detail if isinstance(error, BadEvent) else str(error)
        return problem(status, title, "; ".join(filter(None, (detail, advice))), reason)

    async def query(_: Request, error: RequestValidationError) -> JSONResponse:
        said = (f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        return problem(422, "The query cannot be used", "; ".join(said))

    async def missed(_: Request, error: Missed) -> JSONResponse:
        return problem(error.status_code, error.detail, error.detail, headers=error.headers)

    return {**dict.fromkeys(FAILURES, known), RequestValidationError: query, Missed: missed}


def problem(
    status: int, title: str, detail: str, reason: str | None = None, headers: Any = None
) -> JSONResponse:
    own_headers = HEADERS.get(status, {}) | dict(headers or {})
    content = Problem(title=title, status=status, detail=detail, reason=reason).model_dump(exclude_none=True)
    return JSONResponse(content, status, own_headers, media_type="application/problem+json")
