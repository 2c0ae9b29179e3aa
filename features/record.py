"""The record: everything remembered about one entity, as one value of bytes, and as plain values to read.

Compiled code works on the bytes (kernel/codec.py); `loads` and `dumps` are for people, tests and tools. Times are int64
microseconds since 1970 UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.kernel import codec
from features.kernel import layout as t
from features.kernel.buckets import bucket_at, ever_at, figures_at, length_at, sketch_at
from features.kernel.codec import DISTINCT_ESTIMATE, STATUS, BadRecord, check
from features.kernel.layout import Memory, memory, tables
from features.kernel.plan import EntityPlan

__all__ = ["DISTINCT_ESTIMATE", "STATUS", "BadRecord", "Record", "dumps", "loads", "seq_of", "unreadable"]
Plan = NDArray[np.int64]  # as kernel/tables.py makes it


@dataclass(frozen=True)
class Remembered:
    """An event in the ring, with the outcome it got."""

    key: int
    time_us: int
    seq: int
    lanes: int
    values: tuple[float, ...]
    slots: tuple[int, ...]
    score: float
    outcome: int


@dataclass(frozen=True)
class Version:
    """Attributes from event `seq` on; `time_us` is the newest event time of each source."""

    seq: int
    time_us: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Lasting:
    """What one lane keeps of evicted events without a window."""

    lane: int
    count: int
    first_us: int
    last_us: int
    value: float


@dataclass(frozen=True)
class Tile:
    """The evicted events of one track in one bucket; figures that no statistic needs are 0."""

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
    versions: tuple[Version, ...]
    ring: tuple[Remembered, ...]
    lasting: tuple[Lasting, ...]
    tiles: tuple[Tile, ...]

    @property
    def events(self) -> int:
        """How many events it has counted, since it was last forgotten."""
        return self.evicted + len(self.ring)


def seq_of(blob: bytes) -> int:
    """Number of the latest event applied to a packed record; the version for compare-and-set."""
    return int.from_bytes(blob[codec.SEQ_AT : codec.SEQ_AT + 8], "little")


def loads(plan: EntityPlan, blob: bytes) -> Record:
    """Unpack a record of this plan. Raises BadRecord."""
    p = tables(plan)
    m = memory(p)
    _unpack(p, m, blob)
    return _describe(p, m)


def unreadable(plan: EntityPlan, blobs: Sequence[bytes | None]) -> dict[int, str]:
    """Why each of some values is no record of this plan, by its place. None is no value, which is well."""
    p, found = tables(plan), {}
    m = memory(p)
    for place, blob in enumerate(blobs):
        try:
            if blob is not None:
                _unpack(p, m, blob)
        except BadRecord as error:
            found[place] = str(error)
    return found


def _unpack(p: Plan, m: Memory, blob: bytes) -> None:
    """Raises BadRecord."""
    if not blob:
        raise BadRecord("not a record: 0 bytes")
    read = np.frombuffer(blob, np.uint8)
    check(p, read, np.array([0, len(blob)]))
    if not codec.unpack(p, *m, read, 0):
        raise BadRecord(codec.UNSOUND)


def dumps(plan: EntityPlan, record: Record) -> bytes:
    """Pack a record; `dumps(plan, loads(plan, blob)) == blob`."""
    p = tables(plan)
    m = memory(p)
    _fill(p, m, record)
    written = np.zeros(codec.size_bound(p, len(record.ring), 64 * len(record.tiles), 0), np.uint8)
    return written[: codec.pack(p, *m, written, 0, np.zeros(2, np.int64))].tobytes()


def _cut(numbers: NDArray[np.generic], start: int, length: int) -> tuple[Any, ...]:
    return tuple(numbers[start : start + length].tolist())


def _describe(p: Plan, m: Memory) -> Record:
    w = m.w
    evicted = int(w[t.EVICTED])
    return Record(
        seq=int(w[t.SEQ]),
        evicted=evicted,
        floor_us=int(w[t.FLOOR]) if evicted else None,
        status=w[t.STATUS_AT : t.VERSION_SEQ].tobytes() if p[t.IS_SUBJECT] else b"",
        versions_lost=bool(w[t.LOST]),
        versions=tuple(_version(p, m, i) for i in range(w[t.VERSIONS])),
        ring=tuple(_remembered(p, m, i) for i in range(w[t.LENGTH])),
        lasting=tuple(_lasting(p, m, lane) for lane in _ever_lanes(p)) if evicted else (),
        tiles=tuple(
            _tile(p, m, k, i) for k in range(p[t.TRACKS]) for i in range(w[length_at(p, t.TILES, k)])
        ),
    )


def _version(p: Plan, m: Memory, i: int) -> Version:
    return Version(
        seq=int(m.w[t.VERSION_SEQ + i]),
        time_us=_cut(m.w, p[t.W_VERSION_TIME] + i * p[t.SOURCES], p[t.SOURCES]),
        values=_cut(m.f, p[t.F_VERSION] + i * p[t.ATTRIBUTES], p[t.ATTRIBUTES]),
    )


def _remembered(p: Plan, m: Memory, i: int) -> Remembered:
    w, f = m
    return Remembered(
        key=int(w[t.RING_KEY + i].view(np.uint64)),
        time_us=int(w[t.RING_TIME + i]),
        seq=int(w[t.RING_SEQ + i]),
        lanes=int(w[t.RING_LANES + i].view(np.uint64)),
        values=tuple(f[p[t.F_VALUES] + i :: t.COLUMN][: p[t.VALUES]].tolist()),
        slots=tuple(w[p[t.W_SLOTS] + i :: t.COLUMN][: p[t.DISTINCTS]].tolist()),
        score=float(f[t.RING_SCORE + i]),
        outcome=int(w[t.RING_OUTCOME + i]),
    )


def _ever_lanes(p: Plan) -> tuple[int, ...]:
    return _cut(p, p[t.EVER_LANE], p[t.EVER_LANES])


def _lasting(p: Plan, m: Memory, lane: int) -> Lasting:
    count, first, last = _cut(m.w, ever_at(p, t.TILES, lane), 3)
    return Lasting(lane, count, first, last, float(m.f[p[t.F_EVER] + lane]))


def _tile(p: Plan, m: Memory, k: int, i: int) -> Tile:
    count, total, spread, low, high = _cut(m.f, figures_at(p, t.TILES, k) + i * t.FIGURES, t.FIGURES)
    has_sketch = p[p[t.TRACK_SKETCH] + k] >= 0
    sketch = _cut(m.w, sketch_at(p, t.TILES, k) + i * t.SKETCH_WORDS, t.SKETCH_WORDS) if has_sketch else ()
    return Tile(k, int(m.w[bucket_at(p, t.TILES, k) + i]), int(count), total, spread, low, high, sketch)


def _fill(p: Plan, m: Memory, record: Record) -> None:
    w, f = m
    codec.clear(p, w)
    w[[t.SEQ, t.EVICTED, t.LENGTH]] = record.seq, record.evicted, len(record.ring)
    w[[t.VERSIONS, t.LOST]] = len(record.versions), record.versions_lost
    w[t.FLOOR] = codec.NO_FLOOR if record.floor_us is None else record.floor_us
    w[t.STATUS_AT : t.VERSION_SEQ] = np.frombuffer(record.status or bytes(t.STATUS_BYTES), np.int64)
    for i, version in enumerate(record.versions):
        w[t.VERSION_SEQ + i] = version.seq
        w[p[t.W_VERSION_TIME] + i * p[t.SOURCES] :][: p[t.SOURCES]] = version.time_us
        f[p[t.F_VERSION] + i * p[t.ATTRIBUTES] :][: p[t.ATTRIBUTES]] = version.values
    for i, event in enumerate(record.ring):
        _fill_event(p, m, i, event)
    for kept in record.lasting:
        w[ever_at(p, t.TILES, kept.lane) :][:3] = kept.count, kept.first_us, kept.last_us
        f[p[t.F_EVER] + kept.lane] = kept.value
    for tile in record.tiles:
        _fill_tile(p, m, tile)


def _fill_event(p: Plan, m: Memory, i: int, event: Remembered) -> None:
    w, f = m
    w[t.RING_KEY + i], w[t.RING_LANES + i] = np.array([event.key, event.lanes], np.uint64).view(np.int64)
    w[t.RING_TIME + i], w[t.RING_SEQ + i] = event.time_us, event.seq
    f[t.RING_SCORE + i], w[t.RING_OUTCOME + i] = event.score, event.outcome
    f[p[t.F_VALUES] + i :: t.COLUMN][: p[t.VALUES]] = event.values
    w[p[t.W_SLOTS] + i :: t.COLUMN][: p[t.DISTINCTS]] = event.slots


def _fill_tile(p: Plan, m: Memory, tile: Tile) -> None:
    place = length_at(p, t.TILES, tile.track)
    i = int(m.w[place])
    m.w[place] += 1
    m.w[bucket_at(p, t.TILES, tile.track) + i] = tile.bucket
    figures = (tile.count, tile.sum, tile.spread, tile.low, tile.high)
    m.f[figures_at(p, t.TILES, tile.track) + i * t.FIGURES :][: t.FIGURES] = figures
    if tile.sketch:
        m.w[sketch_at(p, t.TILES, tile.track) + i * t.SKETCH_WORDS :][: t.SKETCH_WORDS] = tile.sketch
