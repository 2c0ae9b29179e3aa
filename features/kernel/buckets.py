"""Buckets: the sums of each track, in TILES (what the ring evicted) and in SUMS (what one event sees).

Within a bucket, events are added in order of time and sequence number; that order alone decides the bits. `which` is
TILES or SUMS: track k of TILES is row k, of SUMS row p[TRACKS] + k.
"""

from typing import Any

import numpy as np
from numba.cpython.unsafe import numbers

from features.kernel import layout as at
from features.kernel.jit import compiled

ONE, NO_LANES = np.uint64(1), np.uint64(0)
trailing_zeros: Any = numbers.trailing_zeros  # mypy cannot see through numba's intrinsics


@compiled
def length_at(p, which, k):
    """Return the place in w of the number of buckets of track k."""
    return p[at.W_LENGTH] + which * p[at.TRACKS] + k


@compiled
def bucket_at(p, which, k):
    """Return the place in w of the first bucket of track k."""
    return p[at.W_BUCKET] + (which * p[at.TRACKS] + k) * p[at.TRACK_SPACE]


@compiled
def figures_at(p, which, k):
    """Return the place in f of the figures of the first bucket."""
    return p[at.F_FIGURES] + (which * p[at.TRACKS] + k) * p[at.TRACK_SPACE] * at.FIGURES


@compiled
def sketch_at(p, which, k):
    """Return the place in w of the first bucket's sketch; for tracks that have one."""
    return (
        p[at.W_SKETCH]
        + (which * p[at.SKETCHES] + p[p[at.TRACK_SKETCH] + k]) * p[at.TRACK_SPACE] * at.SKETCH_WORDS
    )


@compiled
def ever_at(p, which, lane):
    """Return the place in w of what the lane keeps over EVER."""
    return p[at.W_EVER] + (which * p[at.LANES] + lane) * at.EVER_FIELDS


@compiled
def copy_bucket(p, w, f, k, source, i, target, j):
    """Copy bucket i of track k in `source` to bucket j in `target`."""
    w[bucket_at(p, target, k) + j] = w[bucket_at(p, source, k) + i]
    a, b = figures_at(p, source, k) + i * at.FIGURES, figures_at(p, target, k) + j * at.FIGURES
    for figure in range(at.FIGURES):
        f[b + figure] = f[a + figure]
    if p[p[at.TRACK_NEEDS] + k] & at.NEEDS_SKETCH:
        a, b = sketch_at(p, source, k) + i * at.SKETCH_WORDS, sketch_at(p, target, k) + j * at.SKETCH_WORDS
        for word in range(at.SKETCH_WORDS):
            w[b + word] = w[a + word]


@compiled
def _forget_cells(p, w):
    """Drop the partial sums of all cells: the buckets of SUMS have changed or moved."""
    for cell in range(p[at.W_CELL], p[at.W_CELL] + p[at.CELLS] * at.CELL_FIELDS, at.CELL_FIELDS):
        w[cell + at.CELL_FIRST] = w[cell + at.CELL_FOLDED] = 0


@compiled
def _drop_expired(p, w, f, which, k, bucket):
    """Drop the buckets that no window ending at `bucket` reaches."""
    length, buckets = w[length_at(p, which, k)], bucket_at(p, which, k)
    first = 0
    while first < length and w[buckets + first] <= bucket - p[p[at.TRACK_SPAN] + k]:
        first += 1
    for i in range(first, length):
        copy_bucket(p, w, f, k, which, i, which, i - first)
    w[length_at(p, which, k)] = length - first
    if which == at.SUMS:
        _forget_cells(p, w)


@compiled
def _open_bucket(p, w, f, which, k, i, bucket):
    """Insert an empty bucket at position i; those from i on move up."""
    length = w[length_at(p, which, k)]
    for j in range(length, i, -1):
        copy_bucket(p, w, f, k, which, j - 1, which, j)
    w[length_at(p, which, k)] = length + 1
    w[bucket_at(p, which, k) + i] = bucket
    place = figures_at(p, which, k) + i * at.FIGURES
    f[place + at.COUNT], f[place + at.SUM], f[place + at.SPREAD] = 0.0, 0.0, 0.0
    f[place + at.LOW], f[place + at.HIGH] = np.inf, -np.inf
    if p[p[at.TRACK_NEEDS] + k] & at.NEEDS_SKETCH:
        place = sketch_at(p, which, k) + i * at.SKETCH_WORDS
        for word in range(at.SKETCH_WORDS):
            w[place + word] = 0


@compiled
def _place(p, w, f, which, k, time):
    """Return the position of the bucket of `time` in track k, which is opened if it is new."""
    buckets, hop = bucket_at(p, which, k), p[p[at.TRACK_HOP_US] + k]
    i = w[length_at(p, which, k)]
    if i > 0 and 0 <= time - w[buckets + i - 1] * hop < hop:  # the usual case, and no division
        return i - 1
    bucket = time // hop
    if i == p[at.TRACK_SPACE]:
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
    """Return the squared deviations of two groups taken together (Chan, Golub and LeVeque, 1979)."""
    if count == 0.0:
        return more_spread
    apart = more_total / more_count - total / count
    return spread + more_spread + apart * apart * (count * more_count / (count + more_count))


@compiled
def _value(p, f, lane, slot):
    """Return the value that the event at `slot` has in a lane; 0 for a lane without values."""
    column = p[p[at.LANE_VALUE] + lane]
    return f[p[at.F_VALUES] + column * at.COLUMN + slot] if column >= 0 else 0.0


@compiled
def _add_to_bucket(p, w, f, which, k, i, slot):
    """Add the event at `slot` to bucket i of track k."""
    lane, needs = p[p[at.TRACK_LANE] + k], p[p[at.TRACK_NEEDS] + k]
    value, place = _value(p, f, lane, slot), figures_at(p, which, k) + i * at.FIGURES
    if needs & at.NEEDS_SPREAD:
        count, total = f[place + at.COUNT], f[place + at.SUM]
        f[place + at.SPREAD] = merge_spread(count, total, f[place + at.SPREAD], 1.0, value, 0.0)
    f[place + at.COUNT] += 1.0
    f[place + at.SUM] += value
    if needs & at.NEEDS_EXTREMES:
        f[place + at.LOW], f[place + at.HIGH] = min(f[place + at.LOW], value), max(f[place + at.HIGH], value)
    if needs & at.NEEDS_SKETCH:
        mark = w[p[at.W_SLOTS] + p[p[at.LANE_DISTINCT] + lane] * at.COLUMN + slot]
        word = sketch_at(p, which, k) + i * at.SKETCH_WORDS + (mark >> 6)
        w[word] = np.int64(np.uint64(w[word]) | (ONE << np.uint64(mark & 63)))


@compiled
def _add_to_ever(p, w, f, which, lane, time, value):
    """Add an event to what the lane keeps over EVER."""
    place = ever_at(p, which, lane)
    if w[place + at.EVER_COUNT] == 0:
        w[place + at.EVER_FIRST] = w[place + at.EVER_LAST] = time
    w[place + at.EVER_PREVIOUS] = w[place + at.EVER_LAST]
    w[place + at.EVER_FIRST] = min(time, w[place + at.EVER_FIRST])
    w[place + at.EVER_COUNT] += 1
    if time >= w[place + at.EVER_LAST]:
        w[place + at.EVER_LAST] = time
        f[p[at.F_EVER] + which * p[at.LANES] + lane] = value


@compiled
def _add_to_ever_lanes(p, w, f, which, slot):
    """Add the event at `slot` to all its lanes over EVER."""
    bits = np.uint64(w[at.RING_LANES + slot]) & np.uint64(p[at.EVER_MASK])
    while bits:
        lane = np.int64(trailing_zeros(bits))
        bits &= bits - ONE
        _add_to_ever(p, w, f, which, lane, w[at.RING_TIME + slot], _value(p, f, lane, slot))


@compiled
def add(p, w, f, which, slot):
    """Add the event at `slot` to every track and lane that it belongs to."""
    time, bits = w[at.RING_TIME + slot], np.uint64(w[at.RING_LANES + slot])
    while bits:
        lane = np.int64(trailing_zeros(bits))
        bits &= bits - ONE
        for k in range(p[p[at.LANE_TRACKS] + lane], p[p[at.LANE_TRACKS] + lane + 1]):
            _add_to_bucket(p, w, f, which, k, _place(p, w, f, which, k, time), slot)
    _add_to_ever_lanes(p, w, f, which, slot)


@compiled
def expired(p, w, k):
    """Return the newest bucket of track k that no event still to come can reach."""
    return w[at.FLOOR] // p[p[at.TRACK_HOP_US] + k] - p[p[at.TRACK_SPAN] + k]


@compiled
def _gather_tiles(p, w, f, k, time):
    """Set track k of SUMS to the tiles that windows ending at `time` reach; return when those windows begin."""
    hop, buckets, kept = p[p[at.TRACK_HOP_US] + k], bucket_at(p, at.TILES, k), 0
    head = time // hop
    after = head - p[p[at.TRACK_SPAN] + k]
    reached = after if time >= w[at.FLOOR] else max(after, expired(p, w, k))
    for i in range(w[length_at(p, at.TILES, k)]):
        if reached < w[buckets + i] <= head:
            copy_bucket(p, w, f, k, at.TILES, i, at.SUMS, kept)
            kept += 1
    w[length_at(p, at.SUMS, k)] = kept
    return (after + 1) * hop


@compiled
def _first_since(w, time, end):
    """Return the first ring slot before `end` that is not earlier than `time`."""
    low, high = w[at.START], end
    while low < high:
        middle = (low + high) // 2
        if w[at.RING_TIME + middle] < time:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _gather_ring(p, w, f, first, end, seq):
    """Add the events of slots `first` to `end` with numbers up to `seq` to the tracks whose windows reach them."""
    for slot in range(first, end):
        bits = np.uint64(w[at.RING_LANES + slot]) if w[at.RING_SEQ + slot] <= seq else NO_LANES
        while bits:
            lane = np.int64(trailing_zeros(bits))
            bits &= bits - ONE
            for k in range(p[p[at.LANE_TRACKS] + lane], p[p[at.LANE_TRACKS] + lane + 1]):
                if w[at.RING_TIME + slot] >= w[p[at.W_SINCE] + k]:
                    _add_to_bucket(
                        p, w, f, at.SUMS, k, _place(p, w, f, at.SUMS, k, w[at.RING_TIME + slot]), slot
                    )


@compiled
def gather(p, w, f, time, end, seq):
    """Set SUMS to what an event at `time` sees: tiles, and events before slot `end` with numbers up to `seq`."""
    earliest = time
    _forget_cells(p, w)
    for k in range(p[at.TRACKS]):
        w[p[at.W_SINCE] + k] = _gather_tiles(p, w, f, k, time)
        earliest = min(earliest, w[p[at.W_SINCE] + k])
    _gather_ring(p, w, f, _first_since(w, earliest, end), end, seq)
    for e in range(p[at.EVER_LANES]):
        lane = p[p[at.EVER_LANE] + e]
        for place in range(at.EVER_FIELDS):
            w[ever_at(p, at.SUMS, lane) + place] = w[ever_at(p, at.TILES, lane) + place]
        f[p[at.F_EVER] + p[at.LANES] + lane] = f[p[at.F_EVER] + lane]
    for slot in range(w[at.START] if p[at.EVER_LANES] else end, end):
        if w[at.RING_SEQ + slot] <= seq:
            _add_to_ever_lanes(p, w, f, at.SUMS, slot)
