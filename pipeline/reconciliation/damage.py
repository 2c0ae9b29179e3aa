"""What is wrong with a stored record, held against the one that the log implies.

A record may rightly be ahead of the log: an event is committed before its row is delivered, and if a worker dies in
between, its message comes again. Such a record is wrong only if it lacks an event of the log, or has it under another
number. The ring tells that of the latest events; older ones are no longer told apart. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from features.kernel.plan import EntityPlan
from features.record import BadRecord, Record, RingEvent, loads


class Finding(StrEnum):
    """What is found of one record."""

    EQUAL = "as the log implies"
    AHEAD = "ahead of the log"
    CONSISTENT = "has the events of the log, which cannot be retraced to the bit"
    FORGOTTEN = "expired"
    MISSING = "missing"
    BEHIND = "behind the log"
    OTHER = "other than the log implies"
    UNREADABLE = "unreadable"


RIGHT = frozenset({Finding.EQUAL, Finding.AHEAD, Finding.CONSISTENT, Finding.FORGOTTEN})


@dataclass(frozen=True)
class Implied:
    """What the log implies for one record.

    Unless it is `exact`, the retracing has come to other numbers or results than the log: some of the record's events
    are not in the log, or the log contradicts itself. `numbers` are then the logged numbers by the retraced ones.
    """

    blob: bytes
    exact: bool = True
    numbers: Mapping[int, int] = field(default_factory=dict)
    written_us: int | None = None  # by the clock, when its latest row was made; None: not known


def judge(
    plan: EntityPlan, stored: bytes | None, implied: Implied, now_us: int = 0, expiry_us: int = 0
) -> Finding:
    """How a stored record is. It may have expired by itself `expiry_us` after it was last written; 0: never.

    Where that time is not known it counts as missing: a record rebuilt in vain is ignored by the kernel.
    """
    if stored == implied.blob:
        return Finding.EQUAL
    expected = loads(plan, implied.blob)
    if stored is None:
        written_us = implied.written_us
        has_expired = expiry_us and written_us is not None and written_us + expiry_us <= now_us
        return Finding.FORGOTTEN if has_expired else Finding.MISSING
    try:
        found = loads(plan, stored)
    except BadRecord:
        return Finding.UNREADABLE
    if plan.forget_us and found.ring and found.ring[0].time_us - newest_us(expected) > plan.forget_us:
        return Finding.AHEAD  # silence has parted it from all that the log has
    if found.seq < max(implied.numbers.values(), default=expected.seq):
        return Finding.BEHIND
    if not has_all(found, expected, implied.numbers) or (implied.exact and found.seq == expected.seq):
        return Finding.OTHER
    return Finding.AHEAD if implied.exact else Finding.CONSISTENT


def has_all(found: Record, expected: Record, numbers: Mapping[int, int]) -> bool:
    """Whether each event that `expected` still tells apart is in `found`, or left its ring as the oldest."""
    ring = {event.key: event for event in found.ring}
    return all(_is_same(ring.get(event.key), event, found, numbers) for event in expected.ring)


def _is_same(there: RingEvent | None, event: RingEvent, found: Record, numbers: Mapping[int, int]) -> bool:
    if there is None:
        return found.floor_us is not None and event.time_us <= found.floor_us
    return there.seq == numbers.get(event.seq, event.seq) and there.time_us == event.time_us


def newest_us(record: Record) -> int:
    """The time of the latest event that is known of it."""
    return record.ring[-1].time_us if record.ring else record.floor_us or 0
