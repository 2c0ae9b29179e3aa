"""Tiles: the sums of each track over what the ring evicted, one for each bucket in which something happened.

Within a bucket, events are added in order of time and sequence number; that order alone decides the bits.
"""

import numpy as np

from features.kernel import layout as at
from features.kernel.jit import compiled

ONE = np.uint64(1)


@compiled
def length_at(p, k):
    """Return the place in w of the number of buckets of track k."""
    return p[at.W_LENGTH] + k


@compiled
def bucket_at(p, k):
    """Return the place in w of the first bucket of track k."""
    return p[at.W_BUCKET] + k * p[at.TRACK_SPACE]


@compiled
def figures_at(p, k):
    """Return the place in f of the figures of the first bucket."""
    return p[at.F_FIGURES] + k * p[at.TRACK_SPACE] * at.FIGURES


@compiled
def sketch_at(p, k):
    """Return the place in w of the first bucket's sketch; for tracks that have one."""
    return p[at.W_SKETCH] + p[p[at.TRACK_SKETCH] + k] * p[at.TRACK_SPACE] * at.SKETCH_WORDS


@compiled
def ever_at(p, lane):
    """Return the place in w of what the lane keeps over EVER."""
    return p[at.W_EVER] + lane * at.EVER_FIELDS


@compiled
def _copy_tile(p, w, f, k, i, j):
    """Copy tile i of track k to position j."""
    w[bucket_at(p, k) + j] = w[bucket_at(p, k) + i]
    a, b = figures_at(p, k) + i * at.FIGURES, figures_at(p, k) + j * at.FIGURES
    for figure in range(at.FIGURES):
        f[b + figure] = f[a + figure]
    if p[p[at.TRACK_NEEDS] + k] & at.NEEDS_SKETCH:
        a, b = sketch_at(p, k) + i * at.SKETCH_WORDS, sketch_at(p, k) + j * at.SKETCH_WORDS
        for word in range(at.SKETCH_WORDS):
            w[b + word] = w[a + word]


@compiled
def _drop_expired(p, w, f, k, bucket):
    """Drop the tiles that no window ending at `bucket` reaches."""
    length, buckets = w[length_at(p, k)], bucket_at(p, k)
    first = 0
    while first < length and w[buckets + first] <= bucket - p[p[at.TRACK_SPAN] + k]:
        first += 1
    for i in range(first, length):
        _copy_tile(p, w, f, k, i, i - first)
    w[length_at(p, k)] = length - first


@compiled
def empty_figures(f, place):
    """Set the figures at `place` to those of no event."""
    f[place + at.COUNT], f[place + at.SUM], f[place + at.SPREAD] = 0.0, 0.0, 0.0
    f[place + at.LOW], f[place + at.HIGH] = np.inf, -np.inf


@compiled
def _open_tile(p, w, f, k, i, bucket):
    """Insert an empty tile at position i; those from i on move up."""
    length = w[length_at(p, k)]
    for j in range(length, i, -1):
        _copy_tile(p, w, f, k, j - 1, j)
    w[length_at(p, k)] = length + 1
    w[bucket_at(p, k) + i] = bucket
    empty_figures(f, figures_at(p, k) + i * at.FIGURES)
    if p[p[at.TRACK_NEEDS] + k] & at.NEEDS_SKETCH:
        place = sketch_at(p, k) + i * at.SKETCH_WORDS
        for word in range(at.SKETCH_WORDS):
            w[place + word] = 0


@compiled
def _place(p, w, f, k, time):
    """Return the position of the tile of `time` in track k, which is opened if it is new."""
    buckets, hop = bucket_at(p, k), p[p[at.TRACK_HOP_US] + k]
    i = w[length_at(p, k)]
    if i > 0 and 0 <= time - w[buckets + i - 1] * hop < hop:  # the usual case, and no division
        return i - 1
    bucket = time // hop
    if i == p[at.TRACK_SPACE]:
        _drop_expired(p, w, f, k, max(bucket, w[buckets + i - 1]))
        i = w[length_at(p, k)]
    while i > 0 and w[buckets + i - 1] > bucket:
        i -= 1
    if i > 0 and w[buckets + i - 1] == bucket:
        return i - 1
    _open_tile(p, w, f, k, i, bucket)
    return i


@compiled
def merge_spread(count, total, spread, more_count, more_total, more_spread):
    """Return the squared deviations of two groups taken together (Chan, Golub and LeVeque, 1979)."""
    if count == 0.0:
        return more_spread
    apart = more_total / more_count - total / count
    return spread + more_spread + apart * apart * (count * more_count / (count + more_count))


@compiled
def value_of(p, f, lane, slot):
    """Return the value that the event at `slot` has in a lane; 0 for a lane without values."""
    column = p[p[at.LANE_VALUE] + lane]
    return f[p[at.F_VALUES] + column * at.COLUMN + slot] if column >= 0 else 0.0


@compiled
def add_value(f, place, needs, value):
    """Add an event to the figures at `place`."""
    if needs & at.NEEDS_SPREAD:
        count, total = f[place + at.COUNT], f[place + at.SUM]
        f[place + at.SPREAD] = merge_spread(count, total, f[place + at.SPREAD], 1.0, value, 0.0)
    f[place + at.COUNT] += 1.0
    f[place + at.SUM] += value
    if needs & at.NEEDS_EXTREMES:
        f[place + at.LOW], f[place + at.HIGH] = min(f[place + at.LOW], value), max(f[place + at.HIGH], value)


@compiled
def add_mark(w, place, mark):
    """Add an event to the distinct sketch at `place`."""
    word = place + (mark >> 6)
    w[word] = np.int64(np.uint64(w[word]) | (ONE << np.uint64(mark & 63)))


@compiled
def _fold_track(p, w, f, lane, k, first, end):
    """Add the lane's events of slots first to end to the tiles of track k."""
    hop, needs, buckets, figures = (
        p[p[at.TRACK_HOP_US] + k],
        p[p[at.TRACK_NEEDS] + k],
        bucket_at(p, k),
        figures_at(p, k),
    )
    column, i, begin = p[p[at.LANE_VALUE] + lane], -1, 0
    values = p[at.F_VALUES] + column * at.COLUMN
    for slot in range(first, end):
        if (w[at.RING_LANES + slot] >> lane) & 1:
            time = w[at.RING_TIME + slot]
            if i < 0 or not 0 <= time - begin < hop:
                i = _place(p, w, f, k, time)
                begin = w[buckets + i] * hop
            add_value(f, figures + i * at.FIGURES, needs, f[values + slot] if column >= 0 else 0.0)
            if needs & at.NEEDS_SKETCH:
                mark = w[p[at.W_SLOTS] + p[p[at.LANE_DISTINCT] + lane] * at.COLUMN + slot]
                add_mark(w, sketch_at(p, k) + i * at.SKETCH_WORDS, mark)


@compiled
def _add_to_ever(p, w, f, lane, slot):
    """Add the event at `slot` to what the lane keeps over EVER."""
    place, time = ever_at(p, lane), w[at.RING_TIME + slot]
    if w[place + at.EVER_COUNT] == 0:
        w[place + at.EVER_FIRST] = w[place + at.EVER_LAST] = time
    w[place + at.EVER_FIRST] = min(time, w[place + at.EVER_FIRST])
    w[place + at.EVER_COUNT] += 1
    if time >= w[place + at.EVER_LAST]:
        w[place + at.EVER_LAST] = time
        f[p[at.F_EVER] + lane] = value_of(p, f, lane, slot)


@compiled
def fold_events(p, w, f, first, end):
    """Add the events of slots first to end to the tiles of every track and lane that they belong to."""
    lanes = np.int64(0)
    for slot in range(first, end):
        lanes |= w[at.RING_LANES + slot]
    for lane in range(p[at.LANES]):
        if (lanes >> lane) & 1:
            for k in range(p[p[at.LANE_TRACKS] + lane], p[p[at.LANE_TRACKS] + lane + 1]):
                _fold_track(p, w, f, lane, k, first, end)
            if p[p[at.LANE_EVER] + lane] < p[p[at.LANE_EVER] + lane + 1]:
                for slot in range(first, end):
                    if (w[at.RING_LANES + slot] >> lane) & 1:
                        _add_to_ever(p, w, f, lane, slot)


@compiled
def expired(p, w, k):
    """Return the newest bucket of track k that no event still to come can reach."""
    return w[at.FLOOR] // p[p[at.TRACK_HOP_US] + k] - p[p[at.TRACK_SPAN] + k]
