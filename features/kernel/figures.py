"""Vectors out of tracks: the statistics of each cell, buckets ascending, and of each lane over EVER."""

import numpy as np
from numba import njit

from features.kernel.codec import DISTINCT_ESTIMATE
from features.kernel.tables import (
    COUNT,
    HIGH,
    LOW,
    NEEDS_EXTREMES,
    NEEDS_SPREAD,
    SKETCH_WORDS,
    SPREAD,
    SUM,
)
from features.kernel.tracks import ONE, merge_spread
from features.plan import MICROSECONDS_PER_SECOND, Statistic

C_COUNT, C_SUM, C_MEAN, C_STD, C_MIN, C_MAX, C_DISTINCT, C_LAST, C_SINCE_LAST, C_SINCE_FIRST = (
    int(statistic) for statistic in Statistic
)


@njit(cache=True)
def _bits_set(word):
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True)
def _distinct(table, s, k, first):
    bits = 0
    for word in range(SKETCH_WORDS):
        union = np.uint64(0)
        for i in range(first, s.sums.length[k]):
            union |= s.sums.sketch[table.track_sketch[k], i, word]
        bits += _bits_set(union)
    return DISTINCT_ESTIMATE[bits]


@njit(cache=True)
def _sum_cell(table, s, k, first, total):
    """Buckets from `first` on, ascending, into `total`."""
    total[COUNT], total[SUM], total[SPREAD], total[LOW], total[HIGH] = 0.0, 0.0, 0.0, np.inf, -np.inf
    needs = table.track_needs[k]
    for i in range(first, s.sums.length[k]):
        figures = s.sums.figures[k, i]
        if needs & NEEDS_SPREAD:
            total[SPREAD] = merge_spread(
                total[COUNT], total[SUM], total[SPREAD], figures[COUNT], figures[SUM], figures[SPREAD]
            )
        total[COUNT] += figures[COUNT]
        total[SUM] += figures[SUM]
        if needs & NEEDS_EXTREMES:
            total[LOW], total[HIGH] = min(total[LOW], figures[LOW]), max(total[HIGH], figures[HIGH])


@njit(cache=True)
def _figure(statistic, total):
    if statistic == C_COUNT:
        return total[COUNT]
    if statistic == C_SUM:
        return total[SUM]
    if total[COUNT] == 0.0:
        return np.nan
    if statistic == C_MEAN:
        return total[SUM] / total[COUNT]
    if statistic == C_STD:
        return np.sqrt(total[SPREAD] / total[COUNT])
    return total[LOW] if statistic == C_MIN else total[HIGH]


@njit(cache=True)
def _ever_figure(statistic, ever, lane, time, is_member):
    count = ever.count[lane]
    if statistic == C_COUNT:
        return float(count)
    earlier = count - 1 if is_member else count
    if count == 0 or (statistic == C_SINCE_LAST and earlier == 0):
        return np.nan
    if statistic == C_LAST:
        return ever.value[lane]
    if statistic == C_SINCE_FIRST:
        return (time - ever.first[lane]) / MICROSECONDS_PER_SECOND
    last = ever.previous[lane] if is_member else ever.last[lane]
    return (time - last) / MICROSECONDS_PER_SECOND


@njit(cache=True)
def read_vector(table, s, time, lanes, row, total):
    """The statistics of an event at `time`, from `sums`, where it was added last."""
    for c in range(len(table.cell_track)):
        k = table.cell_track[c]
        after = time // table.hop_us[table.track_hop[k]] - table.cell_span[c]
        first = s.sums.length[k]
        while first > 0 and s.sums.bucket[k, first - 1] > after:
            first -= 1
        _sum_cell(table, s, k, first, total)
        for o in range(table.cell_outputs[c], table.cell_outputs[c + 1]):
            statistic = table.output_statistic[o]
            row[table.output_column[o]] = (
                _distinct(table, s, k, first) if statistic == C_DISTINCT else _figure(statistic, total)
            )
    for o in range(len(table.ever_outputs)):
        lane, statistic, column = table.ever_outputs[o]
        is_member = (lanes >> np.uint64(lane)) & ONE != 0
        row[column] = _ever_figure(statistic, s.sum_ever, lane, time, is_member)
