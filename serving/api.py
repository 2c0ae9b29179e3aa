"""The routes: what is asked under which path, and who does it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request

from features.events import BadEvent
from features.times import clock
from pipeline.runtime.tracing import parent_of
from serving import service as own
from serving.access import ANONYMOUS
from serving.audit_requests import Audited, entry_of
from serving.auth import Gate
from serving.batching import Batcher
from serving.browsers import OwnPagesOnly, demand_json, hosts_of
from serving.customer import Standing
from serving.formats import RFC3339, whole
from serving.guard import Guard
from serving.middleware import Observed
from serving.openapi import document, request_body
from serving.overrides import author_of, refuse_over
from serving.pages import pages
from serving.problems import DEADLINE_S, PROBLEMS, handlers
from serving.responses import Assessment, ModelInUse
from serving.roles import Action
from serving.service import Service

MOST_AT_ONCE = 500  # events of a batch: some milliseconds
PUBLISHING = 8  # requests to Pub/Sub at once; each takes ten or twenty milliseconds on Google Cloud
# FastAPI would tell paths and messages of errors, which may name customers; what may be told is in observing.py.
NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}
EventTime = Annotated[
    str | None,
    Query(
        description="RFC 3339, for events without a time of their own; default: now",
        json_schema_extra={"format": "date-time", "pattern": whole(RFC3339)},
    ),
]
Reasons = Annotated[bool, Query(description="tell why the score is as high as it is")]
Features = Annotated[bool, Query(description="tell the features that were scored")]
Create = Annotated[bool, Query(description="take it although nothing is known of the customer")]
Withdraw = Annotated[
    bool, Query(description="take one that is over at its own time, which withdraws the override in force")
]
COUNTS, KEEPS_NOTHING = (
    "Counts the event, once however often it is sent.",
    "Says what would be said, and keeps nothing.",
)
Found = TypeVar("Found")
Answering = Callable[[own.Request], Awaitable[own.Answer]]


def app(service: Service, gate: Gate | None, max_in_flight: int) -> Observed:
    """The ASGI application; it closes the service and the gate when it ends."""
    publishing = Batcher("publish", service.publish, MOST_AT_ONCE, PUBLISHING)
    assessing = Batcher("assess", service.assess, MOST_AT_ONCE)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for each in (publishing, assessing, service, *([gate] if gate else ())):
            each.close()

    async def assessed(request: own.Request) -> own.Answer:
        """Published first: what Pub/Sub has is not lost, whatever happens then."""
        await publishing.do(request)
        return await assessing.do(request)

    async def attempted(request: own.Request) -> own.Answer:
        return await asyncio.to_thread(service.attempt, request)

    asked, guard = APIRouter(prefix="/v1", responses=PROBLEMS), Guard(service, gate)  # type: ignore[arg-type]
    add_events(asked, service, guard, assessed, attempted)
    add_questions(asked, service, guard)
    made = FastAPI(
        title=f"riskstream: {service.use_case.name}", version="1", lifespan=lifespan, telemetry=NO_TELEMETRY,
        description="Risk of a customer, event by event: the engine of the streaming job for callers that wait.",
        exception_handlers=handlers(), redirect_slashes=False,  # a redirect would repeat the Host that was asked for
        openapi_url=None, docs_url=None, redoc_url=None,
    )  # fmt: skip
    made.include_router(asked)
    settings = service.settings
    described = document(made, settings.access, settings.root_path)
    made.include_router(pages(made.title, described, guard.before(Action.MODEL)))
    made.include_router(health(service))
    audited: Any = Audited(made, service.trail, service.use_case.name)
    return Observed(audited if gate else OwnPagesOnly(audited, hosts_of(settings)), max_in_flight)


def add_events(
    router: APIRouter, service: Service, guard: Guard, assessed: Answering, attempted: Answering
) -> None:
    """For each event type of the use case a path of its own, with its fields in the document."""
    for name, event_type in service.use_case.event_types.items():
        sends = Action.OVERRIDE if event_type.override else Action.SEND
        ways = {f"/events/{name}": (sends, assessed, "Assess", COUNTS)}
        if event_type.scored:
            ways[f"/scores/{name}"] = (Action.TRY, attempted, "Try", KEEPS_NOTHING)
        for path, (action, answer, verb, description) in ways.items():
            of_action = decision_route if action is Action.OVERRIDE else route
            router.add_api_route(
                path, of_action(service, name, answer), methods=["POST"], summary=f"{verb} a {name} event",
                description=description, operation_id=path.strip("/").replace("/", "_"),
                dependencies=[Depends(guard.before(action, name))],
                openapi_extra={"requestBody": request_body(service.use_case, name)},
            )  # fmt: skip

    @router.post(
        "/events/{event_type}", include_in_schema=False, dependencies=[Depends(guard.before(Action.SEND))]
    )
    @router.post(
        "/scores/{event_type}", include_in_schema=False, dependencies=[Depends(guard.before(Action.TRY))]
    )
    def unknown(event_type: str) -> None:
        expected = ", ".join(service.use_case.event_types)
        raise HTTPException(404, f"{event_type[:80]!r} is not one of {expected}, or is not scored")


def route(service: Service, event_type: str, answer: Answering) -> Callable[..., Awaitable[Assessment]]:
    """Takes an event of this type and answers it."""

    async def answered(
        request: Request, event_time: EventTime = None, reasons: Reasons = False, features: Features = False
    ) -> Assessment:
        event = await event_in(request, service, event_type, event_time, reasons, features)
        return await result(answer(event))

    return answered


def decision_route(
    service: Service, event_type: str, answer: Answering
) -> Callable[..., Awaitable[Assessment]]:
    """Takes a human's decision of this type and answers it."""

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
) -> own.Request:  # fmt: skip
    """The event in the body of a request, in the name of its caller; its audit entry tells of it.

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
    """Raises BadEvent unless it is RFC 3339, also where the event has a time of its own and this one is not used."""
    try:
        clock((), "UTC").read(text)
    except ValueError as error:
        raise BadEvent("invalid", f"event_time: {text[:80]!r} is not a time in RFC 3339: {error}") from None


async def result(answer: Awaitable[own.Answer]) -> Assessment:
    """The answer, in time. Raises BadEvent, BadRecord, TimeoutError."""
    assessment = await in_time(answer)
    if isinstance(assessment, Exception):
        raise assessment
    return assessment


def add_questions(router: APIRouter, service: Service, guard: Guard) -> None:
    """What changes nothing."""

    @router.get(
        "/customers/{customer:path}", summary="How a customer stands",
        dependencies=[Depends(guard.before(Action.LOOK))],
    )  # fmt: skip
    async def customer(customer: str) -> Standing:
        found = await in_time(asyncio.to_thread(service.standing, customer))
        if found is None:
            raise HTTPException(404, f"nothing is known of this {service.use_case.subject}")
        return found

    @router.get("/model", summary="The model in use", dependencies=[Depends(guard.before(Action.MODEL))])
    def model() -> ModelInUse:
        return service.model_in_use()


async def in_time(work: Awaitable[Found]) -> Found:
    """Raises TimeoutError. A thread that is at work is not waited for."""
    async with asyncio.timeout(DEADLINE_S):
        return await work


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
