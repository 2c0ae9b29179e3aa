"""Layout 1 of a record, compiled: pack and unpack between bytes and scratch memory.

Little endian, every part padded to 8 bytes: header; status (subject only); attribute versions; ring in columns;
lanes over EVER; tiles. Nothing is lost in packing: a narrower form is used only where it gives the same bits
back. Callers check a record (`expected_size`) before they unpack it.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.kernel import tables as t
from features.kernel.tables import (
    EVICTED,
    FLOOR,
    HIGH,
    LENGTH,
    LOST,
    LOW,
    NEEDS_EXTREMES,
    NEEDS_SKETCH,
    NEEDS_SPREAD,
    NEEDS_SUM,
    SEQ,
    SKETCH_WORDS,
    SPREAD,
    START,
    STATUS_BYTES,
    SUM,
    TANGLED,
    VERSIONS,
    Tables,
)
from features.plan import SLOTS

LAYOUT_VERSION = 1
MAGIC = 0x525352 | LAYOUT_VERSION << 24  # b"RSR", then the layout version
HEADER_BYTES = 48
SEQ_AT = 12  # the compare-and-set of the stores reads these 8 bytes
NO_FLOOR = np.iinfo(np.int64).min
WIDE_TIMES, WIDE_SEQS, VERSIONS_LOST = 1, 2, 4  # flags in the header
EVER_BYTES = 32
HUNDREDTHS = 100.0  # money has two decimals: such a column packs into int32
NAN_HUNDREDTHS = np.int32(-(2**31))
STATUS = np.dtype(
    [
        ("level", "u1"),
        ("recommendation", "u1"),
        ("override_level", "u1"),
        ("_pad", "u1"),
        ("streak", "u4"),
        ("since_us", "i8"),
        ("cooldown_until_us", "i8"),
        ("override_until_us", "i8"),
    ]
)
# linear counting (Whang et al., 1990): how many values set this many of SLOTS bits
DISTINCT_ESTIMATE = np.array(
    [round(-SLOTS * math.log(1 - min(bits, SLOTS - 1) / SLOTS)) for bits in range(SLOTS + 1)], dtype=np.float64
)


class BadRecord(ValueError):
    """A value in the store is not a record of this layout and fingerprint."""


@njit(cache=True)
def _pad(length):
    return (length + 7) & ~7


@njit(cache=True)
def _i64(buffer, at):
    return buffer[at : at + 8].view(np.int64)


@njit(cache=True)
def _u32(buffer, at):
    return buffer[at : at + 4].view(np.uint32)


@njit(cache=True)
def _tile_bytes(needs):
    size = 8
    size += 8 if needs & NEEDS_SUM else 0
    size += 8 if needs & NEEDS_SPREAD else 0
    size += 16 if needs & NEEDS_EXTREMES else 0
    size += SKETCH_WORDS * 8 if needs & NEEDS_SKETCH else 0
    return size


@njit(cache=True)
def _ring_bytes(table, count):
    """Most bytes that a ring of so many events packs into."""
    lanes, values, distincts = table.size[0], table.size[1], table.size[2]
    planes = (lanes + 7) // 8 + distincts
    return 8 + count * (8 + 8 + 4 + 8 * values + planes + 5) + 8 * (6 + values)


@njit(cache=True)
def size_bound(table, ring_before, size_before, arrivals):
    """Most bytes that a record can have after `arrivals` more events."""
    events = ring_before + arrivals
    ring = min(events, t.RING_LIMIT)
    version = 8 + 8 * (table.size[3] + table.size[4])
    evicted = max(0, events - t.RING_KEEP)
    tiles = 0
    for k in range(len(table.track_span)):
        tiles += min(evicted, table.track_span[k]) * _tile_bytes(table.track_needs[k])
    fixed = HEADER_BYTES + STATUS_BYTES + t.VERSIONS_LIMIT * version + len(table.ever_lanes) * EVER_BYTES
    return fixed + _ring_bytes(table, ring) + tiles + size_before


@njit(cache=True)
def _pack_times(times, buffer, at, wide):
    """First time whole, then each one's distance to it, low 32 bits and high 16 (or 32) bits apart."""
    n = len(times)
    _i64(buffer, at)[0] = times[0] if n else 0
    low = buffer[at + 8 : at + 8 + 4 * n].view(np.uint32)
    at += 8 + _pad(4 * n)
    high = buffer[at : at + 4 * n].view(np.uint16)
    for i in range(n):
        distance = np.uint64(times[i] - times[0])
        low[i] = np.uint32(distance & np.uint64(0xFFFFFFFF))
        top = distance >> np.uint64(32)
        if wide:
            high[2 * i] = np.uint16(top & np.uint64(0xFFFF))
            high[2 * i + 1] = np.uint16(top >> np.uint64(16))
        else:
            high[i] = np.uint16(top)
    return at + _pad((4 if wide else 2) * n)


@njit(cache=True)
def _unpack_times(times, buffer, at, wide):
    n = len(times)
    first = _i64(buffer, at)[0]
    low = buffer[at + 8 : at + 8 + 4 * n].view(np.uint32)
    at += 8 + _pad(4 * n)
    step = 2 if wide else 1
    high = buffer[at : at + 2 * step * n].view(np.uint16)
    for i in range(n):
        top = np.uint64(high[step * i])
        if wide:
            top |= np.uint64(high[2 * i + 1]) << np.uint64(16)
        times[i] = first + np.int64((top << np.uint64(32)) | np.uint64(low[i]))
    return at + _pad(2 * step * n)


@njit(cache=True)
def _is_hundredths(column):
    """Whether every value is a whole number of hundredths that int32 holds, bit for bit (NaN is fine)."""
    for value in column:
        if np.isnan(value):
            continue
        if not abs(value) < 2e7:
            return False
        if np.round(value * HUNDREDTHS) / HUNDREDTHS != value or (value == 0 and np.signbit(value)):
            return False
    return True


@njit(cache=True)
def _pack_values(column, buffer, at, wide):
    n = len(column)
    if wide:
        buffer[at : at + 8 * n].view(np.float64)[:] = column
        return at + 8 * n
    narrow = buffer[at : at + 4 * n].view(np.int32)
    for i in range(n):
        narrow[i] = NAN_HUNDREDTHS if np.isnan(column[i]) else np.int32(np.round(column[i] * HUNDREDTHS))
    return at + _pad(4 * n)


@njit(cache=True)
def _unpack_values(column, buffer, at, wide):
    n = len(column)
    if wide:
        column[:] = buffer[at : at + 8 * n].view(np.float64)
        return at + 8 * n
    narrow = buffer[at : at + 4 * n].view(np.int32)
    for i in range(n):
        column[i] = np.nan if narrow[i] == NAN_HUNDREDTHS else narrow[i] / HUNDREDTHS
    return at + _pad(4 * n)


@njit(cache=True)
def _pack_seqs(seqs, last, buffer, at, wide):
    n = len(seqs)
    ages = buffer[at : at + 4 * n].view(np.uint16)
    for i in range(n):
        age = np.uint64(last - seqs[i])
        if wide:
            ages[2 * i] = np.uint16(age & np.uint64(0xFFFF))
            ages[2 * i + 1] = np.uint16(age >> np.uint64(16))
        else:
            ages[i] = np.uint16(age)
    return at + _pad((4 if wide else 2) * n)


@njit(cache=True)
def _unpack_seqs(seqs, last, buffer, at, wide):
    n = len(seqs)
    step = 2 if wide else 1
    ages = buffer[at : at + 2 * step * n].view(np.uint16)
    for i in range(n):
        age = np.int64(ages[step * i])
        if wide:
            age |= np.int64(ages[2 * i + 1]) << 16
        seqs[i] = last - age
    return at + _pad(2 * step * n)


@njit(cache=True)
def _pack_versions(table, s, buffer, at):
    attributes, sources = table.size[3], table.size[4]
    for i in range(s.head[VERSIONS]):
        _i64(buffer, at)[0] = s.version_seq[i]
        buffer[at + 8 : at + 8 + 8 * sources].view(np.int64)[:] = s.version_time[i]
        at += 8 + 8 * sources
        buffer[at : at + 8 * attributes].view(np.float64)[:] = s.version_values[i]
        at += 8 * attributes
    return at


@njit(cache=True)
def _unpack_versions(table, s, buffer, at):
    attributes, sources = table.size[3], table.size[4]
    for i in range(s.head[VERSIONS]):
        s.version_seq[i] = _i64(buffer, at)[0]
        s.version_time[i] = buffer[at + 8 : at + 8 + 8 * sources].view(np.int64)
        at += 8 + 8 * sources
        s.version_values[i] = buffer[at : at + 8 * attributes].view(np.float64)
        at += 8 * attributes
    return at


@njit(cache=True)
def _pack_ring(table, s, buffer, at, flags, wide_values, places):
    """Columns of the ring; `places` receives where the scores and the outcomes start."""
    lanes, values, distincts, is_subject = table.size[0], table.size[1], table.size[2], table.size[5]
    lo, n = s.head[START], s.head[LENGTH]
    hi = lo + n
    buffer[at : at + 8 * n].view(np.uint64)[:] = s.ring.key[lo:hi]
    at = _pack_times(s.ring.time[lo:hi], buffer, at + 8 * n, flags & WIDE_TIMES)
    at = _pack_seqs(s.ring.seq[lo:hi], s.head[SEQ], buffer, at, flags & WIDE_SEQS)
    for plane in range((lanes + 7) // 8):
        shift = np.uint64(8 * plane)
        for i in range(n):
            buffer[at + i] = np.uint8((s.ring.lanes[lo + i] >> shift) & np.uint64(0xFF))
        at += n
    for column in range(distincts):
        buffer[at : at + n] = s.ring.slots[lo:hi, column]
        at += n
    at = _pad(at)
    for column in range(values):
        at = _pack_values(s.ring.values[lo:hi, column], buffer, at, (wide_values >> column) & 1)
    if is_subject:
        places[0] = at
        buffer[at : at + 4 * n].view(np.float32)[:] = s.ring.score[lo:hi]
        places[1] = at = at + _pad(4 * n)
        buffer[at : at + n] = s.ring.outcome[lo:hi]
        at += _pad(n)
    return at


@njit(cache=True)
def _unpack_ring(table, s, buffer, at, flags, wide_values):
    lanes, values, distincts, is_subject = table.size[0], table.size[1], table.size[2], table.size[5]
    n = s.head[LENGTH]
    s.ring.key[:n] = buffer[at : at + 8 * n].view(np.uint64)
    at = _unpack_times(s.ring.time[:n], buffer, at + 8 * n, flags & WIDE_TIMES)
    at = _unpack_seqs(s.ring.seq[:n], s.head[SEQ], buffer, at, flags & WIDE_SEQS)
    s.ring.lanes[:n] = 0
    for plane in range((lanes + 7) // 8):
        for i in range(n):
            s.ring.lanes[i] |= np.uint64(buffer[at + i]) << np.uint64(8 * plane)
        at += n
    for column in range(distincts):
        s.ring.slots[:n, column] = buffer[at : at + n]
        at += n
    at = _pad(at)
    for column in range(values):
        at = _unpack_values(s.ring.values[:n, column], buffer, at, (wide_values >> column) & 1)
    s.ring.origin[:n] = -1
    s.ring.outcome[:n] = 0
    s.ring.score[:n] = np.nan
    if is_subject:
        s.ring.score[:n] = buffer[at : at + 4 * n].view(np.float32)
        at += _pad(4 * n)
        s.ring.outcome[:n] = buffer[at : at + n]
        at += _pad(n)
    return at


@njit(cache=True)
def _pack_ever(table, s, buffer, at):
    for lane in table.ever_lanes:
        words = buffer[at : at + 24].view(np.int64)
        words[0], words[1], words[2] = s.ever.count[lane], s.ever.first[lane], s.ever.last[lane]
        buffer[at + 24 : at + 32].view(np.float64)[0] = s.ever.value[lane]
        at += EVER_BYTES
    return at


@njit(cache=True)
def _unpack_ever(table, s, buffer, at):
    for lane in table.ever_lanes:
        words = buffer[at : at + 24].view(np.int64)
        s.ever.count[lane], s.ever.first[lane], s.ever.last[lane] = words[0], words[1], words[2]
        s.ever.value[lane] = buffer[at + 24 : at + 32].view(np.float64)[0]
        at += EVER_BYTES
    return at


@njit(cache=True)
def _pack_tiles(table, s, buffer, at):
    """Tiles that a window may still reach, each as track, age in buckets, count and what its track needs."""
    packed = 0
    for k in range(len(table.track_span)):
        needs, sketch = table.track_needs[k], table.track_sketch[k]
        floor = s.head[FLOOR] // table.hop_us[table.track_hop[k]]
        for i in range(s.tiles.length[k]):
            age = floor - s.tiles.bucket[k, i]
            if age >= table.track_span[k]:
                continue
            packed += 1
            figures = s.tiles.figures[k, i]
            short = buffer[at : at + 4].view(np.uint16)
            short[0], short[1] = k, age
            _u32(buffer, at + 4)[0] = np.uint32(figures[t.COUNT])
            at += 8
            if needs & NEEDS_SUM:
                buffer[at : at + 8].view(np.float64)[0] = figures[SUM]
                at += 8
            if needs & NEEDS_SPREAD:
                buffer[at : at + 8].view(np.float64)[0] = figures[SPREAD]
                at += 8
            if needs & NEEDS_EXTREMES:
                pair = buffer[at : at + 16].view(np.float64)
                pair[0], pair[1] = figures[LOW], figures[HIGH]
                at += 16
            if needs & NEEDS_SKETCH:
                buffer[at : at + 8 * SKETCH_WORDS].view(np.uint64)[:] = s.tiles.sketch[sketch, i]
                at += 8 * SKETCH_WORDS
    return at, packed


@njit(cache=True)
def _unpack_tiles(table, s, buffer, at, packed):
    s.tiles.length[:] = 0
    for _ in range(packed):
        short = buffer[at : at + 4].view(np.uint16)
        k = np.int64(short[0])
        needs, sketch, i = table.track_needs[k], table.track_sketch[k], s.tiles.length[k]
        s.tiles.length[k] = i + 1
        s.tiles.bucket[k, i] = s.head[FLOOR] // table.hop_us[table.track_hop[k]] - short[1]
        figures = s.tiles.figures[k, i]
        figures[t.COUNT] = _u32(buffer, at + 4)[0]
        at += 8
        if needs & NEEDS_SUM:
            figures[SUM] = buffer[at : at + 8].view(np.float64)[0]
            at += 8
        if needs & NEEDS_SPREAD:
            figures[SPREAD] = buffer[at : at + 8].view(np.float64)[0]
            at += 8
        if needs & NEEDS_EXTREMES:
            pair = buffer[at : at + 16].view(np.float64)
            figures[LOW], figures[HIGH] = pair[0], pair[1]
            at += 16
        if needs & NEEDS_SKETCH:
            s.tiles.sketch[sketch, i] = buffer[at : at + 8 * SKETCH_WORDS].view(np.uint64)
            at += 8 * SKETCH_WORDS
    return at


@njit(cache=True)
def expected_size(table, buffer):
    """Bytes of the record that `buffer` starts with, by its own header and tiles; -1: it cannot be one."""
    if len(buffer) < HEADER_BYTES:
        return -1
    n = np.int64(buffer[32:34].view(np.uint16)[0])
    flags, wide_values = np.int64(buffer[35]), _i64(buffer, 40)[0]
    at = HEADER_BYTES + (STATUS_BYTES if table.size[5] else 0)
    at += buffer[34] * (8 + 8 * (table.size[3] + table.size[4]))
    at += 8 * n + 8 + _pad(4 * n) + _pad((4 if flags & WIDE_TIMES else 2) * n)
    at += _pad((4 if flags & WIDE_SEQS else 2) * n) + _pad(((table.size[0] + 7) // 8 + table.size[2]) * n)
    for column in range(table.size[1]):
        at += 8 * n if (wide_values >> column) & 1 else _pad(4 * n)
    at += _pad(4 * n) + _pad(n) if table.size[5] else 0
    if _u32(buffer, 28)[0]:
        at += len(table.ever_lanes) * EVER_BYTES
    for _ in range(_u32(buffer, 36)[0]):
        if at + 8 > len(buffer) or buffer[at : at + 2].view(np.uint16)[0] >= len(table.track_span):
            return -1
        at += _tile_bytes(table.track_needs[buffer[at : at + 2].view(np.uint16)[0]])
    return at


@njit(cache=True)
def _flags(table, s):
    lo, n = s.head[START], s.head[LENGTH]
    flags = VERSIONS_LOST if s.head[LOST] else 0
    if n and np.uint64(s.ring.time[lo + n - 1] - s.ring.time[lo]) >> np.uint64(48):
        flags |= WIDE_TIMES
    if n and s.head[SEQ] - s.ring.seq[lo : lo + n].min() > 0xFFFF:
        flags |= WIDE_SEQS
    wide_values = np.int64(0)
    for column in range(table.size[1]):
        if not _is_hundredths(s.ring.values[lo : lo + n, column]):
            wide_values |= np.int64(1) << column
    return flags, wide_values


@njit(cache=True)
def pack(table, s, buffer, at, places):
    """Write the record at `at` (a multiple of 8); returns its end. `places`: see _pack_ring."""
    flags, wide_values = _flags(table, s)
    header = at
    _u32(buffer, at)[0] = MAGIC
    buffer[at + 4 : at + 12].view(np.uint64)[0] = table.fingerprint[0]
    _i64(buffer, at + SEQ_AT)[0] = s.head[SEQ]
    _i64(buffer, at + 20)[0] = s.head[FLOOR]
    _u32(buffer, at + 28)[0] = np.uint32(s.head[EVICTED])
    buffer[at + 32 : at + 34].view(np.uint16)[0] = s.head[LENGTH]
    buffer[at + 34], buffer[at + 35] = s.head[VERSIONS], flags
    _i64(buffer, at + 40)[0] = wide_values
    at += HEADER_BYTES
    if table.size[5]:
        buffer[at : at + STATUS_BYTES] = s.status
        at += STATUS_BYTES
    at = _pack_versions(table, s, buffer, at)
    at = _pack_ring(table, s, buffer, at, flags, wide_values, places)
    packed = 0
    if s.head[EVICTED]:
        at = _pack_ever(table, s, buffer, at)
        at, packed = _pack_tiles(table, s, buffer, at)
    _u32(buffer, header + 36)[0] = packed
    return at


@njit(cache=True)
def clear(table, s):
    """The record of an entity never seen."""
    s.head[:] = 0
    s.head[FLOOR] = NO_FLOOR
    s.status[:] = 0
    s.tiles.length[:] = 0
    s.ever.count[:] = 0


@njit(cache=True)
def unpack(table, s, buffer, at):
    """Read the record that starts at `at`; returns its end. Its header has been checked."""
    clear(table, s)
    s.head[SEQ] = _i64(buffer, at + SEQ_AT)[0]
    s.head[FLOOR] = _i64(buffer, at + 20)[0]
    s.head[EVICTED] = _u32(buffer, at + 28)[0]
    s.head[LENGTH] = buffer[at + 32 : at + 34].view(np.uint16)[0]
    s.head[VERSIONS] = buffer[at + 34]
    flags = np.int64(buffer[at + 35])
    packed = _u32(buffer, at + 36)[0]
    wide_values = _i64(buffer, at + 40)[0]
    s.head[LOST] = 1 if flags & VERSIONS_LOST else 0
    at += HEADER_BYTES
    if table.size[5]:
        s.status[:] = buffer[at : at + STATUS_BYTES]
        at += STATUS_BYTES
    at = _unpack_versions(table, s, buffer, at)
    at = _unpack_ring(table, s, buffer, at, flags, wide_values)
    for i in range(1, s.head[LENGTH]):
        s.head[TANGLED] |= s.ring.seq[i - 1] > s.ring.seq[i]
    if s.head[EVICTED]:
        at = _unpack_ever(table, s, buffer, at)
        at = _unpack_tiles(table, s, buffer, at, packed)
    return at


@njit(cache=True)
def _first_bad(table, read, read_at):
    for r in range(len(read_at) - 1):
        record = read[read_at[r] : read_at[r + 1]]
        if len(record) == 0:
            continue
        if len(record) < HEADER_BYTES or record[:4].view(np.uint32)[0] != MAGIC:
            return r
        if record[4:12].view(np.uint64)[0] != table.fingerprint[0]:
            return r
        if expected_size(table, record) != len(record):
            return r
    return -1


def _complaint(table: Tables, blob: bytes) -> str:
    if len(blob) < HEADER_BYTES or blob[:3] != b"RSR":
        return f"not a record: {len(blob)} bytes that start with {blob[:4]!r}, expected a header that starts with b'RSR'"
    if blob[3] != LAYOUT_VERSION:
        return f"record of layout version {blob[3]}, this program reads version {LAYOUT_VERSION}"
    fingerprint, expected = int.from_bytes(blob[4:12], "little"), int(table.fingerprint[0])
    if fingerprint != expected:
        return f"record of fingerprint {fingerprint:016x}, the use case has {expected:016x}; backfill a new one"
    return f"damaged record: {len(blob)} bytes, its header says {expected_size(table, np.frombuffer(blob, np.uint8))}"


def check(table: Tables, read: NDArray[np.uint8], read_at: NDArray[np.int64]) -> None:
    """Raise BadRecord unless every record in `read` (record i at read_at[i:i + 2]; empty: none) can be unpacked."""
    bad = _first_bad(table, read, read_at)
    if bad >= 0:
        raise BadRecord(_complaint(table, read[read_at[bad] : read_at[bad + 1]].tobytes()))
