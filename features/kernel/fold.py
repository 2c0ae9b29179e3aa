"""One event, one record, one batch: folds events into records and reads their vectors, in arrival order."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.kernel.attributes import forget_versions, read_attributes, set_attributes
from features.kernel.codec import HEADER_BYTES, STATUS, check, clear, pack, size_bound, unpack
from features.kernel.figures import read_vector
from features.kernel.ring import INEXACT, end_of, evict, find, fold, insert, is_too_late
from features.kernel.tables import FIGURES, LENGTH, SEQ, START, scratch, tables
from features.kernel.tracks import add, gather
from features.plan import Arrivals, EntityPlan

NO_LIMIT = np.iinfo(np.int64).max


class Disposition(IntEnum):
    """What became of an event in one record."""

    ABSENT = 0  # the event names no such entity
    APPLIED = 1
    DUPLICATE = 2  # found in the ring: nothing applied, vector as of itself
    TOO_LATE = 3  # subject: refused, it could be a duplicate of something folded
    FOLDED = 4  # other entities: counted in its bucket, a duplicate can no longer be told


ABSENT, APPLIED, DUPLICATE, TOO_LATE, FOLDED = (int(d) for d in Disposition)


@njit(cache=True)
def _answer_duplicate(table, s, arrivals, j, found, out, total):
    """Nothing is applied; the vector is recomputed as of the event itself."""
    seq = s.ring.seq[found]
    out.disposition[j], out.seq[j] = DUPLICATE, seq
    out.original[j] = s.ring.origin[found]
    out.seen_score[j] = s.ring.score[found]
    out.seen_outcome[j] = s.ring.outcome[found] & np.uint8(0x7F)
    outputs = out.raw.shape[1] - table.size[3]
    exact = (s.ring.outcome[found] & INEXACT) == 0
    exact = read_attributes(s, seq, out.raw[j, outputs:]) and exact
    if exact and arrivals.scored[j]:
        gather(table, s, s.ring.time[found], found + 1, seq)
        read_vector(table, s, s.ring.time[found], s.ring.lanes[found], out.raw[j], total)
    else:
        out.raw[j] = np.nan
    out.exact[j] = exact


@njit(cache=True)
def _write_row(table, s, arrivals, j, out, total):
    read_vector(table, s, arrivals.time_us[j], arrivals.lanes[j], out.raw[j], total)
    read_attributes(s, s.head[SEQ], out.raw[j, out.raw.shape[1] - table.size[3] :])


@njit(cache=True)
def _apply(table, s, arrivals, j, fresh, out, total):
    """Insert an event that is new; `fresh`: the sums hold the whole ring. Returns whether they do after it."""
    s.head[SEQ] += 1
    out.disposition[j], out.seq[j] = APPLIED, s.head[SEQ]
    place = insert(s, arrivals, j)
    if arrivals.source[j] >= 0:
        set_attributes(table, s, arrivals, j)
    is_newest = place == s.head[START] + s.head[LENGTH] - 1
    if is_newest and fresh:
        add(table, s, s.sums, s.sum_ever, place)
    elif arrivals.scored[j]:
        gather(table, s, arrivals.time_us[j], place + 1, NO_LIMIT)
    if arrivals.scored[j]:
        _write_row(table, s, arrivals, j, out, total)
    evict(table, s, table.size[6])
    return is_newest and (fresh or arrivals.scored[j])


@njit(cache=True)
def _apply_too_late(table, s, arrivals, j, out, total):
    """The subject refuses the event; other entities count it by its bucket. Returns whether sums are stale."""
    if table.size[5]:
        out.disposition[j] = TOO_LATE
        return False
    s.head[SEQ] += 1
    out.disposition[j], out.seq[j] = FOLDED, s.head[SEQ]
    fold(table, s, arrivals, j)
    if arrivals.source[j] >= 0:
        set_attributes(table, s, arrivals, j)
    if arrivals.scored[j]:
        gather(table, s, arrivals.time_us[j], end_of(s, arrivals.time_us[j]), NO_LIMIT)
        _write_row(table, s, arrivals, j, out, total)
    return True


@njit(cache=True)
def _advance_record(table, s, arrivals, order, out, total):
    fresh = False
    for j in order:
        found = find(s, arrivals.key[j])
        if found >= 0:
            _answer_duplicate(table, s, arrivals, j, found, out, total)
            fresh = fresh and not arrivals.scored[j]
        elif is_too_late(s, arrivals.time_us[j], table.size[6]):
            fresh = not _apply_too_late(table, s, arrivals, j, out, total) and fresh
        else:
            fresh = _apply(table, s, arrivals, j, fresh, out, total)


@njit(cache=True)
def _note_places(s, at_score, at_outcome, out):
    """Where the outcomes of this batch's events go in the packed record."""
    for i in range(s.head[LENGTH]):
        j = s.ring.origin[s.head[START] + i]
        if j >= 0:
            out.score_at[j], out.outcome_at[j] = at_score + 4 * i, at_outcome + i


@njit(cache=True, nogil=True)
def _advance_all(table, s, arrivals, order, starts, read, read_at, written, written_at, out):
    """Record by record: unpack, advance, pack. `order[starts[r]:starts[r + 1]]` are r's events."""
    places = np.zeros(2, np.int64)
    total = np.zeros(FIGURES)
    at = 0
    for r in range(len(starts) - 1):
        if read_at[r] == read_at[r + 1]:
            clear(table, s)
        else:
            unpack(table, s, read, read_at[r])
        out.before[r] = s.head[SEQ]
        _advance_record(table, s, arrivals, order[starts[r] : starts[r + 1]], out, total)
        forget_versions(s)
        out.after[r] = s.head[SEQ]
        written_at[r] = at
        at = pack(table, s, written, at, places)
        if table.size[5]:
            out.status[r] = s.status
            _note_places(s, places[0], places[1], out)
    written_at[len(starts) - 1] = at


@njit(cache=True)
def _capacity(table, read, read_at, starts):
    """Most bytes that the packed records can take together."""
    capacity = 0
    for r in range(len(starts) - 1):
        at, size = read_at[r], read_at[r + 1] - read_at[r]
        ring = np.int64(read[at + 32 : at + 34].view(np.uint16)[0]) if size else 0
        capacity += size_bound(table, ring, size, starts[r + 1] - starts[r])
    return capacity


class _Columns(NamedTuple):
    """Arrivals without the ids, as compiled code takes them."""

    key: NDArray[np.uint64]
    time_us: NDArray[np.int64]
    lanes: NDArray[np.uint64]
    values: NDArray[np.float64]
    slots: NDArray[np.uint8]
    scored: NDArray[np.bool_]
    source: NDArray[np.int8]
    attribute_row: NDArray[np.int32]
    attributes: NDArray[np.float64]
    attribute_source: NDArray[np.int8]


class _Out(NamedTuple):
    raw: NDArray[np.float64]
    disposition: NDArray[np.uint8]
    exact: NDArray[np.bool_]
    seq: NDArray[np.int64]
    original: NDArray[np.int32]
    seen_score: NDArray[np.float32]
    seen_outcome: NDArray[np.uint8]
    score_at: NDArray[np.int64]
    outcome_at: NDArray[np.int64]
    status: NDArray[np.uint8]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def _out(events: int, records: int, columns: int) -> _Out:
    return _Out(
        raw=np.full((events, columns), np.nan),
        disposition=np.zeros(events, np.uint8),
        exact=np.ones(events, np.bool_),
        seq=np.zeros(events, np.int64),
        original=np.full(events, -1, np.int32),
        seen_score=np.full(events, np.nan, np.float32),
        seen_outcome=np.zeros(events, np.uint8),
        score_at=np.full(events, -1, np.int64),
        outcome_at=np.full(events, -1, np.int64),
        status=np.zeros((records, STATUS.itemsize), np.uint8),
        before=np.zeros(records, np.int64),
        after=np.zeros(records, np.int64),
    )


@dataclass(frozen=True)
class Advanced:
    """n events folded into r records, packed but not yet written anywhere."""

    raw: NDArray[np.float64]  # [n, plan.raw_columns] NaN rows where there is no vector
    disposition: NDArray[np.uint8]  # [n] Disposition
    exact: NDArray[np.bool_]  # [n] False: a duplicate whose vector can no longer be recomputed
    seq: NDArray[np.int64]  # [n] number of the event in its record; 0: not in it
    original: NDArray[np.int32]  # [n] index of the first arrival, for duplicates within the batch; else -1
    seen_score: NDArray[np.float32]  # [n] stored outcome of duplicates known from the record
    seen_outcome: NDArray[np.uint8]  # [n]
    status: NDArray[np.void]  # [r] record.STATUS, for the policy to change in place
    before: NDArray[np.int64]  # [r] seq as read; 0: there was no record
    after: NDArray[np.int64]  # [r] seq now; unchanged: nothing to write
    _score_at: NDArray[np.int64]
    _outcome_at: NDArray[np.int64]
    _written: NDArray[np.uint8]
    _written_at: NDArray[np.int64]

    def remember(self, score: NDArray[np.float32], outcome: NDArray[np.uint8]) -> None:
        """Write score and outcome [n] of the applied events, and `status`, into the packed records."""
        kept = np.flatnonzero(self._score_at >= 0)
        self._written[self._score_at[kept, None] + np.arange(4)] = (
            np.ascontiguousarray(score[kept], np.float32).view(np.uint8).reshape(-1, 4)
        )
        places = self._outcome_at[kept]
        self._written[places] = (self._written[places] & INEXACT) | (outcome[kept] & ~INEXACT)
        at = self._written_at[:-1, None] + HEADER_BYTES + np.arange(STATUS.itemsize)
        self._written[at] = np.ascontiguousarray(self.status).view(np.uint8).reshape(-1, STATUS.itemsize)

    def blobs(self) -> list[bytes]:
        """The packed records [r]."""
        packed, ends = memoryview(self._written), self._written_at.tolist()
        return [bytes(packed[start:end]) for start, end in pairwise(ends)]


def advance(plan: EntityPlan, records: Sequence[bytes | None], arrivals: Arrivals) -> Advanced:
    """Fold a batch of events into the records of one kind of entity; `records[i]` belongs to `arrivals.ids[i]`.

    Raises BadRecord when a record is not of this layout and of the plan's fingerprint.
    """
    table = tables(plan)
    read = np.frombuffer(b"".join([record or b"" for record in records]), np.uint8)
    read_at = np.cumsum([0, *(len(record or b"") for record in records)])
    check(table, read, read_at)
    present = np.flatnonzero(arrivals.record >= 0)
    order = present[np.argsort(arrivals.record[present], kind="stable")]
    starts = np.searchsorted(arrivals.record[order], np.arange(len(records) + 1))
    written = np.zeros(_capacity(table, read, read_at, starts), np.uint8)
    written_at = np.zeros(len(records) + 1, np.int64)
    out = _out(len(arrivals), len(records), plan.raw_columns)
    columns = _Columns(*(getattr(arrivals, name) for name in _Columns._fields))
    _advance_all(table, scratch(table), columns, order, starts, read, read_at, written, written_at, out)
    return Advanced(
        *out[:7],
        status=out.status.view(STATUS).reshape(-1),
        before=out.before,
        after=out.after,
        _score_at=out.score_at,
        _outcome_at=out.outcome_at,
        _written=written,
        _written_at=written_at,
    )
