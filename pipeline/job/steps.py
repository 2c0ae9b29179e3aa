"""The job's steps as Beam runs them. What they do to a batch is in `translate` and `pipeline.engine.assess`.

What passes between steps can be encoded, so any runner may part them; none holds anything back beyond its
bundle. The clock is read here and nowhere below.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.job import worker
from pipeline.job.assessing import AHEAD, Assessed, AssessingThreads
from pipeline.job.instrumentation import count_batch, count_sent, count_waits, log_rejects, record_span
from pipeline.job.job import Job
from pipeline.job.sinks import Outgoing, wait
from pipeline.job.source import FULL_BATCH, Messages
from pipeline.job.translate import Decoded, all_rejects, decode, encode
from pipeline.runtime import liveness, tracing, undelivered

UNDELIVERED_BATCHES = 8  # under way while the next is assessed; an append takes as long as some of them


class Decode(beam.DoFn):
    """Batches of messages to batches of events."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def setup(self) -> None:
        self.use_case = self.job.use_case

    def process(self, element: Messages) -> Iterator[Decoded]:
        waited_s = None if element.pulled_s is None else time.monotonic() - element.pulled_s
        with liveness.call("decode a batch"):
            decoded = decode(self.use_case, element)
        yield replace(decoded, ticket=element.ticket, waited_s=waited_s)


class Assess(beam.DoFn):
    """Batches of events to what leaves the job of them. What is yielded is committed.

    While more is waiting, other threads assess (pipeline.job.assessing), most of the time in Redis or in compiled code;
    meanwhile the bundle's thread decodes the next batch and encodes the last. Otherwise the bundle's thread assesses:
    nothing goes on beside, and a hand-over takes as long as a stage. Batches are committed one by one, in order; they
    are counted when they have left.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def setup(self) -> None:
        self.model = worker.of(self.job).model
        self.threads = AssessingThreads(self.model)
        self.start_bundle()
        undelivered.register(self)
        liveness.register(self)
        liveness.started()

    def start_bundle(self) -> None:
        self.under_way: deque[tuple[Decoded, Future[Assessed]]] = deque()
        self.leaving = 0

    def process(self, element: Decoded) -> Iterator[Outgoing]:
        is_full = len(element.messages) >= FULL_BATCH
        if element.messages or element.rejects:
            self.begin(element, is_full)
        while len(self.under_way) > (AHEAD if is_full else 0):
            yield from self.finish_oldest()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self.under_way:
            for outgoing in self.finish_oldest():
                yield WindowedValue(outgoing, MIN_TIMESTAMP, (GlobalWindow(),))

    def undelivered(self) -> int:
        """Return the number of batches that are committed and not with the sinks yet."""
        return self.leaving + sum(assessing.done() for _, assessing in list(self.under_way))

    def at_hand(self) -> int:
        """Return the number of batches that were taken and have not left."""
        return self.leaving + len(self.under_way)

    def teardown(self) -> None:
        self.threads.close()

    def begin(self, decoded: Decoded, is_full: bool) -> None:
        """Begin to assess; a batch that is not full and the only one is assessed when this returns."""
        if is_full or self.under_way:
            self.under_way.append((decoded, self.threads.submit(decoded.events)))
            return
        assessing: Future[Assessed] = Future()
        self.under_way.append((decoded, assessing))
        assessing.set_result(self.threads.assess(decoded.events))

    def finish_oldest(self) -> Iterator[Outgoing]:
        """Wait for the oldest batch under way, yield what leaves the job of it, and then count it."""
        decoded, assessing = self.under_way[0]
        assessed_ns, assessments = assessing.result()
        self.leaving = 1
        self.under_way.popleft()
        began_s, now_us = time.perf_counter(), time.time_ns() // 1_000
        outgoing = encode(decoded, assessments, now_us)
        encode_s = time.perf_counter() - began_s
        traceparent = record_span(decoded, assessments, outgoing, assessed_ns)
        yield replace(outgoing, traceparent=traceparent, ticket=decoded.ticket)
        self.leaving = 0
        drift = self.model.drift.add(assessments, time.monotonic()) if assessments else Counter[str]()
        count_batch(decoded, assessments, outgoing, drift, encode_s, now_us)
        count_waits(decoded, assessed_ns)
        if outgoing.dead_letters:
            log_rejects(all_rejects(decoded, assessments))


class Send(beam.DoFn):
    """Deliver what leaves the job. Only batches without a ticket are waited for, before their bundle ends."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def setup(self) -> None:
        self.worker = worker.of(self.job)
        self.sinks = self.worker.sinks

    def start_bundle(self) -> None:
        self.sending: list[tuple[Callable[[], None], list[Future[None]]]] = []

    def process(self, element: Outgoing) -> None:
        note = partial(note_sent, element.traceparent, time.time_ns())
        sending = self.sinks.send(element)
        if element.ticket is not None:
            self.worker.deliveries.follow(element.ticket, sending, note)
            return
        self.sending.append((note, sending))
        if len(self.sending) > UNDELIVERED_BATCHES:
            self.wait_for_oldest()

    def finish_bundle(self) -> None:
        while self.sending:
            self.wait_for_oldest()

    def wait_for_oldest(self) -> None:
        """Wait until the oldest batch under way is delivered."""
        note, sending = self.sending.pop(0)
        wait(sending)
        note()


def note_sent(traceparent: str, began_ns: int) -> None:
    """Count a batch as delivered, and record that in its trace. `began_ns` is when it left, since 1970."""
    tracing.emitted(traceparent, began_ns)
    count_sent((time.time_ns() - began_ns) / 1e9)
