"""Judgement of a stored record by the one that the log implies.

A record may rightly be ahead of the log: an event is committed before its row is delivered, and if a worker dies in
between, its message comes again. Such a record is wrong only if it lacks an event of the log, or has it under another
number. The ring shows that for the latest events; older ones cannot be told apart any more. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from features.kernel.plan import EntityPlan
from features.record import BadRecord, Record, RingEvent, loads


class RecordState(StrEnum):
    """State of one record, compared with the log."""

    EQUAL = "as the log implies"
    AHEAD = "ahead of the log"
    CONSISTENT = "has the events of the log, which cannot be recomputed to the bit"
    FORGOTTEN = "expired"
    MISSING = "missing"
    BEHIND = "behind the log"
    OTHER = "other than the log implies"
    UNREADABLE = "unreadable"


RIGHT = frozenset({RecordState.EQUAL, RecordState.AHEAD, RecordState.CONSISTENT, RecordState.FORGOTTEN})


@dataclass(frozen=True)
class ImpliedRecord:
    """The record that the log implies.

    Unless it is `exact`, recomputing has given other numbers or results than the log: some of the record's events
    are not in the log, or the log contradicts itself. `numbers` are then the logged numbers by the recomputed ones.
    """

    blob: bytes
    exact: bool = True
    numbers: Mapping[int, int] = field(default_factory=dict)
    written_us: int | None = None  # by the clock, when its latest row was made; None: not known


def judge(
    plan: EntityPlan, stored: bytes | None, implied: ImpliedRecord, now_us: int = 0, expiry_us: int = 0
) -> RecordState:
    """Return the state of a stored record. It may have expired `expiry_us` after it was last written; 0: never.

    A record whose last writing is not known counts as missing: the kernel ignores one that was rebuilt in vain.
    """
    if stored == implied.blob:
        return RecordState.EQUAL
    expected = loads(plan, implied.blob)
    if stored is None:
        written_us = implied.written_us
        has_expired = expiry_us and written_us is not None and written_us + expiry_us <= now_us
        return RecordState.FORGOTTEN if has_expired else RecordState.MISSING
    try:
        record = loads(plan, stored)
    except BadRecord:
        return RecordState.UNREADABLE
    if plan.forget_us and record.ring and record.ring[0].time_us - newest_us(expected) > plan.forget_us:
        return RecordState.AHEAD  # it was forgotten and began anew after all that the log has
    if record.seq < max(implied.numbers.values(), default=expected.seq):
        return RecordState.BEHIND
    if not has_all(record, expected, implied.numbers) or (implied.exact and record.seq == expected.seq):
        return RecordState.OTHER
    return RecordState.AHEAD if implied.exact else RecordState.CONSISTENT


def has_all(record: Record, expected: Record, numbers: Mapping[int, int]) -> bool:
    """Return True if each event in the ring of `expected` is in `record`, or has left its ring as the oldest."""
    ring = {event.key: event for event in record.ring}
    return all(_is_same(ring.get(event.key), event, record, numbers) for event in expected.ring)


def _is_same(there: RingEvent | None, event: RingEvent, record: Record, numbers: Mapping[int, int]) -> bool:
    if there is None:
        return record.floor_us is not None and event.time_us <= record.floor_us
    return there.seq == numbers.get(event.seq, event.seq) and there.time_us == event.time_us


def newest_us(record: Record) -> int:
    """Return the time of the latest event that is known of a record."""
    return record.ring[-1].time_us if record.ring else record.floor_us or 0
