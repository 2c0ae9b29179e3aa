"""The sections of a record behind its header: versions, ring, lanes over EVER, tiles.

Every section begins at `offset`, a multiple of 8 bytes; each `pack_*` and `unpack_*` returns where it ends.
"""

import numpy as np

from features.kernel import header, packing
from features.kernel import layout as at
from features.kernel.buckets import bucket_at, ever_at, expired, figures_at, length_at, sketch_at
from features.kernel.jit import compiled
from features.kernel.packing import copy, fill, get_i64, get_u32, pad, set_i64, set_u32

EVER_BYTES = 32  # of one lane


@compiled
def tile_bytes(needs):
    """Return the bytes of a tile with the figures that `needs` asks for."""
    size = 8
    size += 8 if needs & at.NEEDS_SUM else 0
    size += 8 if needs & at.NEEDS_SPREAD else 0
    size += 16 if needs & at.NEEDS_EXTREMES else 0
    size += at.SKETCH_WORDS * 8 if needs & at.NEEDS_SKETCH else 0
    return size


@compiled
def pack_versions(p, w, f, buffer, offset):
    """Write the versions of the attributes: seq, the time of each source, the values."""
    sources, attributes = p[at.SOURCES], p[at.ATTRIBUTES]
    for i in range(w[at.VERSIONS]):
        set_i64(buffer, offset, w[at.VERSION_SEQ + i])
        times, values = p[at.W_VERSION_TIME] + i * sources, p[at.F_VERSION] + i * attributes
        copy(w[times : times + sources], buffer[offset + 8 : offset + 8 + 8 * sources].view(np.int64))
        offset += 8 + 8 * sources
        copy(f[values : values + attributes], buffer[offset : offset + 8 * attributes].view(np.float64))
        offset += 8 * attributes
    return offset


@compiled
def unpack_versions(p, w, f, buffer, offset):
    """Read what `pack_versions` wrote."""
    sources, attributes = p[at.SOURCES], p[at.ATTRIBUTES]
    for i in range(w[at.VERSIONS]):
        w[at.VERSION_SEQ + i] = get_i64(buffer, offset)
        times, values = p[at.W_VERSION_TIME] + i * sources, p[at.F_VERSION] + i * attributes
        copy(buffer[offset + 8 : offset + 8 + 8 * sources].view(np.int64), w[times : times + sources])
        offset += 8 + 8 * sources
        copy(buffer[offset : offset + 8 * attributes].view(np.float64), f[values : values + attributes])
        offset += 8 * attributes
    return offset


@compiled
def pack_ring(p, w, f, buffer, offset, flags, wide_values, starts_at):
    """Write the ring in columns; `starts_at` receives where the scores and the outcomes begin."""
    lo, n = w[at.START], w[at.LENGTH]
    hi = lo + n
    copy(w[at.RING_KEY + lo : at.RING_KEY + hi], buffer[offset : offset + 8 * n].view(np.int64))
    offset = packing.pack_times(
        w[at.RING_TIME + lo : at.RING_TIME + hi], buffer, offset + 8 * n, flags & header.WIDE_TIMES
    )
    offset = packing.pack_ages(
        w[at.RING_SEQ + lo : at.RING_SEQ + hi], w[at.SEQ], buffer, offset, flags & header.WIDE_SEQS
    )
    for plane in range((p[at.LANES] + 7) // 8):
        for i in range(n):
            buffer[offset + i] = (w[at.RING_LANES + lo + i] >> (8 * plane)) & 0xFF
        offset += n
    for column in range(p[at.DISTINCTS]):
        for i in range(n):
            buffer[offset + i] = w[p[at.W_SLOTS] + column * at.COLUMN + lo + i]
        offset += n
    offset = pad(offset)
    for column in range(p[at.VALUES]):
        values = p[at.F_VALUES] + column * at.COLUMN
        offset = packing.pack_values(
            f[values + lo : values + hi], buffer, offset, (wide_values >> column) & 1
        )
    if p[at.IS_SUBJECT]:
        starts_at[0] = offset
        copy(f[at.RING_SCORE + lo : at.RING_SCORE + hi], buffer[offset : offset + 4 * n].view(np.float32))
        offset += pad(4 * n)
    starts_at[1] = offset
    for i in range(n):
        buffer[offset + i] = w[at.RING_OUTCOME + lo + i]
    return offset + pad(n)


@compiled
def unpack_ring(p, w, f, buffer, offset, flags, wide_values):
    """Read what `pack_ring` wrote."""
    n = w[at.LENGTH]
    copy(buffer[offset : offset + 8 * n].view(np.int64), w[at.RING_KEY : at.RING_KEY + n])
    offset = packing.unpack_times(
        w[at.RING_TIME : at.RING_TIME + n], buffer, offset + 8 * n, flags & header.WIDE_TIMES
    )
    offset = packing.unpack_ages(
        w[at.RING_SEQ : at.RING_SEQ + n], w[at.SEQ], buffer, offset, flags & header.WIDE_SEQS
    )
    fill(w[at.RING_LANES : at.RING_LANES + n], 0)
    for plane in range((p[at.LANES] + 7) // 8):
        for i in range(n):
            w[at.RING_LANES + i] |= np.int64(buffer[offset + i]) << (8 * plane)
        offset += n
    for column in range(p[at.DISTINCTS]):
        for i in range(n):
            w[p[at.W_SLOTS] + column * at.COLUMN + i] = buffer[offset + i]
        offset += n
    offset = pad(offset)
    for column in range(p[at.VALUES]):
        values = p[at.F_VALUES] + column * at.COLUMN
        offset = packing.unpack_values(f[values : values + n], buffer, offset, (wide_values >> column) & 1)
    fill(w[at.RING_ORIGIN : at.RING_ORIGIN + n], -1)
    if p[at.IS_SUBJECT]:
        copy(buffer[offset : offset + 4 * n].view(np.float32), f[at.RING_SCORE : at.RING_SCORE + n])
        offset += pad(4 * n)
    for i in range(n):
        w[at.RING_OUTCOME + i] = buffer[offset + i]
    return offset + pad(n)


@compiled
def pack_ever(p, w, f, buffer, offset):
    """Write what the lanes keep over EVER of evicted events: count, first and last time, last value."""
    for e in range(p[at.EVER_LANES]):
        lane = p[p[at.EVER_LANE] + e]
        kept = ever_at(p, lane)
        words = buffer[offset : offset + 24].view(np.int64)
        words[0], words[1], words[2] = (
            w[kept + at.EVER_COUNT],
            w[kept + at.EVER_FIRST],
            w[kept + at.EVER_LAST],
        )
        is_empty = words[0] == 0  # the value in memory is then of a record unpacked before
        buffer[offset + 24 : offset + 32].view(np.float64)[0] = 0.0 if is_empty else f[p[at.F_EVER] + lane]
        offset += EVER_BYTES
    return offset


@compiled
def unpack_ever(p, w, f, buffer, offset):
    """Read what `pack_ever` wrote."""
    for e in range(p[at.EVER_LANES]):
        lane = p[p[at.EVER_LANE] + e]
        kept = ever_at(p, lane)
        words = buffer[offset : offset + 24].view(np.int64)
        w[kept + at.EVER_COUNT], w[kept + at.EVER_FIRST], w[kept + at.EVER_LAST] = (
            words[0],
            words[1],
            words[2],
        )
        f[p[at.F_EVER] + lane] = buffer[offset + 24 : offset + 32].view(np.float64)[0]
        offset += EVER_BYTES
    return offset


@compiled
def _pack_tile(p, w, f, k, i, buffer, offset):
    """Write one tile: track, age in buckets, count, then the figures that the track needs."""
    needs, figures = p[p[at.TRACK_NEEDS] + k], figures_at(p, k) + i * at.FIGURES
    short = buffer[offset : offset + 4].view(np.uint16)
    short[0], short[1] = k, w[at.FLOOR] // p[p[at.TRACK_HOP_US] + k] - w[bucket_at(p, k) + i]
    set_u32(buffer, offset + 4, np.uint32(f[figures + at.COUNT]))
    offset += 8
    if needs & at.NEEDS_SUM:
        buffer[offset : offset + 8].view(np.float64)[0] = f[figures + at.SUM]
        offset += 8
    if needs & at.NEEDS_SPREAD:
        buffer[offset : offset + 8].view(np.float64)[0] = f[figures + at.SPREAD]
        offset += 8
    if needs & at.NEEDS_EXTREMES:
        pair = buffer[offset : offset + 16].view(np.float64)
        pair[0], pair[1] = f[figures + at.LOW], f[figures + at.HIGH]
        offset += 16
    if needs & at.NEEDS_SKETCH:
        sketch = sketch_at(p, k) + i * at.SKETCH_WORDS
        copy(
            w[sketch : sketch + at.SKETCH_WORDS], buffer[offset : offset + 8 * at.SKETCH_WORDS].view(np.int64)
        )
        offset += 8 * at.SKETCH_WORDS
    return offset


@compiled
def pack_tiles(p, w, f, buffer, offset):
    """Write the tiles that a window may still reach; return the end and their number."""
    packed = 0
    for k in range(p[at.TRACKS]):
        for i in range(w[length_at(p, k)]):
            if w[bucket_at(p, k) + i] > expired(p, w, k):
                offset = _pack_tile(p, w, f, k, i, buffer, offset)
                packed += 1
    return offset, packed


@compiled
def unpack_tile(p, w, f, buffer, offset):
    """Read one tile behind those of its track that have been read."""
    short = buffer[offset : offset + 4].view(np.uint16)
    k = np.int64(short[0])
    i = w[length_at(p, k)]
    w[length_at(p, k)] = i + 1
    w[bucket_at(p, k) + i] = w[at.FLOOR] // p[p[at.TRACK_HOP_US] + k] - short[1]
    needs, figures = p[p[at.TRACK_NEEDS] + k], figures_at(p, k) + i * at.FIGURES
    f[figures + at.COUNT], f[figures + at.SUM], f[figures + at.SPREAD] = get_u32(buffer, offset + 4), 0.0, 0.0
    offset += 8
    if needs & at.NEEDS_SUM:
        f[figures + at.SUM] = buffer[offset : offset + 8].view(np.float64)[0]
        offset += 8
    if needs & at.NEEDS_SPREAD:
        f[figures + at.SPREAD] = buffer[offset : offset + 8].view(np.float64)[0]
        offset += 8
    if needs & at.NEEDS_EXTREMES:
        pair = buffer[offset : offset + 16].view(np.float64)
        f[figures + at.LOW], f[figures + at.HIGH] = pair[0], pair[1]
        offset += 16
    if needs & at.NEEDS_SKETCH:
        sketch = sketch_at(p, k) + i * at.SKETCH_WORDS
        copy(
            buffer[offset : offset + 8 * at.SKETCH_WORDS].view(np.int64), w[sketch : sketch + at.SKETCH_WORDS]
        )
        offset += 8 * at.SKETCH_WORDS
    return offset
