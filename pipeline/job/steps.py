"""The steps of the job: each a plain function on a batch, and the DoFn that runs it.

What passes between steps can be encoded, so any runner may part them; none holds anything back beyond its
bundle. The clock is read here and nowhere below.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from features.events import MAX_EVENT_BYTES, BadEvent, Batch, Event, decode_all, make_batch, too_large
from features.usecase import UseCase
from pipeline.engine.assess import Assessments, assess
from pipeline.engine.rejects import Reject, too_late, unreadable
from pipeline.engine.rejects import answered as answered_by_service
from pipeline.job import instrumentation, worker
from pipeline.job.rejects_log import tell_rejects
from pipeline.job.settings import Job
from pipeline.job.sinks import Outgoing, wait
from pipeline.job.source import FULL_BATCH, Messages
from pipeline.outputs import publications, rows
from pipeline.pubsub.message import Message
from pipeline.runtime import tracing, undelivered
from pipeline.runtime.errors import StoreUnavailable
from pipeline.runtime.metrics import BREAKER, key
from pipeline.runtime.process_metrics import LastBatch, progress, waiting_out
from pipeline.runtime.tracing import parent_of

UNDELIVERED_BATCHES = (
    8  # that may be under way while the next is assessed; an append takes as long as some of them
)


@dataclass(frozen=True)
class Decoded:
    """The events of a batch; message i is of event i. `rejects` are the messages without an event."""

    use_case: UseCase
    messages: Sequence[Message]
    events: Batch | None  # None: not one
    rejects: list[Reject]
    seconds: float
    began_ns: int

    @property
    def oldest_us(self) -> int:
        """When the first of the messages was published."""
        rejected = [reject.message.publish_us for reject in self.rejects]
        return min([*rejected, *([] if self.events is None else [int(self.events.published_us.min())])])

    def __reduce__(self) -> tuple[object, tuple[UseCase, Messages]]:
        """Events are of classes made from the use case, so the messages travel and are decoded again."""
        rejected = (reject.message for reject in self.rejects)
        return decode, (self.use_case, Messages((*self.messages, *rejected)))


def decode(use_case: UseCase, messages: Sequence[Message]) -> Decoded:
    """Events out of messages; those that give none are rejects."""
    began_s, began_ns = time.perf_counter(), time.time_ns()
    bodies, attributes, _, published_us = zip(*messages, strict=True) if messages else ((),) * 4
    types = [of_message.get("event_type", "") for of_message in attributes]
    times = [of_message.get("event_time") for of_message in attributes]
    if any(map(MAX_EVENT_BYTES.__lt__, map(len, bodies))):
        bodies = tuple(body if len(body) <= MAX_EVENT_BYTES else b"" for body in bodies)
    found = decode_all(use_case, types, bodies, published_us, times)
    bad: dict[int, BadEvent] = {}
    if BadEvent in set(map(type, found)):
        bad = {i: event for i, event in enumerate(found) if isinstance(event, BadEvent)}
    rejects = [_reject(messages[i], types[i], error) for i, error in bad.items()]
    good: list[tuple[str, Event]] = list(zip(types, found, strict=True))
    if bad:
        kept = [i for i in range(len(messages)) if i not in bad]
        messages, good = [messages[i] for i in kept], [good[i] for i in kept]
        published_us = tuple(published_us[i] for i in kept)
    events = make_batch(use_case, good, published_us) if good else None
    return Decoded(use_case, messages, events, rejects, time.perf_counter() - began_s, began_ns)


def _reject(message: Message, event_type: str, error: BadEvent) -> Reject:
    reason, detail = error.reason, error.detail
    if len(message.data) > MAX_EVENT_BYTES:
        detail = too_large(len(message.data)).detail
    return Reject(message, reason, detail, event_type or None, message.attributes.get("event_id"))


def rejected(decoded: Decoded, said: Assessments | None) -> list[Reject]:
    """All messages of a batch that cannot be used."""
    if said is None:
        return decoded.rejects
    return decoded.rejects + too_late(decoded.messages, said) + unreadable(decoded.messages, said)


def encode(decoded: Decoded, said: Assessments | None, now_us: int) -> Outgoing:
    """What leaves the job of a batch: rows, alerts, dead letters."""
    name, rejects = decoded.use_case.name, rejected(decoded, said)
    tables, alerts = {}, []
    if said:
        alerts = publications.alerts(decoded.messages, said, now_us)
        tables["assessments"] = rows.assessment_rows(decoded.messages, said, now_us)
    if rejects:
        tables["dead_letters"] = rows.dead_letter_rows(name, rejects, now_us)
    letters = [publications.dead_letter(name, reject) for reject in rejects]
    return Outgoing(tables, alerts, letters, Counter(reject.reason for reject in rejects))


def count(
    decoded: Decoded,
    said: Assessments | None,
    outgoing: Outgoing,
    encode_s: float,
    now_us: int,
    drifted: Counter[str],
) -> None:
    """Adds the batch to the counters."""
    n = len(decoded.messages) + len(decoded.rejects)
    answered = len(answered_by_service(decoded.messages, said)) if said else 0
    seconds = {"decode": decoded.seconds, **(said.seconds if said else {}), "encode": encode_s}
    stages_us = {stage: round(spent_s * 1e6) for stage, spent_s in seconds.items()}
    instrumentation.count(
        instrumentation.counts(decoded.rejects, said, outgoing, drifted, now_us, answered),
        LastBatch(
            events=n,
            lag_ms=(now_us - decoded.oldest_us) // 1_000,
            event_lag_ms=(now_us - int(said.batch.time_us.max())) // 1_000 if said else None,
            stages_us=stages_us,
        ),
    )


def traced(decoded: Decoded, said: Assessments | None, outgoing: Outgoing, assessed_ns: int) -> str:
    """Records the batch, if it is one of those that are; the traceparent of its span."""
    stages, from_ns = {"decode": (decoded.began_ns, decoded.seconds)}, assessed_ns
    for stage, spent_s in (said.seconds if said else {}).items():  # one after the other, repeats added up
        stages[stage] = (from_ns, spent_s)
        from_ns += round(spent_s * 1e9)
    parents = filter(
        None, (parent_of(each.attributes) for each in (*outgoing.alerts, *outgoing.dead_letters))
    )
    return tracing.batch(
        decoded.began_ns,
        stages,
        parents,
        messages=len(decoded.messages) + len(decoded.rejects),
        model=said.model_version if said else "",
    )


class Decode(beam.DoFn):
    """Batches of messages to batches of events."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def setup(self) -> None:
        self.use_case = self.job.use_case

    def process(self, element: Messages) -> Iterator[Decoded]:
        yield decode(self.use_case, element)


class Assess(beam.DoFn):
    """Batches of events to what is said about them, ready to leave. When it is yielded, it is committed.

    A thread assesses, most of the time in Redis or in compiled code; meanwhile the bundle's own thread decodes
    the next batch and encodes the last. Batches are assessed one by one, in order.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def setup(self) -> None:
        self.model = worker.of(self.job).model
        self.thread = ThreadPoolExecutor(1, "assess")
        self.start_bundle()
        undelivered.register(self)

    def start_bundle(self) -> None:
        self.under_way: deque[tuple[Decoded, Future[tuple[int, Assessments | None]]]] = deque()
        self.leaving = 0

    def process(self, element: Decoded) -> Iterator[Outgoing]:
        if element.messages or element.rejects:
            self.under_way.append((element, self.thread.submit(self.assess, element.events)))
        is_full = len(element.messages) >= FULL_BATCH
        while len(self.under_way) > is_full:
            yield self.finished()
            self.leaving = 0

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self.under_way:
            yield WindowedValue(self.finished(), MIN_TIMESTAMP, (GlobalWindow(),))
            self.leaving = 0

    def undelivered(self) -> int:
        """Batches that are committed and not with the sinks yet."""
        return self.leaving + sum(assessing.done() for _, assessing in list(self.under_way))

    def teardown(self) -> None:
        self.thread.shutdown()

    def assess(self, events: Batch | None) -> tuple[int, Assessments | None]:
        """Returns when it began, and what is said once it is stored, however long Redis is away.

        Raises StoreUnavailable if told to stop.
        """
        began_ns = time.time_ns()
        if events is None:
            return began_ns, None
        engine = self.model.current()
        said = waiting_out("redis", lambda: assess(engine, events), StoreUnavailable, "assess events")
        progress.gauges[key(BREAKER)] = engine.breaker.is_open(int(events.time_us.max()))
        return began_ns, said

    def finished(self) -> Outgoing:
        """What leaves of the oldest batch under way."""
        decoded, assessing = self.under_way[0]
        assessed_ns, said = assessing.result()
        self.leaving = 1
        self.under_way.popleft()
        began_s, now_us = time.perf_counter(), time.time_ns() // 1_000
        outgoing = encode(decoded, said, now_us)
        encode_s = time.perf_counter() - began_s
        drifted = self.model.drift.seen(said, time.monotonic()) if said else Counter[str]()
        count(decoded, said, outgoing, encode_s, now_us, drifted)
        if outgoing.dead_letters:
            tell_rejects(rejected(decoded, said))
        return replace(outgoing, traceparent=traced(decoded, said, outgoing, assessed_ns))


class Send(beam.DoFn):
    """Delivers what follows from each batch; all of it is delivered when the bundle ends."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def setup(self) -> None:
        self.sinks = worker.of(self.job).sinks

    def start_bundle(self) -> None:
        self.sending: list[tuple[str, int, list[Future[None]]]] = []

    def process(self, element: Outgoing) -> None:
        self.sending.append((element.traceparent, time.time_ns(), self.sinks.send(element)))
        if len(self.sending) > UNDELIVERED_BATCHES:
            self.wait()

    def finish_bundle(self) -> None:
        while self.sending:
            self.wait()

    def wait(self) -> None:
        """For the oldest batch under way."""
        began_s = time.perf_counter()
        traceparent, began_ns, sending = self.sending.pop(0)
        wait(sending)
        tracing.emitted(traceparent, began_ns)
        instrumentation.count_sent(time.perf_counter() - began_s)
