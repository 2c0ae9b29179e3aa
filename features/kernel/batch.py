"""The kernel's door for Python: arrivals and packed records in, vectors and new records out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.kernel.checks import UNSOUND, check
from features.kernel.header import STATUS, STATUS_AT, STATUS_BYTES, BadRecord
from features.kernel.layout import INEXACT, STATUS_WORDS, memory, tables
from features.kernel.loop import Disposition, capacities, fold_batch
from features.kernel.plan import Arrivals, EntityPlan

Mask = NDArray[np.bool_]
Part = tuple[int, int]  # records from the first number up to the second
PART_EVENTS = 2_000  # a thread with fewer costs more than it gains


class _Inputs(NamedTuple):
    """Arrivals as compiled code takes them: record by record, without the ids, unsigned numbers as int64.

    Reading memory from front to end takes half the time of jumping about in arrival order.
    """

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


EVENT_COLUMNS = _Inputs._fields[:8]  # one row an event; attributes are rows of their own


class _Answers(NamedTuple):
    """The answer to each event, in order of arrival."""

    disposition: NDArray[np.uint8]
    exact: NDArray[np.bool_]
    seq: NDArray[np.int64]
    original: NDArray[np.int32]
    stored_score: NDArray[np.float32]
    stored_outcome: NDArray[np.uint8]


class _Places(NamedTuple):
    """The places of each event's score and outcome in its packed record, record by record; -1: it is in none."""

    score_at: NDArray[np.int64]
    outcome_at: NDArray[np.int64]


class _States(NamedTuple):
    """Each record's status, and its seq before and after the batch."""

    status: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def _plain(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the numbers with one NaN for all: without sign or payload, which compiled code would not preserve."""
    missing = np.isnan(numbers)
    return np.where(missing, np.nan, numbers) if missing.any() else numbers


def _inputs(arrivals: Arrivals, order: NDArray[np.intp]) -> _Inputs:
    """Return the arrivals in `order`, which goes record by record."""
    inputs = {name: np.ascontiguousarray(getattr(arrivals, name)) for name in _Inputs._fields}
    for name in EVENT_COLUMNS:
        inputs[name] = inputs[name][order]
    for name in ("key", "lanes"):
        inputs[name] = inputs[name].view(np.int64)
    for name in ("values", "attributes"):
        inputs[name] = _plain(inputs[name])
    return _Inputs(**inputs)


def _blank_answers(events: int) -> _Answers:
    """Return answers to so many events, all ABSENT."""
    return _Answers(
        disposition=np.zeros(events, np.uint8),
        exact=np.ones(events, np.bool_),
        seq=np.zeros(events, np.int64),
        original=np.full(events, -1, np.int32),
        stored_score=np.full(events, np.nan, np.float32),
        stored_outcome=np.zeros(events, np.uint8),
    )


def _blank_states(records: int) -> _States:
    """Return the states of so many new records."""
    before, after = np.zeros((2, records), np.int64)
    return _States(np.zeros((records, STATUS_WORDS), np.int64), before, after)


def _by_record(record: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return the rows of events that have a record, record by record, each record's in order of arrival."""
    present = np.flatnonzero(record >= 0)
    number = record[present]
    if number.max(initial=0) <= np.iinfo(np.uint16).max:
        number = number.astype(np.uint16)  # numpy sorts 16 bits without comparing: five times as fast
    return present[np.argsort(number, kind="stable")]


@dataclass(frozen=True)
class Advanced:
    """A batch of n events folded into r records, which are packed but not yet written anywhere."""

    raw: NDArray[np.float64]  # [n, plan.raw_columns] NaN rows where there is no vector
    disposition: NDArray[np.uint8]  # [n] Disposition
    exact: NDArray[np.bool_]  # [n] False: a duplicate whose vector can no longer be recomputed
    seq: NDArray[np.int64]  # [n] number of the event in its record; 0: not in it
    original: NDArray[np.int32]  # [n] index of the first arrival, for duplicates within the batch; else -1
    stored_score: NDArray[np.float32]  # [n] of `is_stored` duplicates; else NaN
    stored_outcome: NDArray[np.uint8]  # [n] of `is_stored` duplicates; else 0
    events: NDArray[np.int64]  # [n] events of the record's present life up to this one; 0: not in it
    status: NDArray[np.void]  # [r] STATUS as it was read, for the policy to change in place
    before: NDArray[np.int64]  # [r] seq as read; 0: there was no record
    after: NDArray[np.int64]  # [r] seq now; unchanged: nothing to write
    _has_status: bool
    _order: NDArray[np.intp]
    _places: _Places
    _written: NDArray[np.uint8]
    _written_at: NDArray[np.int64]
    _written_to: NDArray[np.int64]

    @property
    def is_new(self) -> Mask:
        """[n] Events that were applied just now."""
        applied: Mask = self.disposition == Disposition.APPLIED
        return applied

    @property
    def is_added(self) -> Mask:
        """[n] Events that changed the record: applied, or folded into its tiles."""
        folded: Mask = self.disposition == Disposition.FOLDED
        return self.is_new | folded

    @property
    def is_duplicate(self) -> Mask:
        """[n] Events that the record knew already, or that came before in the batch."""
        duplicate: Mask = self.disposition == Disposition.DUPLICATE
        return duplicate

    @property
    def is_repeated(self) -> Mask:
        """[n] Duplicates of an event of this batch, which is at row `original`."""
        repeated: Mask = self.original >= 0
        return repeated

    @property
    def is_stored(self) -> Mask:
        """[n] Duplicates of an event of an earlier batch, the score and outcome of which the record keeps."""
        return self.is_duplicate & ~self.is_repeated

    def store_outcomes(self, score: NDArray[np.float32], outcome: NDArray[np.uint8]) -> None:
        """Write score and outcome [n] of the applied events, and `status`, into the subject's packed records.

        Other entities' records have neither: nothing is written.
        """
        if not self._has_status:
            return
        kept = np.flatnonzero(self._places.score_at >= 0)
        arrived, (score_at, outcome_at) = self._order[kept], (place[kept] for place in self._places)
        scores = np.ascontiguousarray(score[arrived], np.float32).view(np.uint8).reshape(-1, 4)
        self._written[score_at[:, None] + np.arange(4)] = scores
        was, now = self._written[outcome_at] & INEXACT, outcome[arrived] & ~np.uint8(INEXACT)
        self._written[outcome_at] = was | now
        statuses = np.ascontiguousarray(self.status).view(np.uint8).reshape(-1, STATUS_BYTES)
        self._written[self._written_at[:, None] + STATUS_AT + np.arange(STATUS_BYTES)] = statuses

    def blobs(self, rows: NDArray[np.intp] | None = None) -> list[bytes]:
        """Return the packed records, all [r] or those of some rows."""
        chosen = slice(None) if rows is None else rows
        packed = memoryview(self._written.data)
        starts, ends = self._written_at[chosen].tolist(), self._written_to[chosen].tolist()
        return [bytes(packed[start:end]) for start, end in zip(starts, ends, strict=True)]


class Cores(NamedTuple):
    """A way to call a function for several parts of a batch at once; results do not depend on it."""

    number: int
    call: Callable[[Callable[[Part], int], Sequence[Part]], Iterable[int]]  # map, or a pool's


ONE_CORE = Cores(1, map)


def _parts(starts: NDArray[np.int64], cores: Cores) -> list[Part]:
    """Return ranges of records with about as many events each: one for each core if there are enough, else one."""
    records, events = len(starts) - 1, int(starts[-1])
    number = max(1, min(cores.number, events // PART_EVENTS, records))
    cuts = np.searchsorted(starts, [events * i // number for i in range(1, number)])
    parts = [(first, end) for first, end in pairwise([0, *cuts.tolist(), records]) if first < end]
    return parts or [(0, 0)]  # a batch without records loads the compiled code, too


def _joined(
    p: NDArray[np.int64], records: Sequence[bytes | None]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the packed records as one array and where each of them begins and ends. Raises BadRecord."""
    if b"" in records:
        raise BadRecord("not a record: 0 bytes")
    blobs = [record or b"" for record in records]
    read, read_at = np.frombuffer(b"".join(blobs), np.uint8), np.cumsum([0, *map(len, blobs)])
    check(p, read, read_at)
    return read, read_at


def advance(
    plan: EntityPlan, records: Sequence[bytes | None], arrivals: Arrivals, cores: Cores = ONE_CORE
) -> Advanced:
    """Fold a batch of events into the records of one kind of entity; `records[i]` belongs to `arrivals.ids[i]`.

    Raises BadRecord if a record is not of this layout and of the plan's fingerprint.
    """
    p = tables(plan)
    read, read_at = _joined(p, records)
    order = _by_record(arrivals.record)
    starts = np.searchsorted(arrivals.record[order], np.arange(len(records) + 1))
    most = np.zeros(len(records), np.int64)
    capacities(p, read, read_at, starts, most)
    written, written_at, written_to = (
        np.zeros(most.sum(), np.uint8),
        np.cumsum(most) - most,
        np.zeros_like(most),
    )
    answers, inputs = _blank_answers(len(arrivals)), _inputs(arrivals, order)
    raw = np.empty((len(arrivals), plan.raw_columns))
    raw[arrivals.record < 0] = np.nan
    places = _Places._make(np.full(len(order), -1) for _ in _Places._fields)
    states = _blank_states(len(records))
    earlier = np.zeros(len(arrivals) if plan.forget_us else 0, np.int64)  # events of lives before

    def fold(part: Part) -> int:
        bad: int = fold_batch(
            p, *memory(p), part, inputs, starts, read, read_at, written, written_at, written_to, order, raw, answers,
            earlier, places, states,
        )  # fmt: skip
        return bad

    if max(cores.call(fold, _parts(starts, cores)), default=-1) >= 0:
        raise BadRecord(UNSOUND)
    return Advanced(
        raw,
        *answers,
        events=answers.seq - earlier if plan.forget_us else answers.seq,
        status=states.status.view(STATUS).reshape(-1),
        before=states.before,
        after=states.after,
        _has_status=plan.is_subject,
        _order=order,
        _places=places,
        _written=written,
        _written_at=written_at,
        _written_to=written_to,
    )
