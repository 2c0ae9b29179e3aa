"""Layout 1 of a record, compiled: pack and unpack between bytes and memory.

Little endian, every part padded to 8 bytes: header; status (subject only); attribute versions; ring in columns;
lanes over EVER; tiles. `header` declares the first two, `sections` packs the others. Records are checked (`checks`)
before they are unpacked.
"""

import numpy as np

from features.kernel import header, packing
from features.kernel import layout as at
from features.kernel.buckets import ever_at, length_at
from features.kernel.checks import ring_length
from features.kernel.jit import compiled
from features.kernel.packing import copy, fill, get_i64, get_u32, set_i64, set_u16, set_u32
from features.kernel.sections import (
    EVER_BYTES,
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

FARTHEST_US = 1 << 61  # from 1970: no real time; differences of two such still fit an int64


@compiled
def size_bound(p, ring_before, size_before, arrivals):
    """Return the most bytes that a record can have after `arrivals` more events."""
    events = ring_before + arrivals
    ring = min(events, at.RING_LIMIT)
    version = 8 + 8 * (p[at.ATTRIBUTES] + p[at.SOURCES])
    tiles = 0
    for k in range(p[at.TRACKS]):
        size = tile_bytes(p[p[at.TRACK_NEEDS] + k])
        tiles += min(max(0, events - at.RING_KEEP), p[p[at.TRACK_SPAN] + k]) * size
    if not p[at.IS_SUBJECT]:  # events that come too late go straight into tiles
        tiles += min(arrivals, 2 * p[p[at.TRACK_SPAN]]) * 64 if p[at.TRACKS] else 0
    planes = (p[at.LANES] + 7) // 8 + p[at.DISTINCTS]
    columns = 8 + ring * (8 + 8 + 4 + 8 * p[at.VALUES] + planes + 5) + 8 * (6 + p[at.VALUES])
    fixed = header.HEADER_BYTES + header.STATUS_BYTES + at.VERSIONS_LIMIT * version
    return fixed + p[at.EVER_LANES] * EVER_BYTES + columns + tiles + size_before


@compiled
def _flags(p, w, f):
    """Return the header's flags, and a bit for each value column that does not pack as hundredths."""
    lo, n = w[at.START], w[at.LENGTH]
    flags = header.VERSIONS_LOST if w[at.LOST] else 0
    if n and np.uint64(w[at.RING_TIME + lo + n - 1] - w[at.RING_TIME + lo]) >> np.uint64(48):
        flags |= header.WIDE_TIMES
    for i in range(lo, lo + n):
        if w[at.SEQ] - w[at.RING_SEQ + i] > 0xFFFF:
            flags |= header.WIDE_SEQS
    wide_values = 0
    for column in range(p[at.VALUES]):
        values = p[at.F_VALUES] + column * at.COLUMN
        if not packing.is_hundredths(f[values + lo : values + lo + n]):
            wide_values |= 1 << column
    return flags, wide_values


@compiled
def pack(p, w, f, buffer, start, starts_at):
    """Write the record at `start`, a multiple of 8, and return its end.

    `starts_at` receives where the scores and the outcomes of the ring begin (`sections.pack_ring`).
    """
    flags, wide_values = _flags(p, w, f)
    tiles, offset = 0, start + header.HEADER_BYTES
    set_u32(buffer, start, header.MAGIC_NUMBER)
    set_i64(buffer, start + header.FINGERPRINT_AT, p[at.FINGERPRINT])
    set_i64(buffer, start + header.SEQ_AT, w[at.SEQ])
    set_i64(buffer, start + header.FLOOR_AT, w[at.FLOOR])
    set_u32(buffer, start + header.EVICTED_AT, w[at.EVICTED])
    set_u16(buffer, start + header.RING_LENGTH_AT, w[at.LENGTH])
    buffer[start + header.VERSIONS_AT], buffer[start + header.FLAGS_AT] = w[at.VERSIONS], flags
    set_i64(buffer, start + header.WIDE_VALUES_AT, wide_values)
    if p[at.IS_SUBJECT]:
        status = buffer[offset : offset + header.STATUS_BYTES].view(np.int64)
        copy(w[at.STATUS : at.STATUS + at.STATUS_WORDS], status)
        offset += header.STATUS_BYTES
    offset = pack_versions(p, w, f, buffer, offset)
    offset = pack_ring(p, w, f, buffer, offset, flags, wide_values, starts_at)
    if w[at.EVICTED]:
        offset = pack_ever(p, w, f, buffer, offset)
        offset, tiles = pack_tiles(p, w, f, buffer, offset)
    set_u32(buffer, start + header.TILES_AT, tiles)
    return offset


@compiled
def clear(p, w):
    """Make the memory that of a new record."""
    w[at.START] = w[at.LENGTH] = w[at.SEQ] = w[at.EVICTED] = w[at.VERSIONS] = 0
    w[at.LOST] = w[at.TANGLED] = w[at.UNFOLDED] = w[at.RUN] = 0
    w[at.FLOOR] = header.NO_FLOOR
    fill(w[at.STATUS : at.STATUS + at.STATUS_WORDS], 0)
    for k in range(p[at.TRACKS]):
        w[length_at(p, k)] = 0
    for lane in range(p[at.LANES]):
        kept = ever_at(p, lane)
        fill(w[kept : kept + at.EVER_FIELDS], 0)


@compiled
def unpack(p, w, f, buffer, start):
    """Read the record that begins at `start`, which has been checked; return whether its ring is sound.

    Compiled code relies on it: times out of order or unknown lanes would lead it out of its memory.
    """
    clear(p, w)
    w[at.SEQ], w[at.FLOOR] = get_i64(buffer, start + header.SEQ_AT), get_i64(buffer, start + header.FLOOR_AT)
    w[at.EVICTED], w[at.LENGTH] = get_u32(buffer, start + header.EVICTED_AT), ring_length(buffer, start)
    w[at.VERSIONS], flags = buffer[start + header.VERSIONS_AT], np.int64(buffer[start + header.FLAGS_AT])
    w[at.LOST] = 1 if flags & header.VERSIONS_LOST else 0
    tiles, wide_values = (
        get_u32(buffer, start + header.TILES_AT),
        get_i64(buffer, start + header.WIDE_VALUES_AT),
    )
    offset = start + header.HEADER_BYTES
    if p[at.IS_SUBJECT]:
        status = buffer[offset : offset + header.STATUS_BYTES].view(np.int64)
        copy(status, w[at.STATUS : at.STATUS + at.STATUS_WORDS])
        offset += header.STATUS_BYTES
    offset = unpack_versions(p, w, f, buffer, offset)
    offset = unpack_ring(p, w, f, buffer, offset, flags, wide_values)
    if not _is_sound(p, w):
        return False
    if w[at.EVICTED]:
        offset = unpack_ever(p, w, f, buffer, offset)
        for _ in range(tiles):
            offset = unpack_tile(p, w, f, buffer, offset)
    return True


@compiled
def _is_sound(p, w):
    """Return whether the ring has ordered times within reach and known lanes; note whether it is TANGLED."""
    n, lanes, is_sound = w[at.LENGTH], np.int64(0), True
    if n:
        lanes = w[at.RING_LANES]
        is_sound = _is_moment(w[at.RING_TIME]) and _is_moment(w[at.RING_TIME + n - 1])
    for i in range(1, n):
        lanes |= w[at.RING_LANES + i]
        w[at.TANGLED] |= w[at.RING_SEQ + i - 1] > w[at.RING_SEQ + i]
        is_sound &= w[at.RING_TIME + i - 1] <= w[at.RING_TIME + i]
    is_sound &= p[at.LANES] > 63 or lanes >> p[at.LANES] == 0
    if w[at.EVICTED]:
        is_sound &= _is_moment(w[at.FLOOR]) and (n == 0 or w[at.FLOOR] <= w[at.RING_TIME])
    return is_sound


@compiled
def _is_moment(time):
    return -FARTHEST_US <= time <= FARTHEST_US
