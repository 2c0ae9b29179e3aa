"""The record: everything remembered about one entity, as one value of bytes, and as plain values to read.

Compiled code works on the bytes (kernel/codec.py); `loads` and `dumps` are for people, tests and tools. Times are int64
microseconds since 1970 UTC.
"""

from dataclasses import dataclass

import numpy as np

from features.kernel import codec
from features.kernel import tables as t
from features.kernel.codec import DISTINCT_ESTIMATE, STATUS, BadRecord, check
from features.kernel.tables import Scratch, Tables, scratch, tables
from features.plan import EntityPlan

__all__ = ["DISTINCT_ESTIMATE", "STATUS", "BadRecord", "Record", "dumps", "loads", "seq_of"]

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


def seq_of(blob: bytes) -> int:
    """Number of events applied to a packed record; the version for compare-and-set."""
    return int.from_bytes(blob[codec.SEQ_AT : codec.SEQ_AT + 8], "little")


def loads(plan: EntityPlan, blob: bytes) -> Record:
    """Unpack a record of this plan. Raises BadRecord."""
    table = tables(plan)
    s, read = scratch(table), np.frombuffer(blob, np.uint8)
    check(table, read, np.array([0, len(blob)]))
    codec.unpack(table, s, read, 0)
    return _describe(table, s)


def dumps(plan: EntityPlan, record: Record) -> bytes:
    """Pack a record; `dumps(plan, loads(plan, blob)) == blob`."""
    table = tables(plan)
    s = scratch(table)
    _fill(table, s, record)
    size = codec.size_bound(table, len(record.ring), 64 * len(record.tiles), 0)
    written = np.zeros(size, np.uint8)
    return written[: codec.pack(table, s, written, 0, np.zeros(2, np.int64))].tobytes()


def _describe(table: Tables, s: Scratch) -> Record:
    head = s.head.tolist()
    return Record(
        seq=head[t.SEQ],
        evicted=head[t.EVICTED],
        floor_us=head[t.FLOOR] if head[t.EVICTED] else None,
        status=s.status.tobytes() if table.size[5] else b"",
        versions_lost=bool(head[t.LOST]),
        versions=tuple(
            Version(int(s.version_seq[i]), tuple(s.version_time[i].tolist()), tuple(s.version_values[i].tolist()))
            for i in range(head[t.VERSIONS])
        ),
        ring=tuple(_remembered(s, i) for i in range(head[t.LENGTH])),
        lasting=tuple(_lasting(s, lane) for lane in table.ever_lanes.tolist()) if head[t.EVICTED] else (),
        tiles=tuple(_tiles(table, s)),
    )


def _remembered(s: Scratch, i: int) -> Remembered:
    ring = s.ring
    return Remembered(
        key=int(ring.key[i]),
        time_us=int(ring.time[i]),
        seq=int(ring.seq[i]),
        lanes=int(ring.lanes[i]),
        values=tuple(ring.values[i].tolist()),
        slots=tuple(ring.slots[i].tolist()),
        score=float(ring.score[i]),
        outcome=int(ring.outcome[i]),
    )


def _lasting(s: Scratch, lane: int) -> Lasting:
    ever = s.ever
    return Lasting(lane, int(ever.count[lane]), int(ever.first[lane]), int(ever.last[lane]), float(ever.value[lane]))


def _tiles(table: Tables, s: Scratch) -> list[Tile]:
    return [
        Tile(
            k,
            int(s.tiles.bucket[k, i]),
            int(s.tiles.figures[k, i, t.COUNT]),
            *(float(s.tiles.figures[k, i, figure]) for figure in (t.SUM, t.SPREAD, t.LOW, t.HIGH)),
            sketch=tuple(s.tiles.sketch[sketch, i].tolist()) if (sketch := table.track_sketch[k]) >= 0 else (),
        )
        for k in range(len(table.track_span))
        for i in range(s.tiles.length[k])
    ]


def _fill(table: Tables, s: Scratch, record: Record) -> None:
    codec.clear(table, s)
    s.head[[t.SEQ, t.EVICTED, t.LENGTH, t.VERSIONS]] = (
        record.seq, record.evicted, len(record.ring), len(record.versions))  # fmt: skip
    s.head[t.FLOOR] = codec.NO_FLOOR if record.floor_us is None else record.floor_us
    s.head[t.LOST] = record.versions_lost
    s.status[: len(record.status)] = np.frombuffer(record.status, np.uint8)
    for i, version in enumerate(record.versions):
        s.version_seq[i], s.version_time[i], s.version_values[i] = version.seq, version.time_us, version.values
    for i, event in enumerate(record.ring):
        _fill_event(s, i, event)
    for kept in record.lasting:
        s.ever.count[kept.lane], s.ever.first[kept.lane], s.ever.last[kept.lane] = kept.count, kept.first_us, kept.last_us
        s.ever.value[kept.lane] = kept.value
    for tile in record.tiles:
        _fill_tile(table, s, tile)


def _fill_event(s: Scratch, i: int, event: Remembered) -> None:
    ring = s.ring
    ring.key[i], ring.time[i], ring.seq[i], ring.lanes[i] = event.key, event.time_us, event.seq, event.lanes
    ring.values[i], ring.slots[i] = event.values, event.slots
    ring.score[i], ring.outcome[i] = event.score, event.outcome


def _fill_tile(table: Tables, s: Scratch, tile: Tile) -> None:
    i = int(s.tiles.length[tile.track])
    s.tiles.length[tile.track] += 1
    s.tiles.bucket[tile.track, i] = tile.bucket
    s.tiles.figures[tile.track, i] = (tile.count, tile.sum, tile.spread, tile.low, tile.high)
    if table.track_sketch[tile.track] >= 0:
        s.tiles.sketch[table.track_sketch[tile.track], i] = tile.sketch
