"""Routes of the service, and the application that they make."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request

from features.events import BadEvent
from features.times import clock
from pipeline.runtime.tracing import parent_of
from serving.auth.access import ANONYMOUS
from serving.auth.roles import Operation
from serving.auth.tokens import Authenticator
from serving.batching import Batcher
from serving.customer import CustomerStatus
from serving.http.audited import Audited, entry_of
from serving.http.browsers import OwnPagesOnly, demand_json, hosts_of
from serving.http.formats import RFC3339, whole
from serving.http.guard import AccessGuard
from serving.http.middleware import Observed
from serving.http.openapi import document, request_body
from serving.http.pages import pages
from serving.http.problems import DEADLINE_S, PROBLEMS, handlers
from serving.overrides import author_of, refuse_over
from serving.responses import Assessment, ModelInUse
from serving.service import Answer, EventRequest, Service

MOST_AT_ONCE = 500  # events of a batch: some milliseconds
PUBLISHING = 8  # requests to Pub/Sub at once; each takes ten or twenty milliseconds on Google Cloud
# FastAPI would record paths and error messages, which may name customers; middleware.py records what may be recorded.
NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}
EventTime = Annotated[
    str | None,
    Query(
        description="RFC 3339, for events without a time of their own; default: now",
        json_schema_extra={"format": "date-time", "pattern": whole(RFC3339)},
    ),
]
Reasons = Annotated[bool, Query(description="return the reasons for the score")]
Features = Annotated[bool, Query(description="return the features that were scored")]
Create = Annotated[bool, Query(description="accept the override although nothing is known of the customer")]
Withdraw = Annotated[
    bool, Query(description="accept an override that has expired, which withdraws the one in force")
]
COUNTS, KEEPS_NOTHING = (
    "Counts the event, once however often it is sent.",
    "Returns the answer that the event would get, and keeps nothing.",
)
Result = TypeVar("Result")
Answering = Callable[[EventRequest], Awaitable[Answer]]


def app(service: Service, gate: Authenticator | None, max_in_flight: int) -> Observed:
    """Return the ASGI application, which closes the service and the authenticator when it ends."""
    publishing = Batcher("publish", service.publish, MOST_AT_ONCE, PUBLISHING)
    assessing = Batcher("assess", service.assess, MOST_AT_ONCE)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for each in (publishing, assessing, service, *([gate] if gate else ())):
            each.close()

    async def assessed(request: EventRequest) -> Answer:
        """Publish the event first, so that it is not lost whatever happens then, and assess it."""
        await publishing.do(request)
        return await assessing.do(request)

    async def attempted(request: EventRequest) -> Answer:
        return await asyncio.to_thread(service.attempt, request)

    asked, guard = APIRouter(prefix="/v1", responses=PROBLEMS), AccessGuard(service.trail, gate)  # type: ignore[arg-type]
    add_events(asked, service, guard, assessed, attempted)
    add_reads(asked, service, guard)
    made = FastAPI(
        title=f"riskstream: {service.use_case.name}", version="1", lifespan=lifespan, telemetry=NO_TELEMETRY,
        description="Risk of a customer, event by event: the engine of the streaming job for callers that wait.",
        exception_handlers=handlers(), redirect_slashes=False,  # a redirect would repeat the Host that was asked for
        openapi_url=None, docs_url=None, redoc_url=None,
    )  # fmt: skip
    made.include_router(asked)
    settings = service.settings
    described = document(made, settings.access, settings.root_path)
    made.include_router(pages(made.title, described, guard.before(Operation.MODEL)))
    made.include_router(health(service))
    audited: Any = Audited(made, service.trail, service.use_case.name)
    return Observed(audited if gate else OwnPagesOnly(audited, hosts_of(settings.host)), max_in_flight)


def add_events(
    router: APIRouter, service: Service, guard: AccessGuard, assessed: Answering, attempted: Answering
) -> None:
    """Add a path for each event type of the use case, with its fields in the document."""
    for name, event_type in service.use_case.event_types.items():
        sends = Operation.OVERRIDE if event_type.override else Operation.SEND
        ways = {f"/events/{name}": (sends, assessed, "Assess", COUNTS)}
        if event_type.scored:
            ways[f"/scores/{name}"] = (Operation.TRY, attempted, "Try", KEEPS_NOTHING)
        for path, (action, answer, verb, description) in ways.items():
            of_action = decision_route if action is Operation.OVERRIDE else route
            router.add_api_route(
                path, of_action(service, name, answer), methods=["POST"], summary=f"{verb} a {name} event",
                description=description, operation_id=path.strip("/").replace("/", "_"),
                dependencies=[Depends(guard.before(action, name))],
                openapi_extra={"requestBody": request_body(service.use_case, name)},
            )  # fmt: skip

    @router.post(
        "/events/{event_type}", include_in_schema=False, dependencies=[Depends(guard.before(Operation.SEND))]
    )
    @router.post(
        "/scores/{event_type}", include_in_schema=False, dependencies=[Depends(guard.before(Operation.TRY))]
    )
    def unknown(event_type: str) -> None:
        expected = ", ".join(service.use_case.event_types)
        raise HTTPException(404, f"{event_type[:80]!r} is not one of {expected}, or is not scored")


def route(service: Service, event_type: str, answer: Answering) -> Callable[..., Awaitable[Assessment]]:
    """Return the handler of an event of this type."""

    async def answered(
        request: Request, event_time: EventTime = None, reasons: Reasons = False, features: Features = False
    ) -> Assessment:
        event = await event_in(request, service, event_type, event_time, reasons, features)
        return await result(answer(event))

    return answered


def decision_route(
    service: Service, event_type: str, answer: Answering
) -> Callable[..., Awaitable[Assessment]]:
    """Return the handler of an override of this type."""

    async def answered(
        request: Request, event_time: EventTime = None, create: Create = False, withdraw: Withdraw = False
    ) -> Assessment:
        event = await event_in(request, service, event_type, event_time)
        refuse_over(service.use_case, event_type, event.event, event.came_us, withdraw)
        if not create and not await in_time(asyncio.to_thread(service.is_known, event.customer)):
            subject = service.use_case.subject
            raise HTTPException(
                404, f"nothing is known of this {subject}; create=true takes the override all the same"
            )
        return await result(answer(event))

    return answered


async def event_in(
    request: Request, service: Service, event_type: str, event_time: str | None,
    reasons: bool = False, features: bool = False,
) -> EventRequest:  # fmt: skip
    """Decode the event in the body of a request, and note it in the audit entry.

    Raises NotJson, BadEvent.
    """
    demand_json(request)
    body, parent, entry = await request.body(), parent_of(request.headers), entry_of(request.scope)
    caller = entry.caller or ANONYMOUS
    if event_time is not None:
        demand_time(event_time)
    event = service.request(event_type, body, event_time, parent, reasons, features, caller)
    entry.customer, entry.event_id = event.customer, event.event_id
    entry.author = author_of(service.use_case, event_type, event.event)
    return event


def demand_time(text: str) -> None:
    """Refuse a time that is not RFC 3339, even where the event has a time and this one is not used. Raises BadEvent."""
    try:
        clock((), "UTC").read(text)
    except ValueError as error:
        raise BadEvent("invalid", f"event_time: {text[:80]!r} is not a time in RFC 3339: {error}") from None


async def result(answer: Awaitable[Answer]) -> Assessment:
    """Wait for the answer. Raises BadEvent, BadRecord, TimeoutError."""
    assessment = await in_time(answer)
    if isinstance(assessment, Exception):
        raise assessment
    return assessment


def add_reads(router: APIRouter, service: Service, guard: AccessGuard) -> None:
    """Add the routes that only read."""

    @router.get(
        "/customers/{customer:path}", summary="The status of a customer",
        dependencies=[Depends(guard.before(Operation.LOOK))],
    )  # fmt: skip
    async def customer(customer: str) -> CustomerStatus:
        status = await in_time(asyncio.to_thread(service.customer_status, customer))
        if status is None:
            raise HTTPException(404, f"nothing is known of this {service.use_case.subject}")
        return status

    @router.get("/model", summary="The model in use", dependencies=[Depends(guard.before(Operation.MODEL))])
    def model() -> ModelInUse:
        return service.model_in_use()


async def in_time(work: Awaitable[Result]) -> Result:
    """Wait for some work, for two seconds at most. Raises TimeoutError; a thread at work goes on."""
    async with asyncio.timeout(DEADLINE_S):
        return await work


def health(service: Service) -> APIRouter:
    """Return the routes for orchestrators and load balancers, which need no token.

    Ready is a process that is warm, whatever it needs: were all pods unready while Redis is away, callers would hear
    it from a gateway that does not say when to come back, and no metric would tell.
    """
    router = APIRouter(prefix="/health", include_in_schema=False)

    @router.get("/live")
    @router.get("/ready")
    async def well() -> dict[str, str]:
        return {"status": "well"}

    looks: set[asyncio.Task[None]] = set()  # one at most: whoever asks meanwhile shares it

    @router.get("/parts")
    async def parts() -> dict[str, str]:
        """Raises StoreUnavailable, PubSubUnavailable, PubSubRefused, TimeoutError."""
        if not looks:
            look = asyncio.create_task(in_time(asyncio.to_thread(service.check)))
            looks.add(look)
            look.add_done_callback(looks.discard)
        await asyncio.shield(next(iter(looks)))
        trail = {"audit_trail": str(service.trail)} if service.trail else {}
        return {"redis": "answers", "pubsub": "answers", **trail}

    return router
