"""Attributes: the entity's profile, in the versions that events still in the ring were scored with.

An event sets all columns of its source when it arrives, unless that source has spoken of a later time already.
"""

import numpy as np
from numba import njit

from features.kernel.tables import LENGTH, LOST, SEQ, START, VERSIONS, VERSIONS_LIMIT

NEVER = np.iinfo(np.int64).min


@njit(cache=True)
def _drop_versions(s, count):
    for i in range(count, s.head[VERSIONS]):
        s.version_seq[i - count] = s.version_seq[i]
        s.version_time[i - count] = s.version_time[i]
        s.version_values[i - count] = s.version_values[i]
    s.head[VERSIONS] -= count


@njit(cache=True)
def forget_versions(s):
    """Drop the versions that no event in the ring was scored with."""
    lo, n = s.head[START], s.head[LENGTH]
    if s.head[VERSIONS] < 2:
        return
    oldest = s.ring.seq[lo : lo + n].min() if n else s.head[SEQ]
    unused = 0
    while unused + 1 < s.head[VERSIONS] and s.version_seq[unused + 1] <= oldest:
        unused += 1
    _drop_versions(s, unused)


@njit(cache=True)
def set_attributes(table, s, arrivals, j):
    source, row, time = arrivals.source[j], arrivals.attribute_row[j], arrivals.time_us[j]
    last = s.head[VERSIONS] - 1
    if last >= 0 and time < s.version_time[last, source]:
        return
    forget_versions(s)
    if s.head[VERSIONS] == VERSIONS_LIMIT:
        _drop_versions(s, 1)
        s.head[LOST] = 1
    new = s.head[VERSIONS]
    s.version_seq[new], s.version_time[new], s.version_values[new] = s.head[SEQ], NEVER, np.nan
    if new > 0:
        s.version_time[new], s.version_values[new] = s.version_time[new - 1], s.version_values[new - 1]
    s.version_time[new, source] = time
    for column in range(table.size[3]):
        if arrivals.attribute_source[column] == source:
            s.version_values[new, column] = arrivals.attributes[row, column]
    s.head[VERSIONS] += 1


@njit(cache=True)
def read_attributes(s, seq, columns):
    """Attributes as of `seq`; False if that version is no longer known."""
    i = s.head[VERSIONS] - 1
    while i >= 0 and s.version_seq[i] > seq:
        i -= 1
    columns[:] = np.nan
    if i >= 0:
        columns[:] = s.version_values[i]
    return i >= 0 or s.head[LOST] == 0
