"""The audit trail: a record of each request that writes, tries an event or looks at a customer.

A record is written to a file before its request is answered, and a thread appends the files to the table `audit`. So no
answer waits for BigQuery, and the next process with the same folder sends what a killed one has left. Records wait as
long as BigQuery is away, up to a number of bytes; after that the caller of `add` decides what may go on without one.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pyarrow as pa

from features.errors import Unavailable
from pipeline.bigquery.client import Appender
from pipeline.bigquery.schemas import AUDIT
from pipeline.runtime.errors import SinkRefused, SinkUnavailable
from pipeline.runtime.metrics import AUDIT_OLDEST, AUDIT_WAITING, key
from pipeline.runtime.process_metrics import progress
from serving.audit.files import AuditFile, AuditRecord, left_behind

REFUSED_SHARE = (
    4  # a quarter of the room at most is for requests without a good token: anybody can make those
)
ROOM_BYTES = 4 << 10  # of a record, whose texts are bounded
SEGMENT_BYTES = 2 << 20  # one request to BigQuery, which takes 10 MB
PERIOD_S = 1.0  # between appends: soon enough to read about it, and few requests
ANSWER_TIMEOUT_S = 5.0  # of BigQuery; a record that comes twice is shown once
CLOSE_S = 5.0  # for what waits at the end; the rest stays in its files
REFUSED_PAUSE_S = 30.0  # a table or a permission that is missing is mended by hand

logger = logging.getLogger(__name__)


class TrailFull(Unavailable):
    """The audit trail takes no more records: BigQuery has been away for too long, or the disk is full."""


class Trail:
    """The audit trail of one process; safe for threads. Raises OSError if the folder is not writable."""

    def __init__(self, project: str, dataset: str, folder: Path, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder / f"{project}.{dataset}", most_bytes
        self._folder.mkdir(parents=True, exist_ok=True)
        self._closed = deque(left_behind(self._folder))
        self._open: AuditFile | None = None
        self._size_bytes = sum(segment.size_bytes for segment in self._closed)
        self._records = sum(segment.records for segment in self._closed)
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._until_s = float("inf")  # when appending ends, monotonic
        schemas = {AUDIT.name: AUDIT.rows}
        self._appender = Appender(project, dataset, schemas, answer_timeout_s=ANSWER_TIMEOUT_S)
        self._note()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def is_full(self) -> bool:
        """Return whether there may be no room for one more record."""
        return self._size_bytes + ROOM_BYTES > self._most_bytes

    def __str__(self) -> str:
        """Return the state of the trail in words."""
        return f"{'full: ' if self.is_full else ''}{self._records:,} records wait for BigQuery"

    def add(self, record: AuditRecord, is_stranger: bool = False) -> None:
        """Keep a record; `is_stranger` marks a request without a good token. Raises TrailFull."""
        line = msgspec.json.encode(record) + b"\n"
        limit_bytes = self._most_bytes // (REFUSED_SHARE if is_stranger else 1)
        with self._lock:
            if self._size_bytes + len(line) > limit_bytes:
                raise TrailFull(f"{self._records:,} audit records wait for BigQuery, and no more can")
            try:
                self._open = self._open or AuditFile.new(self._folder)
                self._open.add(line, record.answered_at)
            except OSError as error:
                raise TrailFull(f"no audit record can be written: {error}") from error
            self._size_bytes += len(line)
            self._records += 1
            if self._open.size_bytes >= SEGMENT_BYTES:
                self._rotate()

    def close(self) -> None:
        """Append waiting records for some seconds; the rest stays in its files for the next start."""
        self._until_s = time.monotonic() + CLOSE_S
        self._ending.set()
        self._thread.join()
        self._appender.close()
        if self._records:
            logger.warning(
                "%d audit records wait in %s; the next start sends them", self._records, self._folder
            )
        for segment in self._segments():
            segment.close(drop=False)
        progress.gauges.pop(key(AUDIT_WAITING), None)
        progress.gauges.pop(key(AUDIT_OLDEST), None)

    def _segments(self) -> list[AuditFile]:
        return [*self._closed, *([self._open] if self._open else [])]

    def _rotate(self) -> None:
        if self._open:
            self._closed.append(self._open)
            self._open = None

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._ending.wait(PERIOD_S)
            with self._lock:
                if not self._closed:  # else the next file would be one more that is open
                    self._rotate()
            self._append_closed()
            self._note()

    def _append_closed(self) -> None:
        """Append the closed files in their order; each is deleted once BigQuery has it."""
        while self._closed and not self._should_stop():
            segment = self._closed[0]
            try:
                self._appender.append(AUDIT.name, rows(segment.read()), self._should_stop)
            except SinkUnavailable:
                return  # it is to end
            except SinkRefused as error:
                logger.warning("BigQuery refuses the audit trail; its records wait: %s", error)
                self._ending.wait(REFUSED_PAUSE_S)
                return
            with self._lock:
                self._closed.popleft()
                self._size_bytes -= segment.size_bytes
                self._records -= segment.records
                if self._ending.is_set() and not self._closed:
                    self._rotate()
            segment.close(drop=True)

    def _should_stop(self) -> bool:
        """Return whether appending must end; called after each failed attempt, it also updates the gauges."""
        self._note()
        return time.monotonic() >= self._until_s

    def _note(self) -> None:
        with self._lock:
            oldest_us = min((each.oldest_us for each in self._segments() if each.oldest_us), default=0)
        progress.gauges[key(AUDIT_WAITING)] = self._records
        progress.gauges[key(AUDIT_OLDEST)] = (time.time_ns() // 1_000 - oldest_us) / 1e6 if oldest_us else 0.0


def rows(records: Sequence[AuditRecord]) -> pa.RecordBatch:
    """Return records as rows of the table `audit`."""
    columns = {name: [getattr(each, name) for each in records] for name in AUDIT.rows.names}
    return pa.RecordBatch.from_pydict(columns, schema=AUDIT.rows)
