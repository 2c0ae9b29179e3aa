"""What one process does for its callers, without HTTP: publish, assess, try, look up.

All methods may be called from any thread, but `assess` from one at a time: it is where records are written.
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
from pipeline.engine.counts import of_looks, of_new
from pipeline.engine.engine import Engine
from pipeline.engine.live_model import Model
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
from serving.access import ANONYMOUS
from serving.audit_trail import Trail
from serving.configuration import Configuration
from serving.customer import Standing, standing
from serving.responses import Assessment, ModelInUse

logger = logging.getLogger(__name__)
Answer = Assessment | BadEvent | BadRecord


@dataclass(frozen=True)
class Request:
    """An event that somebody wants assessed, and the engine that was in use when it came."""

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
    """Raises StoreUnavailable, BundleMismatch, PubSubRefused when a part cannot be had."""

    def __init__(self, settings: Configuration) -> None:
        self.settings, self.use_case = settings, settings.use_case
        self.store = guarded_store_of(settings, self.use_case, "service")
        cold_us = cold_since_us(settings, self.use_case)
        self._model = Model(self.use_case, settings.bundle, self.store, settings.prefix, False, cold_us)
        self._publisher = Publisher()
        self._topic = topic_path(settings.project, settings.events_topic)
        self.trail = trail_of(settings)

    def close(self) -> None:
        self._model.close()
        if self.trail:
            self.trail.close()
        self._publisher.close()
        self.store.close()

    def warm(self) -> None:
        """Loads what is compiled: the first event would wait for it."""
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
    ) -> Request:
        """Raises BadEvent. `event_time` (RFC 3339) dates an event that has no time of its own; else it is now."""
        now_us = time.time_ns() // 1_000
        event = decode(self.use_case, event_type, body, now_us, event_time)
        engine = self._model.current()
        known = known_codec(self.use_case, event_type)
        customer = str(known.getters[known.event_type.subject](event))
        name = event_id(self.use_case, event_type, event)
        return Request(
            event_type, event, body, now_us, engine, reasons, features, traceparent, caller, name, customer
        )

    def publish(self, requests: Sequence[Request]) -> Sequence[None]:
        """Returns when the events are safe. Raises PubSubUnavailable, PubSubRefused; then some may be."""
        self._publisher.publish(self._topic, [self._publication(each) for each in requests])
        return [None] * len(requests)

    def _publication(self, request: Request) -> Publication:
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

    def assess(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """What is said about each, once it is stored. Raises StoreUnavailable."""
        by_engine: dict[int, list[int]] = {}
        for i, each in enumerate(requests):
            by_engine.setdefault(id(each.engine), []).append(i)
        found: dict[int, Answer] = {}
        for places in by_engine.values():  # two only while a model takes over
            some = [requests[i] for i in places]
            said = _assessed(some[0].engine, some)
            self._count(some[0].engine, said)
            found.update(zip(places, _told(said, some), strict=True))
        return [found[i] for i in range(len(requests))]

    def attempt(self, request: Request) -> Answer:
        """What would be said, and nothing is kept of it. Raises StoreUnavailable."""
        engine = replace(request.engine, store=DryStore(self.store))
        (told,) = _told(_assessed(engine, [request]), [request])
        return told

    def standing(self, customer: str) -> Standing | None:
        """None: nothing is known of the customer. Raises StoreUnavailable, BadRecord."""
        blob = self._record(customer)
        return None if blob is None else standing(self.use_case, customer.strip(), blob)

    def is_known(self, customer: str) -> bool:
        """Whether there is a record of the customer, be it one that cannot be read. Raises StoreUnavailable."""
        try:
            return self._record(customer) is not None
        except BadRecord:
            return True

    def _record(self, customer: str) -> bytes | None:
        """Raises StoreUnavailable, BadRecord."""
        own, customer = self.use_case, customer.strip()  # as in events
        keys = record_keys(self.settings.prefix, own.name, own.fingerprint, own.subject, [customer])
        (blob,) = self.store.read(keys)
        why = faults(own.plans[own.subject], [blob]).get(0, "")
        if blob is None and self.store.holds_other(keys)[0]:
            why = OTHER_TYPE
        if why:
            raise unreadable(UnreadableRecord(own.subject, customer, keys[0], why))
        return blob

    def model_in_use(self) -> ModelInUse:
        engine = self._model.current()
        return responses.model_in_use(engine.manifest, engine.policy)

    def check(self) -> None:
        """Whether an event could be assessed now. Raises StoreUnavailable, PubSubUnavailable, PubSubRefused."""
        self.store.read([f"{self.settings.prefix}:check".encode()])
        self._publisher.check(self._topic)

    def _count(self, engine: Engine, said: Assessments) -> None:
        counts = of_new(said)
        counts.update(of_looks())
        counts.update(self._model.drift.seen(said, time.monotonic()))
        progress.counts.update(counts)
        progress.gauges[key(BREAKER)] = engine.breaker.is_open(int(said.batch.time_us.max()))
        for stage, spent_s in said.seconds.items():
            tally(STAGE, spent_s, stage)


def trail_of(settings: Configuration) -> Trail | None:
    """The audit trail, if one is kept. Raises OSError."""
    if settings.no_audit:
        return None
    return Trail(settings.project, settings.dataset, settings.audit_folder, round(settings.audit_mib * 2**20))


def _assessed(engine: Engine, requests: Sequence[Request]) -> Assessments:
    events = [(each.event_type, each.event) for each in requests]
    return assess(engine, make_batch(engine.use_case, events, [each.came_us for each in requests]))


def _told(said: Assessments, requests: Sequence[Request]) -> list[Answer]:
    return [_answer(said, i, each) for i, each in enumerate(requests)]


def _answer(said: Assessments, i: int, request: Request) -> Answer:
    if i in said.unreadable:
        return unreadable(said.unreadable[i])
    if said.disposition[i] == Disposition.TOO_LATE:
        return BadEvent("too_late", why_too_late(said.batch, i))
    return responses.assessment(said, i, request.engine, request.reasons, request.features)


def unreadable(record: UnreadableRecord) -> BadRecord:
    """What the caller is told of a record that cannot be read. Its key is logged: nobody could mend it otherwise."""
    logger.error("key %s: %s; run `riskstream repair`", record.key.decode(errors="replace"), record)
    return BadRecord(str(record))
