"""Sources of message batches: splittable DoFns that pull, and Dataflow's own reader.

A batch is all that waits when it is asked for, up to the job's size. A message is acknowledged after all that follows
from it: on the local runner when its batch is delivered, on a runner that may part the steps in its bundle's finalizer.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage, ReadFromPubSub
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.runners.sdf_utils import RestrictionTrackerView
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.job import worker
from pipeline.job.job import Job
from pipeline.pubsub.leases import AckLease
from pipeline.pubsub.message import Message
from pipeline.runtime.process_metrics import stop

# Beam takes milliseconds for a bundle, so a bundle is many batches. What is in it comes again after a crash, as
# duplicates.
BUNDLE_S = 0.5
BUNDLE_MESSAGES = 50_000
FULL_BATCH = (
    1_000  # messages; more are waiting then, and steps may begin with them before they end with these
)
SOON_S = 0.005  # how long more may take to come after a full batch
IDLE_S = 0.1  # how long a wish to stop may go unnoticed when nothing comes
LAST_POSITION = 2**62  # positions are batches; a restriction never comes to its end by itself
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Messages(tuple[Message, ...]):
    """A batch in arrival order. Its type is its own, so that Beam encodes it in one go where it has to."""

    ticket: int | None = None  # see `pipeline.job.deliveries`; None: the bundle's finalizer acknowledges
    pulled_s: float | None = None  # monotonic, of the first message; None: not known

    def __reduce__(self) -> tuple[object, tuple[tuple[Message, ...]]]:
        """Leave out the ticket and the time, which are of this process."""
        return Messages, (tuple(self),)


Source = beam.PTransform[Any, Messages]


class Forever(RestrictionProvider):
    """Batches without end."""

    def initial_restriction(self, element: object) -> OffsetRange:
        return OffsetRange(0, LAST_POSITION)

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def split(self, element: object, restriction: OffsetRange) -> Iterator[OffsetRange]:
        yield restriction  # not split: more elements are more pullers

    def restriction_size(self, element: object, restriction: OffsetRange) -> int:
        return 1

    def truncate(self, element: object, restriction: OffsetRange) -> None:
        return None  # draining: what was not pulled stays in the subscription


FOREVER: Any = beam.DoFn.RestrictionParam(Forever())


class PullMessages(beam.DoFn):
    """Pull batches until the process is to stop, in one bundle; each is acknowledged once it is delivered.

    The end of a bundle costs time and memory, and nothing here waits for it: it is the end of the process.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def setup(self) -> None:
        self.deliveries = worker.of(self.job).deliveries

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(self, element: object, tracker: RestrictionTrackerView = FOREVER) -> Iterator[Messages]:
        is_full = False
        for position in count(tracker.current_restriction().start):
            if not tracker.try_claim(position):
                return
            received, ticket, pulled_s = self.deliveries.take(SOON_S if is_full else IDLE_S)
            if received or is_full:  # an empty batch: nothing more comes now, what is under way may finish
                messages = Messages(one.message for one in received)
                messages.ticket, messages.pulled_s = ticket, pulled_s
                yield messages
            is_full = len(received) >= FULL_BATCH
            if stop.is_set():
                tracker.try_claim(LAST_POSITION - 1)
                return


class PullBundles(beam.DoFn):
    """Pull batches until the process is to stop, in short bundles, which acknowledge them in their finalizers."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def setup(self) -> None:
        self.puller = worker.of(self.job).puller

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self,
        element: object,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: RestrictionTrackerView = FOREVER,
    ) -> Iterator[Messages]:
        leases: list[AckLease] = []
        finalizer.register(lambda: self.acknowledge(leases))
        bundle_until_s = time.monotonic() + BUNDLE_S
        messages, is_full = 0, False
        for position in count(tracker.current_restriction().start):
            if not tracker.try_claim(position):
                return
            received, more = self.puller.take(SOON_S if is_full else IDLE_S)
            if received or is_full:
                leases += more
                messages += len(received)
                yield Messages(one.message for one in received)
            is_full = len(received) >= FULL_BATCH
            if self.is_over():
                tracker.try_claim(LAST_POSITION - 1)
                return
            if time.monotonic() >= bundle_until_s or messages >= BUNDLE_MESSAGES:
                tracker.defer_remainder()
                return

    def acknowledge(self, leases: Sequence[AckLease]) -> None:
        """Acknowledge the messages of a bundle; once the process stops they may come again instead."""
        self.puller.acknowledge(leases)

    def is_over(self) -> bool:
        return stop.is_set()


class Gather(beam.DoFn):
    """Gather the single messages of a Dataflow bundle into batches."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def start_bundle(self) -> None:
        self.waiting: list[Message] = []

    def process(self, element: PubsubMessage) -> Iterator[Messages]:
        self.waiting.append(message_of(element))
        if len(self.waiting) >= self.job.batch:
            yield Messages(self.waiting)
            self.waiting = []

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self.waiting:
            yield WindowedValue(Messages(self.waiting), MIN_TIMESTAMP, (GlobalWindow(),))


def message_of(element: PubsubMessage) -> Message:
    """Convert Beam's message."""
    publish_us = (element.publish_time.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
    return Message(element.data or b"", element.attributes or {}, element.message_id, publish_us)


class Pullers(beam.DoFn):
    """Emit an element for each puller. Flink distributes work by element, so one element stays in one place."""

    def __init__(self, job: Job) -> None:
        self.pullers = job.workers

    def process(self, element: bytes) -> Iterator[int]:
        yield from range(self.pullers)


def pull(job: Job) -> Source:
    """Read batches of messages from the job's subscription, in this process."""
    transform: Source = beam.Impulse() | "Pull" >> beam.ParDo(PullMessages(job))
    return transform


def pull_apart(job: Job) -> Source:
    """Read with several pullers, on any runner with splittable DoFns and bundle finalizers."""
    pullers = beam.Impulse() | "Pullers" >> beam.ParDo(Pullers(job)).with_output_types(int)
    transform: Source = pullers | "Pull" >> beam.ParDo(PullBundles(job))
    return transform


def read(job: Job) -> Source:
    """Read with Dataflow's reader.

    The reader is given neither ids nor times of events: it would drop messages by id, and stop at a time that it
    cannot read, before they could become dead letters (docs/decisions/0011).
    """
    reader = ReadFromPubSub(subscription=job.subscription, with_attributes=True)
    transform: Source = reader | "Gather" >> beam.ParDo(Gather(job))
    return transform
