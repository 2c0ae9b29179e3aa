"""The routes: what is asked under which path, and who does it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request

from features.events import BadEvent
from pipeline.tracing import parent_of
from serving import service as own
from serving.access import Gate
from serving.answers import Assessment, ModelInUse
from serving.batching import Batcher
from serving.document import request_body
from serving.failures import DEADLINE_S, PROBLEMS, TooLarge, handlers
from serving.observing import Observed
from serving.service import Service
from serving.standing import Standing

MOST_BODY_BYTES = 1 << 20  # the job takes no larger event
MOST_AT_ONCE = 500  # events of a batch: some milliseconds
PUBLISHING = 8  # requests to Pub/Sub at once; each takes ten or twenty milliseconds on Google Cloud
# FastAPI would tell paths and messages of errors, which may name customers; what may be told is in observing.py.
NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}
EventTime = Annotated[
    str | None, Query(description="RFC 3339, for events without a time of their own; default: now")
]
Reasons = Annotated[bool, Query(description="tell why the score is as high as it is")]
Features = Annotated[bool, Query(description="tell the features that were scored")]
Found = TypeVar("Found")
Answering = Callable[[own.Request], Awaitable[Assessment | BadEvent]]


def app(service: Service, gate: Gate | None, most_in_flight: int) -> Observed:
    """The ASGI application; it closes the service and the gate when it ends."""
    publishing = Batcher("publish", service.publish, MOST_AT_ONCE, PUBLISHING)
    assessing = Batcher("assess", service.assess, MOST_AT_ONCE)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for each in (publishing, assessing, service, *([gate] if gate else ())):
            each.close()

    async def assessed(request: own.Request) -> Assessment | BadEvent:
        """Published first: what Pub/Sub has is not lost, whatever happens then."""
        await publishing.do(request)
        return await assessing.do(request)

    async def attempted(request: own.Request) -> Assessment | BadEvent:
        return await asyncio.to_thread(service.attempt, request)

    asked = APIRouter(prefix="/v1", dependencies=guards(gate), responses=PROBLEMS)  # type: ignore[arg-type]
    add_events(asked, service, assessed, attempted)
    add_questions(asked, service)
    made = FastAPI(
        title=f"riskstream: {service.use_case.name}", version="1", lifespan=lifespan, telemetry=NO_TELEMETRY,
        description="Risk of a customer, event by event: the engine of the streaming job for callers that wait.",
        exception_handlers=handlers(),
    )  # fmt: skip
    made.include_router(asked)
    made.include_router(health(service))
    return Observed(made, most_in_flight)


def add_events(router: APIRouter, service: Service, assessed: Answering, attempted: Answering) -> None:
    """For each event type of the use case a path of its own, with its fields in the document."""
    for name, event_type in service.use_case.event_types.items():
        ways = {f"/events/{name}": (assessed, "Assess", "Counts the event, once however often it is sent.")}
        if event_type.scored:
            ways[f"/scores/{name}"] = (attempted, "Try", "Says what would be said, and keeps nothing.")
        for path, (answer, verb, description) in ways.items():
            router.add_api_route(
                path, route(service, name, answer), methods=["POST"], summary=f"{verb} a {name} event",
                description=description, operation_id=path.strip("/").replace("/", "_"),
                openapi_extra={"requestBody": request_body(service.use_case, name)},
            )  # fmt: skip

    @router.post("/events/{event_type}", include_in_schema=False)
    @router.post("/scores/{event_type}", include_in_schema=False)
    def unknown(event_type: str) -> None:
        expected = ", ".join(service.use_case.event_types)
        raise HTTPException(404, f"{event_type[:80]!r} is not one of {expected}, or is not scored")


def route(service: Service, event_type: str, answer: Answering) -> Callable[..., Awaitable[Assessment]]:
    """Takes an event of this type and answers it."""

    async def answered(
        request: Request, event_time: EventTime = None, reasons: Reasons = False, features: Features = False
    ) -> Assessment:
        body, parent = await body_of(request), parent_of(request.headers)
        event = service.request(event_type, body, event_time, parent, reasons, features)
        found = await in_time(answer(event))
        if isinstance(found, BadEvent):
            raise found
        return found

    return answered


def add_questions(router: APIRouter, service: Service) -> None:
    """What changes nothing."""

    @router.get("/customers/{customer:path}", summary="How a customer stands")
    async def customer(customer: str) -> Standing:
        found = await in_time(asyncio.to_thread(service.standing, customer))
        if found is None:
            raise HTTPException(404, f"nothing is known of this {service.use_case.subject}")
        return found

    @router.get("/model", summary="The model in use")
    def model() -> ModelInUse:
        return service.model_in_use()


async def in_time(work: Awaitable[Found]) -> Found:
    """Raises TimeoutError. A thread that is at work is not waited for."""
    async with asyncio.timeout(DEADLINE_S):
        return await work


async def body_of(request: Request) -> bytes:
    """Raises TooLarge before all of it is here."""
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > MOST_BODY_BYTES:
            raise TooLarge(f"found more than {MOST_BODY_BYTES} bytes; an event has some hundred")
    return bytes(found)


def guards(gate: Gate | None) -> list[object]:
    """What stands before every question, if anything does."""

    if gate is None:
        return []

    async def check(request: Request) -> None:
        await gate.caller(request.headers.get("authorization"))

    return [Depends(check)]


def health(service: Service) -> APIRouter:
    """For whoever restarts and routes; nobody needs a token for it.

    Ready is a process that is warm, whatever it needs: were all pods unready while Redis is away, callers would hear
    it from a gateway that does not say when to come back, and no metric would tell.
    """
    router = APIRouter(prefix="/health", include_in_schema=False)

    @router.get("/live")
    @router.get("/ready")
    async def well() -> dict[str, str]:
        return {"status": "well"}

    @router.get("/parts")
    async def parts() -> dict[str, str]:
        """Raises StoreUnavailable, PubSubUnavailable, PubSubRefused, TimeoutError."""
        await in_time(asyncio.to_thread(service.check))
        return {"redis": "answers", "pubsub": "answers"}

    return router
