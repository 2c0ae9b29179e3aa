"""Tracks: the sums of one lane by bucket, and what an event sees of them.

Within a bucket events are added by time and sequence number; that order, and nothing else, decides the bits.
"""

import numpy as np
from numba import njit
from numba.cpython.unsafe.numbers import trailing_zeros

from features.kernel.tables import (
    COUNT,
    HIGH,
    LOW,
    NEEDS_EXTREMES,
    NEEDS_SKETCH,
    NEEDS_SPREAD,
    SPREAD,
    START,
    SUM,
)

ONE = np.uint64(1)


@njit(cache=True)
def _drop_expired(table, tracks, k, bucket):
    """Make room: forget buckets that no window ending at `bucket` reaches."""
    length = tracks.length[k]
    first = 0
    while first < length and tracks.bucket[k, first] <= bucket - table.track_span[k]:
        first += 1
    sketch = table.track_sketch[k]
    for i in range(first, length):
        tracks.bucket[k, i - first] = tracks.bucket[k, i]
        tracks.figures[k, i - first] = tracks.figures[k, i]
        if sketch >= 0:
            tracks.sketch[sketch, i - first] = tracks.sketch[sketch, i]
    tracks.length[k] = length - first


@njit(cache=True)
def _place(table, tracks, k, bucket):
    """Where `bucket` stands in the track, opened if it is new."""
    if tracks.length[k] == tracks.bucket.shape[1]:
        _drop_expired(table, tracks, k, max(bucket, tracks.bucket[k, tracks.length[k] - 1]))
    i = tracks.length[k]
    while i > 0 and tracks.bucket[k, i - 1] > bucket:
        i -= 1
    if i > 0 and tracks.bucket[k, i - 1] == bucket:
        return i - 1
    sketch = table.track_sketch[k]
    for j in range(tracks.length[k], i, -1):
        tracks.bucket[k, j] = tracks.bucket[k, j - 1]
        tracks.figures[k, j] = tracks.figures[k, j - 1]
        if sketch >= 0:
            tracks.sketch[sketch, j] = tracks.sketch[sketch, j - 1]
    tracks.length[k] += 1
    tracks.bucket[k, i] = bucket
    figures = tracks.figures[k, i]
    figures[COUNT], figures[SUM], figures[SPREAD], figures[LOW], figures[HIGH] = 0.0, 0.0, 0.0, np.inf, -np.inf
    if sketch >= 0:
        tracks.sketch[sketch, i] = 0
    return i


@njit(cache=True)
def merge_spread(count, total, spread, more_count, more_total, more_spread):
    """Squared deviations of two groups taken together (Chan, Golub and LeVeque, 1979)."""
    if count == 0.0:
        return more_spread
    apart = more_total / more_count - total / count
    return spread + more_spread + apart * apart * (count * more_count / (count + more_count))


@njit(cache=True)
def _add_to_track(table, tracks, k, bucket, value, slot):
    i = _place(table, tracks, k, bucket)
    figures, needs = tracks.figures[k, i], table.track_needs[k]
    if needs & NEEDS_SPREAD:
        figures[SPREAD] = merge_spread(figures[COUNT], figures[SUM], figures[SPREAD], 1.0, value, 0.0)
    figures[COUNT] += 1.0
    figures[SUM] += value
    if needs & NEEDS_EXTREMES:
        figures[LOW], figures[HIGH] = min(figures[LOW], value), max(figures[HIGH], value)
    if needs & NEEDS_SKETCH:
        tracks.sketch[table.track_sketch[k], i, slot >> 6] |= ONE << np.uint64(slot & 63)


@njit(cache=True)
def add(table, s, tracks, ever, i):
    """Count the ring's event `i` in every lane it belongs to."""
    time, lanes = s.ring.time[i], s.ring.lanes[i]
    for h in range(len(table.hop_us)):
        bits = lanes & table.hop_lanes[h]
        if bits == 0:
            continue
        bucket = time // table.hop_us[h]
        while bits:
            lane = np.int64(trailing_zeros(bits))
            bits &= bits - ONE
            value = s.ring.values[i, table.lane_value[lane]] if table.lane_value[lane] >= 0 else 0.0
            slot = np.int64(s.ring.slots[i, table.lane_distinct[lane]]) if table.lane_distinct[lane] >= 0 else 0
            _add_to_track(table, tracks, table.lane_track[lane, h], bucket, value, slot)
    bits = lanes & table.ever_mask[0]
    while bits:
        lane = np.int64(trailing_zeros(bits))
        bits &= bits - ONE
        if ever.count[lane] == 0:
            ever.first[lane] = time
        ever.previous[lane] = ever.last[lane]
        ever.last[lane] = max(time, ever.last[lane]) if ever.count[lane] else time
        ever.first[lane] = min(time, ever.first[lane])
        if table.lane_value[lane] >= 0 and ever.last[lane] == time:
            ever.value[lane] = s.ring.values[i, table.lane_value[lane]]
        ever.count[lane] += 1


@njit(cache=True)
def gather(table, s, time, end, seq):
    """Set `sums` to what an event at `time` sees: tiles, and ring events before `end` up to `seq`."""
    s.sums.length[:] = 0
    for k in range(len(table.track_span)):
        head = time // table.hop_us[table.track_hop[k]]
        sketch = table.track_sketch[k]
        for i in range(s.tiles.length[k]):
            bucket = s.tiles.bucket[k, i]
            if head - table.track_span[k] < bucket <= head:
                j = s.sums.length[k]
                s.sums.bucket[k, j] = bucket
                s.sums.figures[k, j] = s.tiles.figures[k, i]
                if sketch >= 0:
                    s.sums.sketch[sketch, j] = s.tiles.sketch[sketch, i]
                s.sums.length[k] = j + 1
    for lane in table.ever_lanes:
        s.sum_ever.count[lane] = s.ever.count[lane]
        s.sum_ever.first[lane] = s.ever.first[lane]
        s.sum_ever.last[lane] = s.ever.last[lane]
        s.sum_ever.value[lane] = s.ever.value[lane]
    for i in range(s.head[START], end):
        if s.ring.seq[i] <= seq:
            add(table, s, s.sums, s.sum_ever, i)
