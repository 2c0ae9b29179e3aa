"""Tracks: the sums of one lane by bucket, and what an event sees of them.

Within a bucket events are added by time and sequence number; that order, and nothing else, decides the bits.
Track k of TILES is row k, of SUMS row p[TRACKS] + k.
"""

from typing import Any

import numpy as np
from numba.cpython.unsafe import numbers

from features.kernel.jit import compiled
from features.kernel.layout import (
    CELL_FIELDS,
    CELL_FIRST,
    CELL_FOLDED,
    CELLS,
    COLUMN,
    COUNT,
    EVER_COUNT,
    EVER_FIELDS,
    EVER_FIRST,
    EVER_LANE,
    EVER_LANES,
    EVER_LAST,
    EVER_MASK,
    EVER_PREVIOUS,
    F_EVER,
    F_FIGURES,
    F_VALUES,
    FIGURES,
    FLOOR,
    HIGH,
    LANE_DISTINCT,
    LANE_TRACKS,
    LANE_VALUE,
    LANES,
    LOW,
    NEEDS_EXTREMES,
    NEEDS_SKETCH,
    NEEDS_SPREAD,
    RING_LANES,
    RING_SEQ,
    RING_TIME,
    SKETCH_WORDS,
    SKETCHES,
    SPREAD,
    START,
    SUM,
    SUMS,
    TILES,
    TRACK_HOP_US,
    TRACK_LANE,
    TRACK_NEEDS,
    TRACK_SKETCH,
    TRACK_SPACE,
    TRACK_SPAN,
    TRACKS,
    W_BUCKET,
    W_CELL,
    W_EVER,
    W_LENGTH,
    W_SINCE,
    W_SKETCH,
    W_SLOTS,
)

ONE, NO_LANES = np.uint64(1), np.uint64(0)
trailing_zeros: Any = numbers.trailing_zeros  # mypy cannot see through numba's intrinsics


@compiled
def length_at(p, which, k):
    """Place in w of the number of buckets of track k."""
    return p[W_LENGTH] + which * p[TRACKS] + k


@compiled
def bucket_at(p, which, k):
    """Place in w of the first bucket of track k."""
    return p[W_BUCKET] + (which * p[TRACKS] + k) * p[TRACK_SPACE]


@compiled
def figures_at(p, which, k):
    """Place in f of the first bucket's figures."""
    return p[F_FIGURES] + (which * p[TRACKS] + k) * p[TRACK_SPACE] * FIGURES


@compiled
def sketch_at(p, which, k):
    """Place in w of the first bucket's sketch; for tracks that have one."""
    return p[W_SKETCH] + (which * p[SKETCHES] + p[p[TRACK_SKETCH] + k]) * p[TRACK_SPACE] * SKETCH_WORDS


@compiled
def ever_at(p, which, lane):
    """Place in w of what the lane keeps over EVER."""
    return p[W_EVER] + (which * p[LANES] + lane) * EVER_FIELDS


@compiled
def copy_bucket(p, w, f, k, source, i, target, j):
    """Bucket i of track k in `source` becomes bucket j in `target` (TILES or SUMS)."""
    w[bucket_at(p, target, k) + j] = w[bucket_at(p, source, k) + i]
    a, b = figures_at(p, source, k) + i * FIGURES, figures_at(p, target, k) + j * FIGURES
    for figure in range(FIGURES):
        f[b + figure] = f[a + figure]
    if p[p[TRACK_NEEDS] + k] & NEEDS_SKETCH:
        a, b = sketch_at(p, source, k) + i * SKETCH_WORDS, sketch_at(p, target, k) + j * SKETCH_WORDS
        for word in range(SKETCH_WORDS):
            w[b + word] = w[a + word]


@compiled
def _forget_cells(p, w):
    """The buckets of SUMS are others now, or elsewhere: nothing that was read from them holds."""
    for cell in range(p[W_CELL], p[W_CELL] + p[CELLS] * CELL_FIELDS, CELL_FIELDS):
        w[cell + CELL_FIRST] = w[cell + CELL_FOLDED] = 0


@compiled
def _drop_expired(p, w, f, which, k, bucket):
    """Make room: forget buckets that no window ending at `bucket` reaches."""
    length, buckets = w[length_at(p, which, k)], bucket_at(p, which, k)
    first = 0
    while first < length and w[buckets + first] <= bucket - p[p[TRACK_SPAN] + k]:
        first += 1
    for i in range(first, length):
        copy_bucket(p, w, f, k, which, i, which, i - first)
    w[length_at(p, which, k)] = length - first
    if which == SUMS:
        _forget_cells(p, w)


@compiled
def _open_bucket(p, w, f, which, k, i, bucket):
    """A new empty bucket at position i; those from i on move up."""
    length = w[length_at(p, which, k)]
    for j in range(length, i, -1):
        copy_bucket(p, w, f, k, which, j - 1, which, j)
    w[length_at(p, which, k)] = length + 1
    w[bucket_at(p, which, k) + i] = bucket
    at = figures_at(p, which, k) + i * FIGURES
    f[at + COUNT], f[at + SUM], f[at + SPREAD], f[at + LOW], f[at + HIGH] = 0.0, 0.0, 0.0, np.inf, -np.inf
    if p[p[TRACK_NEEDS] + k] & NEEDS_SKETCH:
        at = sketch_at(p, which, k) + i * SKETCH_WORDS
        for word in range(SKETCH_WORDS):
            w[at + word] = 0


@compiled
def _place(p, w, f, which, k, time):
    """Position of the bucket of `time` in track k, opened if it is new."""
    buckets, hop = bucket_at(p, which, k), p[p[TRACK_HOP_US] + k]
    i = w[length_at(p, which, k)]
    if i > 0 and 0 <= time - w[buckets + i - 1] * hop < hop:  # the usual case, and no division
        return i - 1
    bucket = time // hop
    if i == p[TRACK_SPACE]:
        _drop_expired(p, w, f, which, k, max(bucket, w[buckets + i - 1]))
        i = w[length_at(p, which, k)]
    while i > 0 and w[buckets + i - 1] > bucket:
        i -= 1
    if i > 0 and w[buckets + i - 1] == bucket:
        return i - 1
    _open_bucket(p, w, f, which, k, i, bucket)
    return i


@compiled
def merge_spread(count, total, spread, more_count, more_total, more_spread):
    """Squared deviations of two groups taken together (Chan, Golub and LeVeque, 1979)."""
    if count == 0.0:
        return more_spread
    apart = more_total / more_count - total / count
    return spread + more_spread + apart * apart * (count * more_count / (count + more_count))


@compiled
def _value(p, f, lane, slot):
    column = p[p[LANE_VALUE] + lane]
    return f[p[F_VALUES] + column * COLUMN + slot] if column >= 0 else 0.0


@compiled
def _count(p, w, f, which, k, i, slot):
    """Add the event at ring slot `slot` to bucket i of track k."""
    lane, needs = p[p[TRACK_LANE] + k], p[p[TRACK_NEEDS] + k]
    value, at = _value(p, f, lane, slot), figures_at(p, which, k) + i * FIGURES
    if needs & NEEDS_SPREAD:
        f[at + SPREAD] = merge_spread(f[at + COUNT], f[at + SUM], f[at + SPREAD], 1.0, value, 0.0)
    f[at + COUNT] += 1.0
    f[at + SUM] += value
    if needs & NEEDS_EXTREMES:
        f[at + LOW], f[at + HIGH] = min(f[at + LOW], value), max(f[at + HIGH], value)
    if needs & NEEDS_SKETCH:
        mark = w[p[W_SLOTS] + p[p[LANE_DISTINCT] + lane] * COLUMN + slot]
        word = sketch_at(p, which, k) + i * SKETCH_WORDS + (mark >> 6)
        w[word] = np.int64(np.uint64(w[word]) | (ONE << np.uint64(mark & 63)))


@compiled
def _add_to_ever(p, w, f, which, lane, time, value):
    at = ever_at(p, which, lane)
    if w[at + EVER_COUNT] == 0:
        w[at + EVER_FIRST] = w[at + EVER_LAST] = time
    w[at + EVER_PREVIOUS] = w[at + EVER_LAST]
    w[at + EVER_FIRST] = min(time, w[at + EVER_FIRST])
    w[at + EVER_COUNT] += 1
    if time >= w[at + EVER_LAST]:
        w[at + EVER_LAST] = time
        f[p[F_EVER] + which * p[LANES] + lane] = value


@compiled
def _add_to_lasting(p, w, f, which, slot):
    bits = np.uint64(w[RING_LANES + slot]) & np.uint64(p[EVER_MASK])
    while bits:
        lane = np.int64(trailing_zeros(bits))
        bits &= bits - ONE
        _add_to_ever(p, w, f, which, lane, w[RING_TIME + slot], _value(p, f, lane, slot))


@compiled
def add(p, w, f, which, slot):
    """Count the event at `slot` in every lane it belongs to."""
    time, bits = w[RING_TIME + slot], np.uint64(w[RING_LANES + slot])
    while bits:
        lane = np.int64(trailing_zeros(bits))
        bits &= bits - ONE
        for k in range(p[p[LANE_TRACKS] + lane], p[p[LANE_TRACKS] + lane + 1]):
            _count(p, w, f, which, k, _place(p, w, f, which, k, time), slot)
    _add_to_lasting(p, w, f, which, slot)


@compiled
def expired(p, w, k):
    """The newest bucket of track k that no event still to come can reach."""
    return w[FLOOR] // p[p[TRACK_HOP_US] + k] - p[p[TRACK_SPAN] + k]


@compiled
def _gather_tiles(p, w, f, k, time):
    """Track k of SUMS becomes the tiles that windows ending at `time` reach; returns when these begin."""
    hop, buckets, kept = p[p[TRACK_HOP_US] + k], bucket_at(p, TILES, k), 0
    head = time // hop
    after = head - p[p[TRACK_SPAN] + k]
    reached = after if time >= w[FLOOR] else max(after, expired(p, w, k))
    for i in range(w[length_at(p, TILES, k)]):
        if reached < w[buckets + i] <= head:
            copy_bucket(p, w, f, k, TILES, i, SUMS, kept)
            kept += 1
    w[length_at(p, SUMS, k)] = kept
    return (after + 1) * hop


@compiled
def _first_since(w, time, end):
    """The first ring slot before `end` that is not earlier than `time`."""
    low, high = w[START], end
    while low < high:
        middle = (low + high) // 2
        if w[RING_TIME + middle] < time:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _gather_ring(p, w, f, first, end, seq):
    """Count the ring's events from slot `first` to `end`, those up to `seq`, in the tracks whose windows reach them."""
    for slot in range(first, end):
        bits = np.uint64(w[RING_LANES + slot]) if w[RING_SEQ + slot] <= seq else NO_LANES
        while bits:
            lane = np.int64(trailing_zeros(bits))
            bits &= bits - ONE
            for k in range(p[p[LANE_TRACKS] + lane], p[p[LANE_TRACKS] + lane + 1]):
                if w[RING_TIME + slot] >= w[p[W_SINCE] + k]:
                    _count(p, w, f, SUMS, k, _place(p, w, f, SUMS, k, w[RING_TIME + slot]), slot)


@compiled
def gather(p, w, f, time, end, seq):
    """Set SUMS to what an event at `time` sees: tiles, and ring events before slot `end` up to `seq`."""
    earliest = time
    _forget_cells(p, w)
    for k in range(p[TRACKS]):
        w[p[W_SINCE] + k] = _gather_tiles(p, w, f, k, time)
        earliest = min(earliest, w[p[W_SINCE] + k])
    _gather_ring(p, w, f, _first_since(w, earliest, end), end, seq)
    for e in range(p[EVER_LANES]):
        lane = p[p[EVER_LANE] + e]
        for place in range(EVER_FIELDS):
            w[ever_at(p, SUMS, lane) + place] = w[ever_at(p, TILES, lane) + place]
        f[p[F_EVER] + p[LANES] + lane] = f[p[F_EVER] + lane]
    for slot in range(w[START] if p[EVER_LANES] else end, end):
        if w[RING_SEQ + slot] <= seq:
            _add_to_lasting(p, w, f, SUMS, slot)
