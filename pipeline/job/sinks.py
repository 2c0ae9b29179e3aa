"""Sinks of the job: rows to BigQuery, alerts and dead letters to their topics.

Rows and messages of one batch go out side by side, each by a thread of its own; rows of small batches go together.
A batch is delivered when `wait` has returned; what is away is waited for.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.bigquery.client import Appender
from pipeline.bigquery.schemas import OF_JOB
from pipeline.job.job import Job
from pipeline.pubsub.client import Publication, Publisher
from pipeline.runtime import undelivered
from pipeline.runtime.errors import PubSubUnavailable
from pipeline.runtime.process_metrics import progress, stop, waiting_out


@dataclass(frozen=True)
class Outgoing:
    """The rows and messages that leave the job for one batch."""

    rows: Mapping[str, pa.RecordBatch] = field(default_factory=dict)  # by table
    alerts: list[Publication] = field(default_factory=list)
    dead_letters: list[Publication] = field(default_factory=list)
    reasons: Mapping[str, int] = field(default_factory=dict)  # of the dead letters
    traceparent: str = ""  # of the batch's span, if it is recorded


class Sinks:
    """The sinks of one process. Safe for threads; cannot be pickled."""

    def __init__(self, job: Job) -> None:
        self._topics = (job.alerts_topic, job.dead_letters_topic)
        self._publisher = Publisher()
        self._appender = Appender(job.project, job.dataset, {table.name: table.rows for table in OF_JOB})
        self._waiting: list[Mapping[str, pa.RecordBatch]] = []
        self._row_thread = ThreadPoolExecutor(1, "append")  # an appender is for one thread
        self._message_thread = ThreadPoolExecutor(1, "publish")
        self._under_way: set[Future[None]] = set()
        undelivered.register(self)

    def send(self, outgoing: Outgoing) -> list[Future[None]]:
        """Begin to deliver. Pass the result to `wait`."""
        sending = []
        if outgoing.rows:
            self._waiting.append(outgoing.rows)
            sending.append(self._row_thread.submit(self._append_waiting))
        for topic, messages in zip(self._topics, (outgoing.alerts, outgoing.dead_letters), strict=True):
            if messages:
                sending.append(self._message_thread.submit(self._publish, topic, messages))
        self._under_way.update(sending)
        for one in sending:
            one.add_done_callback(self._under_way.discard)
        return sending

    def undelivered(self) -> int:
        """Return the number of deliveries that have begun and not ended."""
        return len(self._under_way)

    def _append_waiting(self) -> None:
        """Append the rows of all batches that wait by now, in one go. Rows that cannot be appended wait on."""

        def is_stopping() -> bool:  # after a failed attempt only
            progress.waiting["bigquery"] = 1
            return stop.is_set()

        batches = list(self._waiting)
        self._appender.append_all(concatenate(batches), is_stopping)
        del self._waiting[: len(batches)]  # only this thread takes away
        progress.waiting["bigquery"] = 0

    def _publish(self, topic: str, messages: list[Publication]) -> None:
        waiting_out(
            "pubsub",
            lambda: self._publisher.publish(topic, messages),
            PubSubUnavailable,
            f"publish to {topic}",
        )

    def close(self) -> None:
        self._row_thread.shutdown(cancel_futures=True)
        self._message_thread.shutdown(cancel_futures=True)
        self._appender.close()
        self._publisher.close()


def concatenate(batches: Sequence[Mapping[str, pa.RecordBatch]]) -> dict[str, pa.RecordBatch]:
    """Concatenate the rows of several batches, by table."""
    tables = dict.fromkeys(table for batch in batches for table in batch)
    return {table: pa.concat_batches([b[table] for b in batches if table in b]) for table in tables}


def wait(sending: list[Future[None]]) -> None:
    """Wait until all is delivered. Raises what a sink raised: the job is to stop, or the sink refuses."""
    for one in sending:
        one.result()
