"""Statistics: the numbers that the figures of a cell give, and those of a lane over EVER."""

import math

import numpy as np

from features.kernel import layout as at
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
def distinct(a, b, c, d):
    """Return the estimated number of different values in a sketch of four words."""
    return DISTINCT_ESTIMATE[_bits_set(a) + _bits_set(b) + _bits_set(c) + _bits_set(d)]


@compiled
def put_statistics(p, f, needs, figures, outputs, stop, row):
    """Write the statistics of a cell's figures into a vector: outputs up to `stop`, the vector at `row`.

    NaN if no event has a value. DISTINCT has no figures; what is written for it here is replaced.
    """
    count, total, spread, low, high = figures
    f[at.STATISTICS + C_COUNT], f[at.STATISTICS + C_SUM] = count, total
    if count == 0.0:
        for statistic in range(C_MEAN, C_DISTINCT):
            f[at.STATISTICS + statistic] = np.nan
    else:
        f[at.STATISTICS + C_MEAN] = total / count
        f[at.STATISTICS + C_MIN], f[at.STATISTICS + C_MAX] = low, high
        if needs & at.NEEDS_SPREAD:
            f[at.STATISTICS + C_STD] = np.sqrt(spread / count)
    for o in range(outputs, stop):
        f[row + p[p[at.OUTPUT_COLUMN] + o]] = f[at.STATISTICS + p[p[at.OUTPUT_STATISTIC] + o]]


@compiled
def ever_figure(statistic, count, first, last, previous, value, time, is_member):
    """Return one statistic of a lane over EVER, as an event at `time` sees it that is a member of the lane or not."""
    if statistic == C_COUNT:
        return float(count)
    if count == 0 or time < first or (statistic == C_SINCE_LAST and is_member and count == 1):
        return np.nan
    if statistic == C_LAST:
        return value
    if statistic == C_SINCE_FIRST:
        return (time - first) / MICROSECONDS_PER_SECOND
    # folded events may lie behind the lane's last
    return max(0, time - (previous if is_member else last)) / MICROSECONDS_PER_SECOND
