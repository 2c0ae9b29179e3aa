"""Layout 1 of a record, compiled: pack and unpack between bytes and memory.

Little endian, every part padded to 8 bytes: header; status (subject only); attribute versions; ring in columns;
lanes over EVER; tiles. Callers check a record (`check`) before they unpack it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from features.kernel import columns as c
from features.kernel.columns import copy, fill, get_i64, get_u16, get_u32, pad, set_i64, set_u16, set_u32
from features.kernel.compiled import compiled
from features.kernel.tables import (
    ATTRIBUTES,
    COLUMN,
    COUNT,
    DISTINCTS,
    EVER_COUNT,
    EVER_FIELDS,
    EVER_FIRST,
    EVER_LANE,
    EVER_LANES,
    EVER_LAST,
    EVICTED,
    F_EVER,
    F_VALUES,
    F_VERSION,
    FIGURES,
    FINGERPRINT,
    FLOOR,
    FRESH,
    HIGH,
    IS_SUBJECT,
    LANES,
    LENGTH,
    LOST,
    LOW,
    NEEDS_EXTREMES,
    NEEDS_SKETCH,
    NEEDS_SPREAD,
    NEEDS_SUM,
    RING_KEEP,
    RING_KEY,
    RING_LANES,
    RING_LIMIT,
    RING_ORIGIN,
    RING_OUTCOME,
    RING_SCORE,
    RING_SEQ,
    RING_TIME,
    SEQ,
    SKETCH_WORDS,
    SOURCES,
    SPREAD,
    START,
    STATUS_AT,
    STATUS_BYTES,
    SUM,
    TANGLED,
    TILES,
    TRACK_HOP_US,
    TRACK_NEEDS,
    TRACK_SPAN,
    TRACKS,
    VALUES,
    VERSION_SEQ,
    VERSIONS,
    VERSIONS_LIMIT,
    W_SLOTS,
    W_VERSION_TIME,
)
from features.kernel.tracks import bucket_at, ever_at, expired, figures_at, length_at, sketch_at
from features.plan import SLOTS

LAYOUT_VERSION = 1
MAGIC = 0x525352 | LAYOUT_VERSION << 24  # b"RSR", then the layout version
HEADER_BYTES = 48
SEQ_AT = 12  # the compare-and-set of the stores reads these 8 bytes
NO_FLOOR = np.iinfo(np.int64).min
WIDE_TIMES, WIDE_SEQS, VERSIONS_LOST = 1, 2, 4  # flags in the header
EVER_BYTES = 32
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
    [round(-SLOTS * math.log(1 - min(bits, SLOTS - 1) / SLOTS)) for bits in range(SLOTS + 1)],
    dtype=np.float64,
)


class BadRecord(ValueError):
    """A value in the store is not a record of this layout and fingerprint."""


@compiled
def _tile_bytes(needs):
    size = 8
    size += 8 if needs & NEEDS_SUM else 0
    size += 8 if needs & NEEDS_SPREAD else 0
    size += 16 if needs & NEEDS_EXTREMES else 0
    size += SKETCH_WORDS * 8 if needs & NEEDS_SKETCH else 0
    return size


@compiled
def ring_length(buffer, at):
    """Events in the ring of the packed record at `at`."""
    return np.int64(get_u16(buffer, at + 32))


@compiled
def size_bound(p, ring_before, size_before, arrivals):
    """Most bytes that a record can have after `arrivals` more events."""
    events = ring_before + arrivals
    ring = min(events, RING_LIMIT)
    version = 8 + 8 * (p[ATTRIBUTES] + p[SOURCES])
    tiles = 0
    for k in range(p[TRACKS]):
        tiles += min(max(0, events - RING_KEEP), p[p[TRACK_SPAN] + k]) * _tile_bytes(p[p[TRACK_NEEDS] + k])
    if not p[IS_SUBJECT]:  # events that come too late go straight into tiles
        tiles += min(arrivals, 2 * p[p[TRACK_SPAN]]) * 64 if p[TRACKS] else 0
    planes = (p[LANES] + 7) // 8 + p[DISTINCTS]
    columns = 8 + ring * (8 + 8 + 4 + 8 * p[VALUES] + planes + 5) + 8 * (6 + p[VALUES])
    fixed = HEADER_BYTES + STATUS_BYTES + VERSIONS_LIMIT * version + p[EVER_LANES] * EVER_BYTES
    return fixed + columns + tiles + size_before


@compiled
def _pack_versions(p, w, f, buffer, at):
    sources, attributes = p[SOURCES], p[ATTRIBUTES]
    for i in range(w[VERSIONS]):
        set_i64(buffer, at, w[VERSION_SEQ + i])
        times, values = p[W_VERSION_TIME] + i * sources, p[F_VERSION] + i * attributes
        copy(w[times : times + sources], buffer[at + 8 : at + 8 + 8 * sources].view(np.int64))
        at += 8 + 8 * sources
        copy(f[values : values + attributes], buffer[at : at + 8 * attributes].view(np.float64))
        at += 8 * attributes
    return at


@compiled
def _unpack_versions(p, w, f, buffer, at):
    sources, attributes = p[SOURCES], p[ATTRIBUTES]
    for i in range(w[VERSIONS]):
        w[VERSION_SEQ + i] = get_i64(buffer, at)
        times, values = p[W_VERSION_TIME] + i * sources, p[F_VERSION] + i * attributes
        copy(buffer[at + 8 : at + 8 + 8 * sources].view(np.int64), w[times : times + sources])
        at += 8 + 8 * sources
        copy(buffer[at : at + 8 * attributes].view(np.float64), f[values : values + attributes])
        at += 8 * attributes
    return at


@compiled
def _pack_ring(p, w, f, buffer, at, flags, wide_values, places):
    """Columns of the ring; `places` receives where the scores and the outcomes start."""
    lo, n = w[START], w[LENGTH]
    hi = lo + n
    copy(w[RING_KEY + lo : RING_KEY + hi], buffer[at : at + 8 * n].view(np.int64))
    at = c.pack_times(w[RING_TIME + lo : RING_TIME + hi], buffer, at + 8 * n, flags & WIDE_TIMES)
    at = c.pack_ages(w[RING_SEQ + lo : RING_SEQ + hi], w[SEQ], buffer, at, flags & WIDE_SEQS)
    for plane in range((p[LANES] + 7) // 8):
        for i in range(n):
            buffer[at + i] = (w[RING_LANES + lo + i] >> (8 * plane)) & 0xFF
        at += n
    for column in range(p[DISTINCTS]):
        for i in range(n):
            buffer[at + i] = w[p[W_SLOTS] + column * COLUMN + lo + i]
        at += n
    at = pad(at)
    for column in range(p[VALUES]):
        values = p[F_VALUES] + column * COLUMN
        at = c.pack_values(f[values + lo : values + hi], buffer, at, (wide_values >> column) & 1)
    if p[IS_SUBJECT]:
        places[0] = at
        copy(f[RING_SCORE + lo : RING_SCORE + hi], buffer[at : at + 4 * n].view(np.float32))
        at += pad(4 * n)
    places[1] = at
    for i in range(n):
        buffer[at + i] = w[RING_OUTCOME + lo + i]
    return at + pad(n)


@compiled
def _unpack_ring(p, w, f, buffer, at, flags, wide_values):
    n = w[LENGTH]
    copy(buffer[at : at + 8 * n].view(np.int64), w[RING_KEY : RING_KEY + n])
    at = c.unpack_times(w[RING_TIME : RING_TIME + n], buffer, at + 8 * n, flags & WIDE_TIMES)
    at = c.unpack_ages(w[RING_SEQ : RING_SEQ + n], w[SEQ], buffer, at, flags & WIDE_SEQS)
    fill(w[RING_LANES : RING_LANES + n], 0)
    for plane in range((p[LANES] + 7) // 8):
        for i in range(n):
            w[RING_LANES + i] |= np.int64(buffer[at + i]) << (8 * plane)
        at += n
    for column in range(p[DISTINCTS]):
        for i in range(n):
            w[p[W_SLOTS] + column * COLUMN + i] = buffer[at + i]
        at += n
    at = pad(at)
    for column in range(p[VALUES]):
        values = p[F_VALUES] + column * COLUMN
        at = c.unpack_values(f[values : values + n], buffer, at, (wide_values >> column) & 1)
    fill(w[RING_ORIGIN : RING_ORIGIN + n], -1)
    if p[IS_SUBJECT]:
        copy(buffer[at : at + 4 * n].view(np.float32), f[RING_SCORE : RING_SCORE + n])
        at += pad(4 * n)
    for i in range(n):
        w[RING_OUTCOME + i] = buffer[at + i]
    return at + pad(n)


@compiled
def _pack_ever(p, w, f, buffer, at):
    for e in range(p[EVER_LANES]):
        lane = p[p[EVER_LANE] + e]
        kept = ever_at(p, TILES, lane)
        words = buffer[at : at + 24].view(np.int64)
        words[0], words[1], words[2] = w[kept + EVER_COUNT], w[kept + EVER_FIRST], w[kept + EVER_LAST]
        buffer[at + 24 : at + 32].view(np.float64)[0] = f[p[F_EVER] + lane]
        at += EVER_BYTES
    return at


@compiled
def _unpack_ever(p, w, f, buffer, at):
    for e in range(p[EVER_LANES]):
        lane = p[p[EVER_LANE] + e]
        kept = ever_at(p, TILES, lane)
        words = buffer[at : at + 24].view(np.int64)
        w[kept + EVER_COUNT], w[kept + EVER_FIRST], w[kept + EVER_LAST] = words[0], words[1], words[2]
        f[p[F_EVER] + lane] = buffer[at + 24 : at + 32].view(np.float64)[0]
        at += EVER_BYTES
    return at


@compiled
def _pack_tile(p, w, f, k, i, buffer, at):
    """Track, age in buckets, count, then the figures that the track needs."""
    needs, figures = p[p[TRACK_NEEDS] + k], figures_at(p, TILES, k) + i * FIGURES
    short = buffer[at : at + 4].view(np.uint16)
    short[0], short[1] = k, w[FLOOR] // p[p[TRACK_HOP_US] + k] - w[bucket_at(p, TILES, k) + i]
    set_u32(buffer, at + 4, np.uint32(f[figures + COUNT]))
    at += 8
    if needs & NEEDS_SUM:
        buffer[at : at + 8].view(np.float64)[0] = f[figures + SUM]
        at += 8
    if needs & NEEDS_SPREAD:
        buffer[at : at + 8].view(np.float64)[0] = f[figures + SPREAD]
        at += 8
    if needs & NEEDS_EXTREMES:
        pair = buffer[at : at + 16].view(np.float64)
        pair[0], pair[1] = f[figures + LOW], f[figures + HIGH]
        at += 16
    if needs & NEEDS_SKETCH:
        sketch = sketch_at(p, TILES, k) + i * SKETCH_WORDS
        copy(w[sketch : sketch + SKETCH_WORDS], buffer[at : at + 8 * SKETCH_WORDS].view(np.int64))
        at += 8 * SKETCH_WORDS
    return at


@compiled
def _pack_tiles(p, w, f, buffer, at):
    """Tiles that a window may still reach; returns the end and their number."""
    packed = 0
    for k in range(p[TRACKS]):
        for i in range(w[length_at(p, TILES, k)]):
            if w[bucket_at(p, TILES, k) + i] > expired(p, w, k):
                at = _pack_tile(p, w, f, k, i, buffer, at)
                packed += 1
    return at, packed


@compiled
def _unpack_tile(p, w, f, buffer, at):
    short = buffer[at : at + 4].view(np.uint16)
    k = np.int64(short[0])
    i = w[length_at(p, TILES, k)]
    w[length_at(p, TILES, k)] = i + 1
    w[bucket_at(p, TILES, k) + i] = w[FLOOR] // p[p[TRACK_HOP_US] + k] - short[1]
    needs, figures = p[p[TRACK_NEEDS] + k], figures_at(p, TILES, k) + i * FIGURES
    f[figures + COUNT], f[figures + SUM], f[figures + SPREAD] = get_u32(buffer, at + 4), 0.0, 0.0
    at += 8
    if needs & NEEDS_SUM:
        f[figures + SUM] = buffer[at : at + 8].view(np.float64)[0]
        at += 8
    if needs & NEEDS_SPREAD:
        f[figures + SPREAD] = buffer[at : at + 8].view(np.float64)[0]
        at += 8
    if needs & NEEDS_EXTREMES:
        pair = buffer[at : at + 16].view(np.float64)
        f[figures + LOW], f[figures + HIGH] = pair[0], pair[1]
        at += 16
    if needs & NEEDS_SKETCH:
        sketch = sketch_at(p, TILES, k) + i * SKETCH_WORDS
        copy(buffer[at : at + 8 * SKETCH_WORDS].view(np.int64), w[sketch : sketch + SKETCH_WORDS])
        at += 8 * SKETCH_WORDS
    return at


@compiled
def _fixed_size(p, buffer):
    """Bytes of a record before its tiles, by its header."""
    n, flags, wide_values = ring_length(buffer, 0), np.int64(buffer[35]), get_i64(buffer, 40)
    size = HEADER_BYTES + (STATUS_BYTES if p[IS_SUBJECT] else 0)
    size += buffer[34] * (8 + 8 * (p[ATTRIBUTES] + p[SOURCES]))
    size += 8 * n + 8 + pad(4 * n) + pad((4 if flags & WIDE_TIMES else 2) * n)
    size += pad((4 if flags & WIDE_SEQS else 2) * n) + pad(((p[LANES] + 7) // 8 + p[DISTINCTS]) * n)
    for column in range(p[VALUES]):
        size += 8 * n if (wide_values >> column) & 1 else pad(4 * n)
    size += pad(n) + (pad(4 * n) if p[IS_SUBJECT] else 0)
    return size + (p[EVER_LANES] * EVER_BYTES if get_u32(buffer, 28) else 0)


@compiled
def expected_size(p, buffer):
    """Bytes of the record that `buffer` starts with, by its own header and tiles; -1: it cannot be one."""
    if len(buffer) < HEADER_BYTES or ring_length(buffer, 0) > RING_LIMIT or buffer[34] > VERSIONS_LIMIT:
        return -1
    at, track, age = _fixed_size(p, buffer), -1, 0
    for _ in range(get_u32(buffer, 36)):
        if at + 8 > len(buffer):
            return -1
        before, age_before = track, age
        track, age = get_u16(buffer, at), get_u16(buffer, at + 2)
        if not (before < track < p[TRACKS] or (track == before and age < age_before)):
            return -1
        if age >= p[p[TRACK_SPAN] + track]:
            return -1
        at += _tile_bytes(p[p[TRACK_NEEDS] + track])
    return at


@compiled
def _flags(p, w, f):
    lo, n = w[START], w[LENGTH]
    flags = VERSIONS_LOST if w[LOST] else 0
    if n and np.uint64(w[RING_TIME + lo + n - 1] - w[RING_TIME + lo]) >> np.uint64(48):
        flags |= WIDE_TIMES
    for i in range(lo, lo + n):
        if w[SEQ] - w[RING_SEQ + i] > 0xFFFF:
            flags |= WIDE_SEQS
    wide_values = 0
    for column in range(p[VALUES]):
        values = p[F_VALUES] + column * COLUMN
        if not c.is_hundredths(f[values + lo : values + lo + n]):
            wide_values |= 1 << column
    return flags, wide_values


@compiled
def pack(p, w, f, buffer, at, places):
    """Write the record at `at` (a multiple of 8); returns its end. `places`: see _pack_ring."""
    flags, wide_values = _flags(p, w, f)
    header, packed = at, 0
    set_u32(buffer, at, MAGIC)
    set_i64(buffer, at + 4, p[FINGERPRINT])
    set_i64(buffer, at + SEQ_AT, w[SEQ])
    set_i64(buffer, at + 20, w[FLOOR])
    set_u32(buffer, at + 28, w[EVICTED])
    set_u16(buffer, at + 32, w[LENGTH])
    buffer[at + 34], buffer[at + 35] = w[VERSIONS], flags
    set_i64(buffer, at + 40, wide_values)
    at += HEADER_BYTES
    if p[IS_SUBJECT]:
        copy(w[STATUS_AT : STATUS_AT + STATUS_BYTES // 8], buffer[at : at + STATUS_BYTES].view(np.int64))
        at += STATUS_BYTES
    at = _pack_versions(p, w, f, buffer, at)
    at = _pack_ring(p, w, f, buffer, at, flags, wide_values, places)
    if w[EVICTED]:
        at = _pack_ever(p, w, f, buffer, at)
        at, packed = _pack_tiles(p, w, f, buffer, at)
    set_u32(buffer, header + 36, packed)
    return at


@compiled
def clear(p, w):
    """The record of an entity never seen."""
    w[START] = w[LENGTH] = w[SEQ] = w[EVICTED] = w[VERSIONS] = w[LOST] = w[TANGLED] = w[FRESH] = 0
    w[FLOOR] = NO_FLOOR
    fill(w[STATUS_AT : STATUS_AT + STATUS_BYTES // 8], 0)
    for k in range(p[TRACKS]):
        w[length_at(p, TILES, k)] = 0
    for lane in range(p[LANES]):
        kept = ever_at(p, TILES, lane)
        fill(w[kept : kept + EVER_FIELDS], 0)


@compiled
def unpack(p, w, f, buffer, at):
    """Read the record that starts at `at`. It has been checked."""
    clear(p, w)
    w[SEQ], w[FLOOR] = get_i64(buffer, at + SEQ_AT), get_i64(buffer, at + 20)
    w[EVICTED], w[LENGTH] = get_u32(buffer, at + 28), ring_length(buffer, at)
    w[VERSIONS], flags = buffer[at + 34], np.int64(buffer[at + 35])
    w[LOST] = 1 if flags & VERSIONS_LOST else 0
    packed, wide_values = get_u32(buffer, at + 36), get_i64(buffer, at + 40)
    at += HEADER_BYTES
    if p[IS_SUBJECT]:
        copy(buffer[at : at + STATUS_BYTES].view(np.int64), w[STATUS_AT : STATUS_AT + STATUS_BYTES // 8])
        at += STATUS_BYTES
    at = _unpack_versions(p, w, f, buffer, at)
    at = _unpack_ring(p, w, f, buffer, at, flags, wide_values)
    for i in range(1, w[LENGTH]):
        w[TANGLED] |= w[RING_SEQ + i - 1] > w[RING_SEQ + i]
    if w[EVICTED]:
        at = _unpack_ever(p, w, f, buffer, at)
        for _ in range(packed):
            at = _unpack_tile(p, w, f, buffer, at)


@compiled
def _first_bad(p, read, read_at):
    for r in range(len(read_at) - 1):
        record = read[read_at[r] : read_at[r + 1]]
        if len(record) == 0:
            continue
        if len(record) < HEADER_BYTES or get_u32(record, 0) != MAGIC:
            return r
        if record[4:12].view(np.uint64)[0] != np.uint64(p[FINGERPRINT]):
            return r
        if expected_size(p, record) != len(record):
            return r
    return -1


def _complaint(p: NDArray[np.int64], blob: bytes) -> str:
    if len(blob) < HEADER_BYTES or blob[:3] != b"RSR":
        return f"not a record: {len(blob)} bytes that start with {blob[:4]!r}, expected b'RSR' and a header"
    if blob[3] != LAYOUT_VERSION:
        return f"record of layout version {blob[3]}, this program reads version {LAYOUT_VERSION}"
    fingerprint, expected = int.from_bytes(blob[4:12], "little"), int(p[FINGERPRINT].view(np.uint64))
    if fingerprint != expected:
        return (
            f"record of fingerprint {fingerprint:016x}, the use case has {expected:016x}; backfill a new one"
        )
    return f"damaged record: {len(blob)} bytes, its header says {expected_size(p, np.frombuffer(blob, np.uint8))}"


def check(p: NDArray[np.int64], read: NDArray[np.uint8], read_at: NDArray[np.int64]) -> None:
    """Raise BadRecord unless every record in `read` (record i at read_at[i:i + 2]; empty: none) can be unpacked."""
    bad = _first_bad(p, read, read_at)
    if bad >= 0:
        raise BadRecord(_complaint(p, read[read_at[bad] : read_at[bad + 1]].tobytes()))
