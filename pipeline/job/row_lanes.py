"""Rows on their way to BigQuery: several appends at a time, bounded in memory, the rest in files.

Rows that wait go together, in loads of one request each. One lane, which is one connection, is enough while BigQuery
answers quickly; more are opened while rows have to wait. While BigQuery refuses appends, those under way are tried
again and no other begins. Only the lanes wait for BigQuery.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa

from pipeline.bigquery.client import Appender
from pipeline.job.spill import Spill, SpilledRows
from pipeline.runtime.errors import SinkUnavailable
from pipeline.runtime.metrics import ROWS_SPILLED, ROWS_WAITING, key
from pipeline.runtime.process_metrics import progress, stop

LANES = 8  # of a process; BigQuery advises few connections, and allows 1,000 a project in small regions
LOAD_BYTES = 8 << 20  # of rows; a request of BigQuery has room for 9 MB of them
LOADS = 16  # that the bound has room for in any case: half of them wait while the others are under way
# No alert waits for a row, and an append of few rows takes as much time of this process as one of many.
GATHER_S = 0.05
GATHERED_BYTES = 1 << 20  # an append of so many does not wait
PATIENCE_S = 0.1  # rows that have waited for so long are worth another lane
MERGE_PARTS = (
    32  # small batches are copied into one: an Arrow column takes 100 bytes and more beside its values
)

logger = logging.getLogger(__name__)
Rows = Mapping[str, pa.RecordBatch]  # by table


@dataclass(slots=True, eq=False)
class RowLoad:
    """Rows that go in one append; `future` ends with it."""

    parts: list[Rows] = field(default_factory=list)
    size_bytes: int = 0
    began_s: float = field(default_factory=time.monotonic)
    stored: SpilledRows | None = None  # in a file instead of `parts`
    future: Future[None] = field(default_factory=Future)

    def add(self, rows: Rows, size_bytes: int) -> None:
        """Add the rows of a batch."""
        self.parts.append(rows)
        self.size_bytes += size_bytes
        if len(self.parts) >= MERGE_PARTS:
            self.parts = [concatenate(self.parts)]

    def rows(self) -> Rows:
        """Return all rows, by table. Those in a file are taken from it."""
        return self.stored.take() if self.stored else concatenate(self.parts)


class RowLanes:
    """Appends rows side by side. Safe for threads; cannot be pickled."""

    def __init__(
        self, new_appender: Callable[[], Appender], spill: Spill, memory_bytes: int, disk_bytes: int
    ) -> None:
        """Hold about as many bytes of rows in memory as `memory_bytes`, and the rest in `spill`.

        It is `crowded` when there are as many as `disk_bytes`.
        """
        self._new_appender, self._spill = new_appender, spill
        self._memory_bytes, self._disk_bytes = memory_bytes, disk_bytes
        self._load_bytes = min(LOAD_BYTES, memory_bytes // LOADS)
        self._waiting: deque[RowLoad] = deque()
        self._held_bytes = 0  # in memory, waiting or under way
        self._under_way: dict[RowLoad, Appender] = {}
        self._failing: set[RowLoad] = set()
        self._idle: list[Appender] = []  # the one that was used last is used next
        self._lock = threading.RLock()  # a load that ends begins the next
        self._pool = ThreadPoolExecutor(LANES, "append")
        self._is_spilling = False
        self._hold(0)

    def send(self, rows: Rows) -> Future[None]:
        """Begin to append. The future ends when the rows are stored, or with SinkRefused or SinkUnavailable."""
        size_bytes = sum(batch.get_total_buffer_size() for batch in rows.values())
        with self._lock:
            load = self._waiting[-1] if self._waiting else None
            if load is None or load.stored or load.size_bytes + size_bytes > self._load_bytes:
                load = RowLoad()
                self._waiting.append(load)
            load.add(rows, size_bytes)
            self._hold(size_bytes)
            self._begin()
            self._relieve()
            return load.future

    def crowded(self, share: float = 1.0) -> str:
        """Say why there is no room for more rows, at this share of the bounds; "" if there is."""
        if self._spill.size_bytes >= share * self._disk_bytes:
            return f"{self._spill.size_bytes >> 20} MiB of rows wait for BigQuery in temporary files"
        if self._spill.has_failed and self._held_bytes >= share * self._memory_bytes:
            return f"{self._held_bytes >> 20} MiB of rows wait for BigQuery, and the disk takes no more"
        return ""

    def close(self) -> None:
        """Give up what is not stored: it ends with SinkUnavailable."""
        with self._lock:
            waiting = self._take_all()
            for appender in self._under_way.values():
                appender.close()  # its append ends now, with an error
        for load in waiting:
            load.future.set_exception(SinkUnavailable("rows are not stored: the process ends"))
        self._pool.shutdown()
        for appender in self._idle:
            appender.close()
        self._spill.close()
        for gauge in (ROWS_WAITING, ROWS_SPILLED):
            progress.gauges.pop(key(gauge), None)

    def _begin(self) -> None:
        """Begin the appends that may begin now."""
        while self._waiting and self._may_begin(self._waiting[0]):
            load = self._waiting.popleft()
            self._hold(load.size_bytes if load.stored else 0)
            self._under_way[load] = self._idle.pop() if self._idle else self._new_appender()
            self._pool.submit(self._append, load).add_done_callback(partial(self._end, load))

    def _may_begin(self, load: RowLoad) -> bool:
        if self._failing or len(self._under_way) >= LANES:
            return False
        has_waited = time.monotonic() - load.began_s >= PATIENCE_S
        return not self._under_way or has_waited or len(self._waiting) > 1

    def _append(self, load: RowLoad) -> None:
        def is_stopping() -> bool:  # asked after a failed attempt only
            self._note_failing(load, True)
            return stop.is_set()

        if load.size_bytes < GATHERED_BYTES:
            stop.wait(GATHER_S)  # those that come meanwhile go together
        self._under_way[load].append_all(load.rows(), is_stopping)

    def _end(self, load: RowLoad, append: Future[None]) -> None:
        error = append.exception()
        with self._lock:
            self._idle.append(self._under_way.pop(load))
            self._note_failing(load, False)
            self._hold(-load.size_bytes)
            if isinstance(error, SinkUnavailable):  # the process stops
                given_up = self._take_all()
            else:
                given_up = []
                self._begin()
        if error is None:
            load.future.set_result(None)
            return
        for one in (load, *given_up):
            one.future.set_exception(error)

    def _take_all(self) -> list[RowLoad]:
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def _note_failing(self, load: RowLoad, is_failing: bool) -> None:
        with self._lock:
            (self._failing.add if is_failing else self._failing.discard)(load)
            progress.waiting["bigquery"] = len(self._failing)

    def _hold(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes
        progress.gauges[key(ROWS_WAITING)] = self._held_bytes
        progress.gauges[key(ROWS_SPILLED)] = self._spill.size_bytes
        if self._is_spilling and not self._spill.size_bytes:
            self._is_spilling = False
            logger.warning("no rows wait in temporary files any more")

    def _relieve(self) -> None:
        """Move full loads to files while memory holds too much, the latest first: they have the longest to wait."""
        for load in reversed(list(self._waiting)[:-1]):
            if self._held_bytes <= self._memory_bytes or self._spill.has_failed:
                return
            if not load.stored and self._spill_load(load):
                self._hold(-load.size_bytes)

    def _spill_load(self, load: RowLoad) -> bool:
        load.stored = self._spill.store(concatenate(load.parts))
        if not load.stored:
            return False
        load.parts = []
        if not self._is_spilling:
            self._is_spilling = True
            logger.warning("rows wait in temporary files: more come than BigQuery takes, and memory is full")
        return True


def concatenate(batches: list[Rows]) -> Rows:
    """Concatenate the rows of several batches, by table."""
    if len(batches) == 1:
        return batches[0]
    tables = dict.fromkeys(table for batch in batches for table in batch)
    return {table: pa.concat_batches([b[table] for b in batches if table in b]) for table in tables}
