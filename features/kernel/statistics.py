"""Vectors out of tracks: the statistics of each cell, buckets ascending, and of each lane over EVER."""

import numpy as np

from features.kernel.buckets import ONE, bucket_at, ever_at, figures_at, length_at, merge_spread, sketch_at
from features.kernel.codec import DISTINCT_ESTIMATE
from features.kernel.jit import compiled
from features.kernel.layout import (
    CELL_FIELDS,
    CELL_FIRST,
    CELL_FOLDED,
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
    F_CELL,
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
    W_CELL,
)
from features.kernel.plan import MICROSECONDS_PER_SECOND, Statistic

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
def _with_bucket(f, at, needs, figures):
    """Figures of some buckets and of the one at `at`, which follows them."""
    count, total, spread, low, high = figures
    if needs & NEEDS_SPREAD:
        spread = merge_spread(count, total, spread, f[at + COUNT], f[at + SUM], f[at + SPREAD])
    if needs & NEEDS_EXTREMES:
        low, high = min(low, f[at + LOW]), max(high, f[at + HIGH])
    return count + f[at + COUNT], total + f[at + SUM], spread, low, high


@compiled
def _fold_cell(p, w, f, c, after):
    """Figures of the buckets later than `after`, and the first of them; none of SUMS changes but its last.

    A sum of buckets ascending grows at its end, so what came before the last bucket is kept for the next event.
    """
    k, cell, kept = p[p[CELL_TRACK] + c], p[W_CELL] + c * CELL_FIELDS, p[F_CELL] + c * FIGURES
    first, folded, end = w[cell + CELL_FIRST], w[cell + CELL_FOLDED], w[length_at(p, SUMS, k)]
    buckets, at, needs = bucket_at(p, SUMS, k), figures_at(p, SUMS, k), p[p[TRACK_NEEDS] + k]
    figures = f[kept + COUNT], f[kept + SUM], f[kept + SPREAD], f[kept + LOW], f[kept + HIGH]
    while first < end and w[buckets + first] <= after:
        first += 1
    if first > w[cell + CELL_FIRST] or folded == 0:
        figures, folded = (0.0, 0.0, 0.0, np.inf, -np.inf), first
    while folded < end - 1:
        figures = _with_bucket(f, at + folded * FIGURES, needs, figures)
        folded += 1
    w[cell + CELL_FIRST], w[cell + CELL_FOLDED] = first, folded
    f[kept + COUNT], f[kept + SUM], f[kept + SPREAD], f[kept + LOW], f[kept + HIGH] = figures
    return (_with_bucket(f, at + folded * FIGURES, needs, figures) if folded < end else figures), first


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
    after = time // p[p[TRACK_HOP_US] + k] - p[p[CELL_SPAN] + c]
    (count, total, spread, low, high), first = _fold_cell(p, w, f, c, after)
    for o in range(p[p[CELL_OUTPUTS] + c], p[p[CELL_OUTPUTS] + c + 1]):
        statistic, column = p[p[OUTPUT_STATISTIC] + o], p[p[OUTPUT_COLUMN] + o]
        if statistic == C_DISTINCT:
            row[column] = _distinct(p, w, k, first, w[length_at(p, SUMS, k)])
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
