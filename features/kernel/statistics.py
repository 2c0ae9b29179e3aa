"""Statistics: what SUMS gives for each cell, buckets ascending, and for each lane over EVER."""

import math

import numpy as np

from features.kernel import layout as at
from features.kernel.buckets import ONE, bucket_at, ever_at, figures_at, length_at, merge_spread, sketch_at
from features.kernel.jit import compiled
from features.kernel.plan import MICROSECONDS_PER_SECOND, SLOTS, Statistic

C_COUNT, C_SUM, C_MEAN, C_STD, C_MIN, C_MAX, C_DISTINCT, C_LAST, C_SINCE_LAST, C_SINCE_FIRST = (
    int(statistic) for statistic in Statistic
)
# linear counting (Whang et al., 1990): how many values set this many of SLOTS bits
DISTINCT_ESTIMATE = np.array(
    [round(-SLOTS * math.log(1 - min(bits, SLOTS - 1) / SLOTS)) for bits in range(SLOTS + 1)],
    dtype=np.float64,
)


@compiled
def _bits_set(word):
    """Return the number of bits set in a uint64."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _distinct(p, w, k, first, end):
    """Return the estimated number of different values in buckets first..end of track k."""
    bits, place = 0, sketch_at(p, at.SUMS, k)
    for word in range(at.SKETCH_WORDS):
        union = np.uint64(0)
        for i in range(first, end):
            union |= np.uint64(w[place + i * at.SKETCH_WORDS + word])
        bits += _bits_set(union)
    return DISTINCT_ESTIMATE[bits]


@compiled
def _with_bucket(f, place, needs, figures):
    """Return the figures of some buckets together with the one at `place`, which follows them."""
    count, total, spread, low, high = figures
    if needs & at.NEEDS_SPREAD:
        spread = merge_spread(
            count, total, spread, f[place + at.COUNT], f[place + at.SUM], f[place + at.SPREAD]
        )
    if needs & at.NEEDS_EXTREMES:
        low, high = min(low, f[place + at.LOW]), max(high, f[place + at.HIGH])
    return count + f[place + at.COUNT], total + f[place + at.SUM], spread, low, high


@compiled
def _fold_cell(p, w, f, c, after):
    """Return the figures of the buckets later than `after`, and the first of those buckets.

    Only the last bucket of SUMS still changes, so the sum of all before it is kept for the next event.
    """
    k, cell, kept = p[p[at.CELL_TRACK] + c], p[at.W_CELL] + c * at.CELL_FIELDS, p[at.F_CELL] + c * at.FIGURES
    first, folded, end = w[cell + at.CELL_FIRST], w[cell + at.CELL_FOLDED], w[length_at(p, at.SUMS, k)]
    buckets, place, needs = bucket_at(p, at.SUMS, k), figures_at(p, at.SUMS, k), p[p[at.TRACK_NEEDS] + k]
    figures = f[kept + at.COUNT], f[kept + at.SUM], f[kept + at.SPREAD], f[kept + at.LOW], f[kept + at.HIGH]
    while first < end and w[buckets + first] <= after:
        first += 1
    if first > w[cell + at.CELL_FIRST] or folded == 0:
        figures, folded = (0.0, 0.0, 0.0, np.inf, -np.inf), first
    while folded < end - 1:
        figures = _with_bucket(f, place + folded * at.FIGURES, needs, figures)
        folded += 1
    w[cell + at.CELL_FIRST], w[cell + at.CELL_FOLDED] = first, folded
    f[kept + at.COUNT], f[kept + at.SUM], f[kept + at.SPREAD], f[kept + at.LOW], f[kept + at.HIGH] = figures
    return (_with_bucket(f, place + folded * at.FIGURES, needs, figures) if folded < end else figures), first


@compiled
def _figure(statistic, count, total, spread, low, high):
    """Return one statistic of the figures of a cell; NaN if no event has a value."""
    if statistic == C_COUNT:
        return count
    if statistic == C_SUM:
        return total
    if count == 0.0:
        return np.nan
    if statistic == C_MEAN:
        return total / count
    if statistic == C_STD:
        return np.sqrt(spread / count)
    return low if statistic == C_MIN else high


@compiled
def _read_cell(p, w, f, c, time, row):
    """Write the statistics of one cell, a track over one window, into `row`."""
    k = p[p[at.CELL_TRACK] + c]
    after = time // p[p[at.TRACK_HOP_US] + k] - p[p[at.CELL_SPAN] + c]
    (count, total, spread, low, high), first = _fold_cell(p, w, f, c, after)
    for o in range(p[p[at.CELL_OUTPUTS] + c], p[p[at.CELL_OUTPUTS] + c + 1]):
        statistic, column = p[p[at.OUTPUT_STATISTIC] + o], p[p[at.OUTPUT_COLUMN] + o]
        if statistic == C_DISTINCT:
            row[column] = _distinct(p, w, k, first, w[length_at(p, at.SUMS, k)])
        else:
            row[column] = _figure(statistic, count, total, spread, low, high)


@compiled
def _ever_figure(p, w, f, lane, statistic, time, is_member):
    """Return one statistic of a lane over EVER, as an event at `time` sees it that is a member of the lane or not."""
    place = ever_at(p, at.SUMS, lane)
    count = w[place + at.EVER_COUNT]
    if statistic == C_COUNT:
        return float(count)
    if (
        count == 0
        or time < w[place + at.EVER_FIRST]
        or (statistic == C_SINCE_LAST and is_member and count == 1)
    ):
        return np.nan
    if statistic == C_LAST:
        return f[p[at.F_EVER] + p[at.LANES] + lane]
    if statistic == C_SINCE_FIRST:
        return (time - w[place + at.EVER_FIRST]) / MICROSECONDS_PER_SECOND
    last = w[place + at.EVER_PREVIOUS] if is_member else w[place + at.EVER_LAST]
    return max(0, time - last) / MICROSECONDS_PER_SECOND  # folded events may lie behind the lane's last


@compiled
def read_vector(p, w, f, slot, time, row):
    """Write the statistics of the event at ring slot `slot` into `row`. It must be the last that was added to SUMS."""
    for c in range(p[at.CELLS]):
        _read_cell(p, w, f, c, time, row)
    lanes = np.uint64(w[at.RING_LANES + slot])
    for o in range(p[at.EVER_OUTPUTS]):
        place = p[at.EVER_OUTPUT] + 3 * o
        lane, statistic, column = p[place], p[place + 1], p[place + 2]
        is_member = (lanes >> np.uint64(lane)) & ONE != 0
        row[column] = _ever_figure(p, w, f, lane, statistic, time, is_member)
