"""The kernel as Python calls it: a batch of arrivals and packed records in, what became of them out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.kernel.codec import HEADER_BYTES, STATUS, BadRecord, check
from features.kernel.fold import advance_all, capacity
from features.kernel.ring import INEXACT
from features.kernel.tables import STATUS_BYTES, memory, tables
from features.plan import Arrivals, EntityPlan


class _Columns(NamedTuple):
    """Arrivals without the ids, unsigned numbers as their bits, as compiled code takes them."""

    key: NDArray[np.int64]
    time_us: NDArray[np.int64]
    lanes: NDArray[np.int64]
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
    status: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def _plain(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN without sign or payload: one meaning, one set of bytes. (Compiled code would not keep this promise.)"""
    missing = np.isnan(numbers)
    return np.where(missing, np.nan, numbers) if missing.any() else numbers


def _columns(arrivals: Arrivals) -> _Columns:
    columns = {name: np.ascontiguousarray(getattr(arrivals, name)) for name in _Columns._fields}
    for name in ("key", "lanes"):
        columns[name] = columns[name].view(np.int64)
    for name in ("values", "attributes"):
        columns[name] = _plain(columns[name])
    return _Columns(**columns)


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
        status=np.zeros((records, STATUS_BYTES // 8), np.int64),
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
    _has_status: bool
    _score_at: NDArray[np.int64]
    _outcome_at: NDArray[np.int64]
    _written: NDArray[np.uint8]
    _written_at: NDArray[np.int64]

    def remember(self, score: NDArray[np.float32], outcome: NDArray[np.uint8]) -> None:
        """Write score and outcome [n] of the applied events, and `status`, into the subject's packed records.

        Other entities' records have neither: nothing is written.
        """
        if not self._has_status:
            return
        kept = np.flatnonzero(self._score_at >= 0)
        scores = np.ascontiguousarray(score[kept], np.float32).view(np.uint8).reshape(-1, 4)
        self._written[self._score_at[kept, None] + np.arange(4)] = scores
        places = self._outcome_at[kept]
        self._written[places] = (self._written[places] & INEXACT) | (outcome[kept] & ~np.uint8(INEXACT))
        statuses = np.ascontiguousarray(self.status).view(np.uint8).reshape(-1, STATUS_BYTES)
        self._written[self._written_at[:-1, None] + HEADER_BYTES + np.arange(STATUS_BYTES)] = statuses

    def blobs(self) -> list[bytes]:
        """The packed records [r]."""
        packed = memoryview(self._written.data)
        return [bytes(packed[start:end]) for start, end in pairwise(self._written_at.tolist())]


def advance(plan: EntityPlan, records: Sequence[bytes | None], arrivals: Arrivals) -> Advanced:
    """Fold a batch of events into the records of one kind of entity; `records[i]` belongs to `arrivals.ids[i]`.

    Raises BadRecord when a record is not of this layout and of the plan's fingerprint.
    """
    p = tables(plan)
    w, f = memory(p)
    if b"" in records:
        raise BadRecord("not a record: 0 bytes")
    blobs = [record or b"" for record in records]
    read, read_at = np.frombuffer(b"".join(blobs), np.uint8), np.cumsum([0, *map(len, blobs)])
    check(p, read, read_at)
    present = np.flatnonzero(arrivals.record >= 0)
    order = present[np.argsort(arrivals.record[present], kind="stable")]
    starts = np.searchsorted(arrivals.record[order], np.arange(len(records) + 1))
    written = np.zeros(capacity(p, read, read_at, starts), np.uint8)
    written_at = np.zeros(len(records) + 1, np.int64)
    out = _out(len(arrivals), len(records), plan.raw_columns)
    advance_all(p, w, f, _columns(arrivals), order, starts, read, read_at, written, written_at, out)
    return Advanced(
        *out[:7],
        status=out.status.view(STATUS).reshape(-1),
        before=out.before,
        after=out.after,
        _has_status=plan.is_subject,
        _score_at=out.score_at,
        _outcome_at=out.outcome_at,
        _written=written,
        _written_at=written_at,
    )
