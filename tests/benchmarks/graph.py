"""The job's own graph over messages that wait in memory: what goes in, what comes out, and what that took.

The source is the local runner's, with other deliveries; rows and alerts are encoded and then dropped.
"""

import gc
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from redis import Redis

from pipeline.job import graph
from pipeline.job.beam_options import beam_options
from pipeline.job.deliveries import PulledBatch
from pipeline.job.job import Job
from pipeline.job.sinks import Outgoing
from pipeline.job.source import PullMessages
from pipeline.pubsub.client import Received
from pipeline.runtime.process_metrics import progress, stop


@dataclass
class Measured:
    """Measurements of a run; stages are wall time."""

    events: int = 0
    batches: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0  # of this process
    redis_cpu_s: float = 0.0
    alerts: int = 0
    row_bytes: int = 0
    stages_s: Counter[str] = field(default_factory=Counter)

    @property
    def per_s(self) -> float:
        return self.events / self.wall_s

    def told(self) -> str:
        cpu_us, redis_us = (1e6 * spent / self.events for spent in (self.cpu_s, self.redis_cpu_s))
        return f"CPU {cpu_us:.1f} us an event here, {redis_us:.1f} in redis-server"


class Backlog:
    """The job's deliveries, whose messages are all there; the clock runs from the first `take`."""

    def __init__(self, received: Sequence[Received], batch: int, redis: Redis) -> None:
        self.received, self.batch, self.redis = received, batch, redis
        self.taken = 0
        self.sizes: list[int] = []  # of the batches taken
        self.measured = Measured()
        self.last_counted = progress.last_batch

    def take(self, _timeout_s: float) -> PulledBatch:
        if not self.taken:
            self.began = self._clocks()
        taken = self.received[self.taken : self.taken + self.batch]
        self.taken += len(taken)
        self.sizes.append(len(taken))
        if self.taken == len(self.received):
            stop.set()
        return PulledBatch(taken, ticket=None, pulled_s=None)

    def add_stages(self) -> None:
        """Add the stages of the batch that was counted last; the job counts a batch after it has left."""
        last = progress.last_batch
        if last is not None and last is not self.last_counted:
            self.measured.stages_s.update({stage: us / 1e6 for stage, us in last.stages_us.items()})
            self.last_counted = last

    def end(self) -> None:
        """Stop the clock."""
        spent = [end - begin for begin, end in zip(self.began, self._clocks(), strict=True)]
        self.measured.wall_s, self.measured.cpu_s, self.measured.redis_cpu_s = spent

    def _clocks(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), cpu_of(self.redis)


_backlog: Backlog  # of this process: steps are pickled


class PullBacklog(PullMessages):
    """The job's source, until the backlog is done with."""

    def setup(self) -> None:
        self.deliveries = _backlog


class Encode(beam.DoFn):
    """Makes the bytes that would be sent, and counts."""

    def process(self, element: Outgoing) -> None:
        _backlog.add_stages()
        measured = _backlog.measured
        began_s = time.perf_counter()
        measured.row_bytes += sum(rows.serialize().size for rows in element.rows.values())
        measured.stages_s["serialize"] += time.perf_counter() - began_s
        measured.events += _backlog.sizes[measured.batches]
        measured.batches += 1
        measured.alerts += len(element.alerts)
        if measured.events == len(_backlog.received):
            _backlog.end()


def run(job: Job, received: Sequence[Received], redis: Redis) -> Measured:
    """Assesses all messages; the worker of `job` stays, so a first run warms a second."""
    global _backlog
    _backlog = Backlog(received, job.batch, redis)
    gc.collect()
    gc.freeze()  # the messages, of which a job has no more than a few batches
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=beam_options([]))
    messages = pipeline | beam.Impulse() | "Pull" >> beam.ParDo(PullBacklog(job))
    graph.assessed(messages, job) | "Encode" >> beam.ParDo(Encode())
    try:
        pipeline.run().wait_until_finish()
    finally:
        stop.clear()
        gc.unfreeze()
    _backlog.add_stages()
    measured = _backlog.measured
    assert measured.wall_s and measured.events == len(received), (measured, len(received))
    return measured


def cpu_of(redis: Redis) -> float:
    """Seconds of CPU that a redis-server has had."""
    used = redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
