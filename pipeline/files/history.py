"""History out of files as batches in event-time order, for what assesses it: backfill and batch scoring.

The events' texts wait on disk; what stays in memory is some 100 bytes an event and one batch. Events of equal time
keep the order of the files, those without a time of their own come first. A table has no order, so its events of equal
time are ordered by their content: whoever reads it again has the same history. Times are int64 microseconds since
1970 UTC.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xxhash
from numpy.typing import NDArray

from features.events import BadEvent, Batch, decode_all, make_batch
from features.usecase import UseCase
from pipeline.files import BadRow, Chunk, Place, event_type_of, in_event_time, read
from pipeline.files.sorted_spill import Spool
from pipeline.files.source import Named, WarehouseTable

SHOWN_BAD_ROWS = 100

Progress = Callable[[str, int, int | None], None]  # what is done, events so far, events in all if known


@dataclass(frozen=True)
class History:
    """n good events and what was wrong with the other rows. `digest` names the content: events, times, order."""

    use_case: UseCase
    spool: Spool
    order: NDArray[np.intp]  # [n] in which events come, as positions in the spool
    types: NDArray[np.object_]  # [n] event types, in that order
    time_us: NDArray[np.int64]  # [n] in that order
    bad: int
    bad_rows: tuple[tuple[Place, BadRow], ...]  # the first of them
    digest: str

    def __len__(self) -> int:
        return len(self.order)

    def batches(self, size: int, done: int = 0) -> Iterator[Batch]:
        """Yield batches of `size` events, the last one smaller, without the first `done` events."""
        starts = range(done, len(self) + size, size)
        chunks = self.spool.chunks(self.order[done:])
        waiting: list[bytes] = []
        for start, end in pairwise(starts):
            end = min(end, len(self))
            while len(waiting) < end - start:
                waiting += next(chunks).bodies
            yield self._batch(slice(start, end), waiting[: end - start])
            del waiting[: end - start]

    def _batch(self, rows: slice, bodies: list[bytes]) -> Batch:
        """Each event published when it happened: its time is all that a record keeps of that."""
        types, time_us = self.types[rows].tolist(), self.time_us[rows]
        found = decode_all(self.use_case, types, bodies, time_us.tolist())
        events = [(k, e) for k, e in zip(types, found, strict=True) if not isinstance(e, BadEvent)]
        assert len(events) == len(types)  # `read` has kept bad rows apart
        return make_batch(self.use_case, events, time_us)


def quiet(stage: str, done: int, total: int | None) -> None:
    """Report no progress."""


@contextmanager
def history(
    use_case: UseCase,
    paths: Sequence[Place],
    now_us: int,
    dated_us: int | None = None,
    progress: Progress = quiet,
) -> Iterator[History]:
    """The rows of the files, for as long as the block lasts; which event type a file has is told by its columns.

    Events without a time of their own are dated `dated_us`, or else with the earliest of the others. To be the
    same events as those of a stream, they must be dated as `riskstream publish --default-event-time` dated
    them. Raises BadFile.
    """
    with Spool() as spool:
        taken = _Intake(spool)
        for path in paths:
            kind = event_type_of(use_case, path)
            for chunk in read(use_case, kind, path, now_us):
                taken.add(path, kind, chunk)
                progress("reading", taken.rows, None)
        yield taken.history(use_case, now_us, dated_us)


class _Intake:
    """Accounts of the events read so far."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.rows = self.bad = 0
        self.bad_rows: list[tuple[Place, BadRow]] = []
        self.kinds: dict[str, int] = {}
        self.kind: list[NDArray[np.int8]] = [np.empty(0, np.int8)]
        self.times: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        self.hashes: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]  # of the bodies
        self.ties: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]

    def add(self, path: Place, kind: str, chunk: Chunk) -> None:
        self.spool.add(chunk)
        hashes = np.array([xxhash.xxh3_64_intdigest(body) for body in chunk.bodies], np.uint64)
        self.hashes.append(hashes)
        is_table = isinstance(path.place if isinstance(path, Named) else path, WarehouseTable)
        self.ties.append(hashes if is_table else np.zeros_like(hashes))
        self.kind.append(np.full(len(chunk), self.kinds.setdefault(kind, len(self.kinds)), np.int8))
        self.times.append(chunk.time_us)
        self.rows += len(chunk) + len(chunk.bad)
        self.bad += len(chunk.bad)
        self.bad_rows += [(path, row) for row in chunk.bad[: SHOWN_BAD_ROWS - len(self.bad_rows)]]

    def history(self, use_case: UseCase, now_us: int, dated_us: int | None) -> History:
        kind, time_us = np.concatenate(self.kind), np.concatenate(self.times)
        names = np.array(list(self.kinds), object)
        timeless = np.array([not use_case.event_types[name].time for name in names], np.bool_)[kind]
        order, time_us = in_event_time(time_us, timeless, now_us, dated_us, np.concatenate(self.ties))
        kind = kind[order]
        type_numbers = np.array([sorted(use_case.event_types).index(name) for name in names], np.int8)[kind]
        digest = xxhash.xxh3_128(use_case.fingerprint.encode())
        for column in (np.concatenate(self.hashes)[order], time_us, type_numbers):
            digest.update(column.tobytes())
        return History(
            use_case=use_case,
            spool=self.spool,
            order=order,
            types=names[kind],
            time_us=time_us,
            bad=self.bad,
            bad_rows=tuple(self.bad_rows),
            digest=digest.hexdigest(),
        )
