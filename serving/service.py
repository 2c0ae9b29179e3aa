"""The work of the service without HTTP: publish an event, assess it, try one, look a customer up.

Any thread may call any method, but only one thread at a time may call `assess`, which writes records.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from features.events import BadEvent, Event, decode, event_id, event_time_us, known_codec, make_batch
from features.kernel import Disposition
from features.record import BadRecord, faults
from features.times import rfc3339
from pipeline.engine.assess import assess
from pipeline.engine.assessments import Assessments
from pipeline.engine.counts import background_counts, new_event_counts
from pipeline.engine.engine import Engine
from pipeline.engine.live_model import LiveModel
from pipeline.engine.rejects import why_too_late
from pipeline.engine.unreadable import OTHER_TYPE, UnreadableRecord
from pipeline.pubsub.client import Publication, Publisher
from pipeline.pubsub.message import ASSESSED_WITH, CALLER, id_attribute
from pipeline.pubsub.topics import topic_path
from pipeline.runtime.metrics import BREAKER, STAGE, key
from pipeline.runtime.process_metrics import progress, tally
from pipeline.stores.connect import cold_since_us, guarded_store_of
from pipeline.stores.store import DryStore, MemoryStore, record_keys
from serving import responses
from serving.audit.trail import Trail
from serving.auth.access import ANONYMOUS
from serving.configuration import Configuration
from serving.customer import CustomerStatus, status_of
from serving.responses import Assessment, ModelInUse

logger = logging.getLogger(__name__)
Answer = Assessment | BadEvent | BadRecord


@dataclass(frozen=True)
class EventRequest:
    """An event to assess, and the engine that was in use when it arrived."""

    event_type: str
    event: Event
    body: bytes
    came_us: int
    engine: Engine
    reasons: bool = False
    features: bool = False
    traceparent: str = ""
    caller: str = ANONYMOUS
    event_id: str = ""
    customer: str = ""


class Service:
    """The parts of the service, opened. Raises StoreUnavailable, BundleMismatch, PubSubRefused if one cannot be."""

    def __init__(self, settings: Configuration) -> None:
        self.settings, self.use_case = settings, settings.use_case
        self.store = guarded_store_of(settings, self.use_case, "service")
        cold_us = cold_since_us(settings, self.use_case)
        self._model = LiveModel(self.use_case, settings.bundle, self.store, settings.prefix, False, cold_us)
        self._publisher = Publisher()
        self._topic = topic_path(settings.project, settings.events_topic)
        self.trail = trail_of(settings)

    def close(self) -> None:
        """Close all parts; waiting audit records are appended first."""
        self._model.close()
        if self.trail:
            self.trail.close()
        self._publisher.close()
        self.store.close()

    def warm(self) -> None:
        """Load the compiled kernel, or the first event would wait for it."""
        engine = replace(self._model.current(), store=MemoryStore())
        assess(engine, make_batch(self.use_case, [], []))

    def request(
        self,
        event_type: str,
        body: bytes,
        event_time: str | None = None,
        traceparent: str = "",
        reasons: bool = False,
        features: bool = False,
        caller: str = ANONYMOUS,
    ) -> EventRequest:
        """Decode an event. Raises BadEvent.

        `event_time` (RFC 3339) dates an event that has no time; without it such an event is dated now.
        """
        now_us = time.time_ns() // 1_000
        event = decode(self.use_case, event_type, body, now_us, event_time)
        engine = self._model.current()
        known = known_codec(self.use_case, event_type)
        customer = str(known.getters[known.event_type.subject](event))
        name = event_id(self.use_case, event_type, event)
        return EventRequest(
            event_type, event, body, now_us, engine, reasons, features, traceparent, caller, name, customer
        )

    def publish(self, requests: Sequence[EventRequest]) -> Sequence[None]:
        """Publish events, and return when they are safe.

        Raises PubSubUnavailable, PubSubRefused; some of the events may be published then.
        """
        self._publisher.publish(self._topic, [self._publication(each) for each in requests])
        return [None] * len(requests)

    def _publication(self, request: EventRequest) -> Publication:
        attributes = {
            "event_type": request.event_type,
            "event_id": id_attribute(request.event_id),
            CALLER: request.caller,
            "event_time": rfc3339(event_time_us(request.event)),
            ASSESSED_WITH: request.engine.model_version,
        }
        if request.traceparent:
            attributes["traceparent"] = request.traceparent
        return Publication(request.body, attributes)

    def assess(self, requests: Sequence[EventRequest]) -> Sequence[Answer]:
        """Return the answer to each event, once it is stored. Raises StoreUnavailable."""
        by_engine: dict[int, list[int]] = {}
        for i, each in enumerate(requests):
            by_engine.setdefault(id(each.engine), []).append(i)
        answers: dict[int, Answer] = {}
        for places in by_engine.values():  # two only while a model takes over
            some = [requests[i] for i in places]
            assessments = _assessed(some[0].engine, some)
            self._count(some[0].engine, assessments)
            answers.update(zip(places, _answers(assessments, some), strict=True))
        return [answers[i] for i in range(len(requests))]

    def attempt(self, request: EventRequest) -> Answer:
        """Return the answer that an event would get, and keep nothing. Raises StoreUnavailable."""
        engine = replace(request.engine, store=DryStore(self.store))
        (answer,) = _answers(_assessed(engine, [request]), [request])
        return answer

    def customer_status(self, customer: str) -> CustomerStatus | None:
        """Return the status of a customer; None if there is no record. Raises StoreUnavailable, BadRecord."""
        blob = self._record(customer)
        return None if blob is None else status_of(self.use_case, customer.strip(), blob)

    def is_known(self, customer: str) -> bool:
        """Return whether a customer has a record, even an unreadable one. Raises StoreUnavailable."""
        try:
            return self._record(customer) is not None
        except BadRecord:
            return True

    def _record(self, customer: str) -> bytes | None:
        """Read the record of a customer. Raises StoreUnavailable, BadRecord."""
        use_case, customer = self.use_case, customer.strip()  # as in events
        keys = record_keys(
            self.settings.prefix, use_case.name, use_case.fingerprint, use_case.subject, [customer]
        )
        (blob,) = self.store.read(keys)
        why = faults(use_case.plans[use_case.subject], [blob]).get(0, "")
        if blob is None and self.store.holds_other(keys)[0]:
            why = OTHER_TYPE
        if why:
            raise unreadable(UnreadableRecord(use_case.subject, customer, keys[0], why))
        return blob

    def model_in_use(self) -> ModelInUse:
        """Return the model that the next event is scored with."""
        engine = self._model.current()
        return responses.model_in_use(engine.manifest, engine.policy)

    def check(self) -> None:
        """Check that an event could be assessed now. Raises StoreUnavailable, PubSubUnavailable, PubSubRefused."""
        self.store.read([f"{self.settings.prefix}:check".encode()])
        self._publisher.check(self._topic)

    def _count(self, engine: Engine, assessments: Assessments) -> None:
        counts = new_event_counts(assessments)
        counts.update(background_counts())
        counts.update(self._model.drift.add(assessments, time.monotonic()))
        progress.counts.update(counts)
        progress.gauges[key(BREAKER)] = engine.breaker.is_open(int(assessments.batch.time_us.max()))
        for stage, spent_s in assessments.seconds.items():
            tally(STAGE, spent_s, stage)


def trail_of(settings: Configuration) -> Trail | None:
    """Open the audit trail; None if none is kept. Raises OSError."""
    if settings.no_audit:
        return None
    return Trail(settings.project, settings.dataset, settings.audit_folder, round(settings.audit_mib * 2**20))


def _assessed(engine: Engine, requests: Sequence[EventRequest]) -> Assessments:
    events = [(each.event_type, each.event) for each in requests]
    return assess(engine, make_batch(engine.use_case, events, [each.came_us for each in requests]))


def _answers(assessments: Assessments, requests: Sequence[EventRequest]) -> list[Answer]:
    return [_answer(assessments, i, each) for i, each in enumerate(requests)]


def _answer(assessments: Assessments, i: int, request: EventRequest) -> Answer:
    if i in assessments.unreadable:
        return unreadable(assessments.unreadable[i])
    if assessments.disposition[i] == Disposition.TOO_LATE:
        return BadEvent("too_late", why_too_late(assessments.batch, i))
    return responses.assessment(assessments, i, request.engine, request.reasons, request.features)


def unreadable(record: UnreadableRecord) -> BadRecord:
    """Return the error for an unreadable record, and log its key: nobody could repair it otherwise."""
    logger.error("key %s: %s; run `riskstream repair`", record.key.decode(errors="replace"), record)
    return BadRecord(str(record))
