"""The record: everything remembered about one entity, packed as bytes or as plain values to read.

Compiled code works on the bytes (kernel/codec.py); `loads` and `dumps` are for people, tests and tools. Stores know of
a packed record its magic, seq and level (kernel/header.py). Times are int64 microseconds since 1970 UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.kernel import codec
from features.kernel import layout as at
from features.kernel.buckets import bucket_at, ever_at, figures_at, length_at, sketch_at
from features.kernel.checks import UNSOUND, check
from features.kernel.header import (
    LEVEL_AT,
    MAGIC,
    NO_FLOOR,
    SEQ,
    SEQ_AT,
    STATUS,
    STATUS_BYTES,
    BadRecord,
    seq_bytes,
    seq_of,
    statuses,
)
from features.kernel.layout import Memory, memory, tables
from features.kernel.plan import EntityPlan

__all__ = [
    "LEVEL_AT",
    "MAGIC",
    "SEQ",
    "SEQ_AT",
    "STATUS",
    "AttributeVersion",
    "BadRecord",
    "EverTotals",
    "Record",
    "RingEvent",
    "Tile",
    "dumps",
    "faults",
    "loads",
    "seq_bytes",
    "seq_of",
    "statuses",
]
Places = NDArray[np.int64]  # a plan as kernel/layout.py lays it out


@dataclass(frozen=True)
class RingEvent:
    """An event of the ring, with its score and outcome."""

    key: int
    time_us: int
    seq: int
    lanes: int
    values: tuple[float, ...]
    slots: tuple[int, ...]
    score: float
    outcome: int


@dataclass(frozen=True)
class AttributeVersion:
    """Attributes from event `seq` on; `time_us` is the newest event time of each source."""

    seq: int
    time_us: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class EverTotals:
    """The totals of one lane over all evicted events."""

    lane: int
    count: int
    first_us: int
    last_us: int
    value: float


@dataclass(frozen=True)
class Tile:
    """The sums of one track's evicted events in one bucket; figures that no statistic needs are 0."""

    track: int
    bucket: int
    count: int
    sum: float
    spread: float
    low: float
    high: float
    sketch: tuple[int, ...]


@dataclass(frozen=True)
class Record:
    """One entity's memory. `floor_us` is the time of the newest evicted event, None while there is none."""

    seq: int
    evicted: int
    floor_us: int | None
    status: bytes
    versions_lost: bool
    versions: tuple[AttributeVersion, ...]
    ring: tuple[RingEvent, ...]
    ever: tuple[EverTotals, ...]
    tiles: tuple[Tile, ...]

    @property
    def events(self) -> int:
        """The number of events counted since the record was last forgotten."""
        return self.evicted + len(self.ring)


def loads(plan: EntityPlan, blob: bytes) -> Record:
    """Unpack a record of this plan. Raises BadRecord."""
    p = tables(plan)
    m = memory(p)
    _unpack(p, m, blob)
    return _describe(p, m)


def faults(plan: EntityPlan, blobs: Sequence[bytes | None]) -> dict[int, str]:
    """Return, by row, the reason why a value is no record of this plan. None, no value, is no fault."""
    p = tables(plan)
    m, reasons = memory(p), {}
    for row, blob in enumerate(blobs):
        try:
            if blob is not None:
                _unpack(p, m, blob)
        except BadRecord as error:
            reasons[row] = str(error)
    return reasons


def _unpack(p: Places, m: Memory, blob: bytes) -> None:
    """Unpack a record into memory. Raises BadRecord."""
    if not blob:
        raise BadRecord("not a record: 0 bytes")
    read = np.frombuffer(blob, np.uint8)
    check(p, read, np.array([0, len(blob)]))
    if not codec.unpack(p, *m, read, 0):
        raise BadRecord(UNSOUND)


def dumps(plan: EntityPlan, record: Record) -> bytes:
    """Pack a record; `dumps(plan, loads(plan, blob)) == blob`."""
    p = tables(plan)
    m = memory(p)
    _fill(p, m, record)
    written = np.zeros(codec.size_bound(p, len(record.ring), 64 * len(record.tiles), 0), np.uint8)
    return written[: codec.pack(p, *m, written, 0, np.zeros(2, np.int64))].tobytes()


def _cut(numbers: NDArray[np.generic], start: int, length: int) -> tuple[Any, ...]:
    return tuple(numbers[start : start + length].tolist())


def _describe(p: Places, m: Memory) -> Record:
    w = m.w
    evicted = int(w[at.EVICTED])
    return Record(
        seq=int(w[at.SEQ]),
        evicted=evicted,
        floor_us=int(w[at.FLOOR]) if evicted else None,
        status=w[at.STATUS : at.STATUS + at.STATUS_WORDS].tobytes() if p[at.IS_SUBJECT] else b"",
        versions_lost=bool(w[at.LOST]),
        versions=tuple(_version(p, m, i) for i in range(w[at.VERSIONS])),
        ring=tuple(_ring_event(p, m, i) for i in range(w[at.LENGTH])),
        ever=tuple(_ever_totals(p, m, lane) for lane in _ever_lanes(p)) if evicted else (),
        tiles=tuple(_tile(p, m, k, i) for k in range(p[at.TRACKS]) for i in range(w[length_at(p, k)])),
    )


def _version(p: Places, m: Memory, i: int) -> AttributeVersion:
    return AttributeVersion(
        seq=int(m.w[at.VERSION_SEQ + i]),
        time_us=_cut(m.w, p[at.W_VERSION_TIME] + i * p[at.SOURCES], p[at.SOURCES]),
        values=_cut(m.f, p[at.F_VERSION] + i * p[at.ATTRIBUTES], p[at.ATTRIBUTES]),
    )


def _ring_event(p: Places, m: Memory, i: int) -> RingEvent:
    w, f = m
    return RingEvent(
        key=int(w[at.RING_KEY + i].view(np.uint64)),
        time_us=int(w[at.RING_TIME + i]),
        seq=int(w[at.RING_SEQ + i]),
        lanes=int(w[at.RING_LANES + i].view(np.uint64)),
        values=tuple(f[p[at.F_VALUES] + i :: at.COLUMN][: p[at.VALUES]].tolist()),
        slots=tuple(w[p[at.W_SLOTS] + i :: at.COLUMN][: p[at.DISTINCTS]].tolist()),
        score=float(f[at.RING_SCORE + i]),
        outcome=int(w[at.RING_OUTCOME + i]),
    )


def _ever_lanes(p: Places) -> tuple[int, ...]:
    return _cut(p, p[at.EVER_LANE], p[at.EVER_LANES])


def _ever_totals(p: Places, m: Memory, lane: int) -> EverTotals:
    count, first, last = _cut(m.w, ever_at(p, lane), 3)
    return EverTotals(lane, count, first, last, float(m.f[p[at.F_EVER] + lane]))


def _tile(p: Places, m: Memory, k: int, i: int) -> Tile:
    count, total, spread, low, high = _cut(m.f, figures_at(p, k) + i * at.FIGURES, at.FIGURES)
    has_sketch = p[p[at.TRACK_SKETCH] + k] >= 0
    sketch = _cut(m.w, sketch_at(p, k) + i * at.SKETCH_WORDS, at.SKETCH_WORDS) if has_sketch else ()
    return Tile(k, int(m.w[bucket_at(p, k) + i]), int(count), total, spread, low, high, sketch)


def _fill(p: Places, m: Memory, record: Record) -> None:
    w, f = m
    codec.clear(p, w)
    w[[at.SEQ, at.EVICTED, at.LENGTH]] = record.seq, record.evicted, len(record.ring)
    w[[at.VERSIONS, at.LOST]] = len(record.versions), record.versions_lost
    w[at.FLOOR] = NO_FLOOR if record.floor_us is None else record.floor_us
    w[at.STATUS : at.STATUS + at.STATUS_WORDS] = np.frombuffer(record.status or bytes(STATUS_BYTES), np.int64)
    for i, version in enumerate(record.versions):
        w[at.VERSION_SEQ + i] = version.seq
        w[p[at.W_VERSION_TIME] + i * p[at.SOURCES] :][: p[at.SOURCES]] = version.time_us
        f[p[at.F_VERSION] + i * p[at.ATTRIBUTES] :][: p[at.ATTRIBUTES]] = version.values
    for i, event in enumerate(record.ring):
        _fill_event(p, m, i, event)
    for kept in record.ever:
        w[ever_at(p, kept.lane) :][:3] = kept.count, kept.first_us, kept.last_us
        f[p[at.F_EVER] + kept.lane] = kept.value
    for tile in record.tiles:
        _fill_tile(p, m, tile)


def _fill_event(p: Places, m: Memory, i: int, event: RingEvent) -> None:
    w, f = m
    w[at.RING_KEY + i], w[at.RING_LANES + i] = np.array([event.key, event.lanes], np.uint64).view(np.int64)
    w[at.RING_TIME + i], w[at.RING_SEQ + i] = event.time_us, event.seq
    f[at.RING_SCORE + i], w[at.RING_OUTCOME + i] = event.score, event.outcome
    f[p[at.F_VALUES] + i :: at.COLUMN][: p[at.VALUES]] = event.values
    w[p[at.W_SLOTS] + i :: at.COLUMN][: p[at.DISTINCTS]] = event.slots


def _fill_tile(p: Places, m: Memory, tile: Tile) -> None:
    place = length_at(p, tile.track)
    i = int(m.w[place])
    m.w[place] += 1
    m.w[bucket_at(p, tile.track) + i] = tile.bucket
    figures = (tile.count, tile.sum, tile.spread, tile.low, tile.high)
    m.f[figures_at(p, tile.track) + i * at.FIGURES :][: at.FIGURES] = figures
    if tile.sketch:
        m.w[sketch_at(p, tile.track) + i * at.SKETCH_WORDS :][: at.SKETCH_WORDS] = tile.sketch
