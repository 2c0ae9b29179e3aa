"""Layout 1 of a record, compiled: pack and unpack between bytes and memory.

Little endian, every part padded to 8 bytes: header; status (subject only); attribute versions; ring in columns;
lanes over EVER; tiles. Callers check a record (`check`) before they unpack it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from features.errors import Mismatch
from features.kernel import packing as c
from features.kernel.buckets import ever_at, length_at
from features.kernel.codec_parts import (
    EVER_BYTES,
    VERSIONS_LOST,
    WIDE_SEQS,
    WIDE_TIMES,
    pack_ever,
    pack_ring,
    pack_tiles,
    pack_versions,
    tile_bytes,
    unpack_ever,
    unpack_ring,
    unpack_tile,
    unpack_versions,
)
from features.kernel.jit import compiled
from features.kernel.layout import (
    ATTRIBUTES,
    COLUMN,
    DISTINCTS,
    EVER_FIELDS,
    EVER_LANES,
    EVICTED,
    F_VALUES,
    FINGERPRINT,
    FLOOR,
    FRESH,
    IS_SUBJECT,
    LANES,
    LENGTH,
    LOST,
    RING_KEEP,
    RING_LANES,
    RING_LIMIT,
    RING_SEQ,
    RING_TIME,
    SEQ,
    SOURCES,
    START,
    STATUS_AT,
    STATUS_BYTES,
    TANGLED,
    TILES,
    TRACK_NEEDS,
    TRACK_SPAN,
    TRACKS,
    VALUES,
    VERSIONS,
    VERSIONS_LIMIT,
)
from features.kernel.packing import copy, fill, get_i64, get_u16, get_u32, pad, set_i64, set_u16, set_u32
from features.kernel.plan import SLOTS

LAYOUT_VERSION = 1
MAGIC = 0x525352 | LAYOUT_VERSION << 24  # b"RSR", then the layout version
HEADER_BYTES = 48
SEQ_AT = 12  # the compare-and-set of the stores reads these 8 bytes
MOST_EVENTS = 1 << 62  # seqs still fit an int64 when more events come
FARTHEST_US = 1 << 61  # from 1970: no real time; differences of two such still fit an int64
LEVELS = 3  # LOW, MEDIUM, HIGH; so many recommendations, too: NONE, OPEN, HELD
NO_FLOOR = np.iinfo(np.int64).min
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


class BadRecord(Mismatch):
    """A value in the store is not a record of this layout and fingerprint."""


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
        tiles += min(max(0, events - RING_KEEP), p[p[TRACK_SPAN] + k]) * tile_bytes(p[p[TRACK_NEEDS] + k])
    if not p[IS_SUBJECT]:  # events that come too late go straight into tiles
        tiles += min(arrivals, 2 * p[p[TRACK_SPAN]]) * 64 if p[TRACKS] else 0
    planes = (p[LANES] + 7) // 8 + p[DISTINCTS]
    columns = 8 + ring * (8 + 8 + 4 + 8 * p[VALUES] + planes + 5) + 8 * (6 + p[VALUES])
    fixed = HEADER_BYTES + STATUS_BYTES + VERSIONS_LIMIT * version + p[EVER_LANES] * EVER_BYTES
    return fixed + columns + tiles + size_before


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
        at += tile_bytes(p[p[TRACK_NEEDS] + track])
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
    """Write the record at `at` (a multiple of 8); returns its end. `places`: see pack_ring."""
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
    at = pack_versions(p, w, f, buffer, at)
    at = pack_ring(p, w, f, buffer, at, flags, wide_values, places)
    if w[EVICTED]:
        at = pack_ever(p, w, f, buffer, at)
        at, packed = pack_tiles(p, w, f, buffer, at)
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
    """Read the record that starts at `at`, which has been checked. Returns whether its ring is such as is written.

    Compiled code relies on it: times out of order or lanes that there are not would lead it out of its memory.
    """
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
    at = unpack_versions(p, w, f, buffer, at)
    at = unpack_ring(p, w, f, buffer, at, flags, wide_values)
    is_sound = _is_moment(w[RING_TIME]) and _is_moment(w[RING_TIME + w[LENGTH] - 1]) if w[LENGTH] else True
    lanes = w[RING_LANES] if w[LENGTH] else np.int64(0)
    for i in range(1, w[LENGTH]):
        lanes |= w[RING_LANES + i]
        w[TANGLED] |= w[RING_SEQ + i - 1] > w[RING_SEQ + i]
        is_sound &= w[RING_TIME + i - 1] <= w[RING_TIME + i]
    is_sound &= p[LANES] > 63 or lanes >> p[LANES] == 0
    if w[EVICTED]:
        is_sound &= _is_moment(w[FLOOR]) and (w[LENGTH] == 0 or w[FLOOR] <= w[RING_TIME])
    if not is_sound:
        return False
    if w[EVICTED]:
        at = unpack_ever(p, w, f, buffer, at)
        for _ in range(packed):
            at = unpack_tile(p, w, f, buffer, at)
    return True


@compiled
def _is_moment(time):
    return -FARTHEST_US <= time <= FARTHEST_US


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
        if not _is_possible(p, record) or expected_size(p, record) != len(record):
            return r
    return -1


@compiled
def _is_possible(p, record):
    """Whether seq and status are such as this program writes; what else is damaged gives other figures, no fault."""
    if not 0 <= get_i64(record, SEQ_AT) < MOST_EVENTS:
        return False
    if not p[IS_SUBJECT]:
        return True
    if len(record) < HEADER_BYTES + STATUS_BYTES:
        return False
    level, recommendation, override = record[HEADER_BYTES : HEADER_BYTES + 3]
    return level < LEVELS and recommendation < LEVELS and override < LEVELS


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
    if not _is_possible(p, np.frombuffer(blob, np.uint8)):
        return f"damaged record: {len(blob)} bytes, its seq or status cannot be"
    return f"damaged record: {len(blob)} bytes, its header says {expected_size(p, np.frombuffer(blob, np.uint8))}"


UNSOUND = (
    "damaged record: its events have times out of order or out of reach, or are filtered by what there is not"
)


def check(p: NDArray[np.int64], read: NDArray[np.uint8], read_at: NDArray[np.int64]) -> None:
    """Raise BadRecord unless every record in `read` (record i at read_at[i:i + 2]; empty: none) can be unpacked."""
    bad = _first_bad(p, read, read_at)
    if bad >= 0:
        raise BadRecord(_complaint(p, read[read_at[bad] : read_at[bad + 1]].tobytes()))
