"""The parts of a record between its header and its end: versions, ring, lanes over EVER, tiles.

Every part starts at a multiple of 8 bytes. Each `pack_*` returns where the part ends, and so does each `unpack_*`.
"""

import numpy as np

from features.kernel import packing as c
from features.kernel.buckets import bucket_at, ever_at, expired, figures_at, length_at, sketch_at
from features.kernel.jit import compiled
from features.kernel.layout import (
    ATTRIBUTES,
    COLUMN,
    COUNT,
    DISTINCTS,
    EVER_COUNT,
    EVER_FIRST,
    EVER_LANE,
    EVER_LANES,
    EVER_LAST,
    F_EVER,
    F_VALUES,
    F_VERSION,
    FIGURES,
    FLOOR,
    HIGH,
    IS_SUBJECT,
    LANES,
    LENGTH,
    LOW,
    NEEDS_EXTREMES,
    NEEDS_SKETCH,
    NEEDS_SPREAD,
    NEEDS_SUM,
    RING_KEY,
    RING_LANES,
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
    SUM,
    TILES,
    TRACK_HOP_US,
    TRACK_NEEDS,
    TRACKS,
    VALUES,
    VERSION_SEQ,
    VERSIONS,
    W_SLOTS,
    W_VERSION_TIME,
)
from features.kernel.packing import copy, fill, get_i64, get_u32, pad, set_i64, set_u32

WIDE_TIMES, WIDE_SEQS, VERSIONS_LOST = 1, 2, 4  # flags in the header
EVER_BYTES = 32


@compiled
def tile_bytes(needs):
    size = 8
    size += 8 if needs & NEEDS_SUM else 0
    size += 8 if needs & NEEDS_SPREAD else 0
    size += 16 if needs & NEEDS_EXTREMES else 0
    size += SKETCH_WORDS * 8 if needs & NEEDS_SKETCH else 0
    return size


@compiled
def pack_versions(p, w, f, buffer, at):
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
def unpack_versions(p, w, f, buffer, at):
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
def pack_ring(p, w, f, buffer, at, flags, wide_values, places):
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
def unpack_ring(p, w, f, buffer, at, flags, wide_values):
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
def pack_ever(p, w, f, buffer, at):
    for e in range(p[EVER_LANES]):
        lane = p[p[EVER_LANE] + e]
        kept = ever_at(p, TILES, lane)
        words = buffer[at : at + 24].view(np.int64)
        words[0], words[1], words[2] = w[kept + EVER_COUNT], w[kept + EVER_FIRST], w[kept + EVER_LAST]
        is_empty = words[0] == 0  # its value is then that of another record, unpacked before
        buffer[at + 24 : at + 32].view(np.float64)[0] = 0.0 if is_empty else f[p[F_EVER] + lane]
        at += EVER_BYTES
    return at


@compiled
def unpack_ever(p, w, f, buffer, at):
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
def pack_tiles(p, w, f, buffer, at):
    """Tiles that a window may still reach; returns the end and their number."""
    packed = 0
    for k in range(p[TRACKS]):
        for i in range(w[length_at(p, TILES, k)]):
            if w[bucket_at(p, TILES, k) + i] > expired(p, w, k):
                at = _pack_tile(p, w, f, k, i, buffer, at)
                packed += 1
    return at, packed


@compiled
def unpack_tile(p, w, f, buffer, at):
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
