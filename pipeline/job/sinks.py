"""Sinks of the job: rows to BigQuery, alerts and dead letters to their topics.

Messages leave in order by one thread, rows by lanes of their own, so an alert never waits for a row. What is away
is waited for.
"""

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyarrow as pa

from pipeline.bigquery.client import Appender
from pipeline.bigquery.schemas import OF_JOB
from pipeline.job.job import Job
from pipeline.job.row_lanes import RowLanes
from pipeline.job.spill import Spill
from pipeline.pubsub.client import Publication, Publisher
from pipeline.runtime import undelivered
from pipeline.runtime.errors import PubSubUnavailable
from pipeline.runtime.metrics import WAIT
from pipeline.runtime.process_metrics import tally, waiting_out


@dataclass(frozen=True)
class Outgoing:
    """The rows and messages that leave the job for one batch."""

    rows: Mapping[str, pa.RecordBatch] = field(default_factory=dict)  # by table
    alerts: list[Publication] = field(default_factory=list)
    dead_letters: list[Publication] = field(default_factory=list)
    reasons: Mapping[str, int] = field(default_factory=dict)  # of the dead letters
    traceparent: str = ""  # of the batch's span, if it is recorded
    ticket: int | None = None  # see `pipeline.job.deliveries`; None: the bundle waits for the deliveries

    def __getstate__(self) -> dict[str, object]:
        """Leave out the ticket, which is of this process."""
        return {**vars(self), "ticket": None}


class Sinks:
    """The sinks of one process. Safe for threads; cannot be pickled."""

    def __init__(self, job: Job) -> None:
        self._topics = (job.alerts_topic, job.dead_letters_topic)
        self._publisher = Publisher()
        schemas = {table.name: table.rows for table in OF_JOB}
        self.rows = RowLanes(
            partial(Appender, job.project, job.dataset, schemas),
            Spill(Path(job.state)),
            job.rows_in_memory_mib << 20,
            job.rows_on_disk_mib << 20,
        )
        self._message_thread = ThreadPoolExecutor(1, "publish")
        self._under_way: set[Future[None]] = set()
        undelivered.register(self)

    def send(self, outgoing: Outgoing) -> list[Future[None]]:
        """Begin to deliver. The batch is delivered when all futures have ended well."""
        sending = []
        note_publish, note_store = (
            partial(note_wait, step, time.monotonic()) for step in ("publish", "store")
        )
        for topic, messages in zip(self._topics, (outgoing.alerts, outgoing.dead_letters), strict=True):
            if messages:
                sending.append(self._message_thread.submit(self._publish, topic, messages))
                sending[-1].add_done_callback(note_publish)
        if outgoing.rows:
            sending.append(self.rows.send(outgoing.rows))
            sending[-1].add_done_callback(note_store)
        self._under_way.update(sending)
        for one in sending:
            one.add_done_callback(self._under_way.discard)
        return sending

    def undelivered(self) -> int:
        """Return the number of deliveries that have begun and not ended."""
        return len(self._under_way)

    def _publish(self, topic: str, messages: list[Publication]) -> None:
        waiting_out(
            "pubsub",
            lambda: self._publisher.publish(topic, messages),
            PubSubUnavailable,
            f"publish to {topic}",
        )

    def close(self) -> None:
        """Give up what is not delivered."""
        self._message_thread.shutdown(cancel_futures=True)
        self.rows.close()
        self._publisher.close()


def note_wait(step: str, began_s: float, delivery: Future[None]) -> None:
    """Count how long a delivery took that began at this monotonic time, unless it was given up."""
    if not delivery.cancelled() and delivery.exception() is None:
        tally(WAIT, time.monotonic() - began_s, step)


def wait(sending: list[Future[None]]) -> None:
    """Wait until all is delivered. Raises what a sink raised: the job is to stop, or the sink refuses."""
    for one in sending:
        one.result()
