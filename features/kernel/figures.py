"""Vectors out of tracks: the statistics of each cell, buckets ascending, and of each lane over EVER."""

import numpy as np

from features.kernel.codec import DISTINCT_ESTIMATE
from features.kernel.compiled import compiled
from features.kernel.tables import (
    CELL_OUTPUTS,
    CELL_SPAN,
    CELL_TRACK,
    CELLS,
    COUNT,
    EVER_COUNT,
    EVER_FIRST,
    EVER_LAST,
    EVER_OUTPUT,
    EVER_OUTPUTS,
    EVER_PREVIOUS,
    F_EVER,
    FIGURES,
    HIGH,
    LANES,
    LOW,
    NEEDS_EXTREMES,
    NEEDS_SPREAD,
    OUTPUT_COLUMN,
    OUTPUT_STATISTIC,
    RING_LANES,
    SKETCH_WORDS,
    SPREAD,
    SUM,
    SUMS,
    TRACK_HOP_US,
    TRACK_NEEDS,
)
from features.kernel.tracks import ONE, bucket_at, ever_at, figures_at, length_at, merge_spread, sketch_at
from features.plan import MICROSECONDS_PER_SECOND, Statistic

C_COUNT, C_SUM, C_MEAN, C_STD, C_MIN, C_MAX, C_DISTINCT, C_LAST, C_SINCE_LAST, C_SINCE_FIRST = (
    int(statistic) for statistic in Statistic
)


@compiled
def _bits_set(word):
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _distinct(p, w, k, first, end):
    """Estimated number of different values in buckets first..end of track k."""
    bits, at = 0, sketch_at(p, SUMS, k)
    for word in range(SKETCH_WORDS):
        union = np.uint64(0)
        for i in range(first, end):
            union |= np.uint64(w[at + i * SKETCH_WORDS + word])
        bits += _bits_set(union)
    return DISTINCT_ESTIMATE[bits]


@compiled
def _spread(f, at, end):
    """Squared deviations over the buckets whose figures stand in f[at:end]."""
    count = total = spread = 0.0
    for i in range(at, end, FIGURES):
        spread = merge_spread(count, total, spread, f[i + COUNT], f[i + SUM], f[i + SPREAD])
        count += f[i + COUNT]
        total += f[i + SUM]
    return spread


@compiled
def _figure(statistic, count, total, spread, low, high):
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
    """One track over one window."""
    k = p[p[CELL_TRACK] + c]
    after, buckets = time // p[p[TRACK_HOP_US] + k] - p[p[CELL_SPAN] + c], bucket_at(p, SUMS, k)
    end = w[length_at(p, SUMS, k)]
    first = end
    while first > 0 and w[buckets + first - 1] > after:
        first -= 1
    at, stop = figures_at(p, SUMS, k) + first * FIGURES, figures_at(p, SUMS, k) + end * FIGURES
    count, total, spread, low, high = 0.0, 0.0, 0.0, np.inf, -np.inf
    needs = p[p[TRACK_NEEDS] + k]
    for i in range(at, stop, FIGURES):
        count += f[i + COUNT]
        total += f[i + SUM]
        if needs & NEEDS_EXTREMES:
            low, high = min(low, f[i + LOW]), max(high, f[i + HIGH])
    if needs & NEEDS_SPREAD:
        spread = _spread(f, at, stop)
    for o in range(p[p[CELL_OUTPUTS] + c], p[p[CELL_OUTPUTS] + c + 1]):
        statistic, column = p[p[OUTPUT_STATISTIC] + o], p[p[OUTPUT_COLUMN] + o]
        if statistic == C_DISTINCT:
            row[column] = _distinct(p, w, k, first, end)
        else:
            row[column] = _figure(statistic, count, total, spread, low, high)


@compiled
def _ever_figure(p, w, f, lane, statistic, time, is_member):
    at = ever_at(p, SUMS, lane)
    count = w[at + EVER_COUNT]
    if statistic == C_COUNT:
        return float(count)
    if count == 0 or time < w[at + EVER_FIRST] or (statistic == C_SINCE_LAST and is_member and count == 1):
        return np.nan
    if statistic == C_LAST:
        return f[p[F_EVER] + p[LANES] + lane]
    if statistic == C_SINCE_FIRST:
        return (time - w[at + EVER_FIRST]) / MICROSECONDS_PER_SECOND
    last = w[at + EVER_PREVIOUS] if is_member else w[at + EVER_LAST]
    return max(0, time - last) / MICROSECONDS_PER_SECOND  # folded events may lie behind the lane's last


@compiled
def read_vector(p, w, f, slot, time, row):
    """The statistics of the event at ring slot `slot`, from SUMS, where it was added last."""
    for c in range(p[CELLS]):
        _read_cell(p, w, f, c, time, row)
    lanes = np.uint64(w[RING_LANES + slot])
    for o in range(p[EVER_OUTPUTS]):
        at = p[EVER_OUTPUT] + 3 * o
        lane, statistic, column = p[at], p[at + 1], p[at + 2]
        is_member = (lanes >> np.uint64(lane)) & ONE != 0
        row[column] = _ever_figure(p, w, f, lane, statistic, time, is_member)
