"""The ring: the latest events whole, ordered by time and sequence number, and what leaves it.

An event stays while it is among the last RING_KEEP or within the lateness, RING_LIMIT at most. The oldest leaves
first, into the tiles; from then on nothing at or before its time is taken.
"""

import numpy as np
from numba import njit

from features.kernel.tables import (
    EVICTED,
    FLOOR,
    LENGTH,
    RING_KEEP,
    RING_LIMIT,
    RING_SPACE,
    SEQ,
    START,
    TANGLED,
)
from features.kernel.tracks import add

INEXACT = np.uint8(0x80)  # the kernel's bit of an outcome: the vector can no longer be recomputed


@njit(cache=True)
def find(s, key):
    """Position of the event with this key, or -1. Looks without branching first: most keys are new."""
    lo, hi = s.head[START], s.head[START] + s.head[LENGTH]
    hits = 0
    for i in range(lo, hi):
        hits += s.ring.key[i] == key
    if hits:
        for i in range(lo, hi):
            if s.ring.key[i] == key:
                return i
    return -1


@njit(cache=True)
def _copy_slot(ring, source, target):
    ring.key[target], ring.time[target], ring.seq[target] = ring.key[source], ring.time[source], ring.seq[source]
    ring.lanes[target], ring.origin[target] = ring.lanes[source], ring.origin[source]
    ring.score[target], ring.outcome[target] = ring.score[source], ring.outcome[source]
    ring.values[target], ring.slots[target] = ring.values[source], ring.slots[source]


@njit(cache=True)
def end_of(s, time):
    """Position behind the last ring event that is not later than `time`."""
    i = s.head[START] + s.head[LENGTH]
    while i > s.head[START] and s.ring.time[i - 1] > time:
        i -= 1
    return i


@njit(cache=True)
def _put(s, slot, arrivals, j, seq):
    ring = s.ring
    ring.key[slot], ring.time[slot], ring.seq[slot] = arrivals.key[j], arrivals.time_us[j], seq
    ring.lanes[slot], ring.origin[slot] = arrivals.lanes[j], j
    ring.score[slot], ring.outcome[slot] = np.nan, 0
    ring.values[slot], ring.slots[slot] = arrivals.values[j], arrivals.slots[j]


@njit(cache=True)
def insert(s, arrivals, j):
    """Put arrival `j` in its place by time; returns the position."""
    if s.head[START] + s.head[LENGTH] == RING_SPACE:
        for i in range(s.head[LENGTH]):
            _copy_slot(s.ring, s.head[START] + i, i)
        s.head[START] = 0
    place, end = end_of(s, arrivals.time_us[j]), s.head[START] + s.head[LENGTH]
    for i in range(end, place, -1):
        _copy_slot(s.ring, i - 1, i)
    _put(s, place, arrivals, j, s.head[SEQ])
    s.head[LENGTH] += 1
    if place != end:
        s.head[TANGLED] = 1
    return place


@njit(cache=True)
def is_too_late(s, time, lateness):
    """At or before what was folded, or so early that it would be folded at once."""
    n = s.head[LENGTH]
    if s.head[EVICTED] and time <= s.head[FLOOR]:
        return True
    if n < RING_KEEP or time >= s.ring.time[s.head[START]]:
        return False
    return n >= RING_LIMIT or time < s.ring.time[s.head[START] + n - 1] - lateness


@njit(cache=True)
def _mark_inexact(s, seq):
    """An event that arrived as `seq` is folded: whoever came before it can no longer leave it out."""
    for i in range(s.head[START], s.head[START] + s.head[LENGTH]):
        if s.ring.seq[i] < seq:
            s.ring.outcome[i] |= INEXACT


@njit(cache=True)
def evict(table, s, lateness):
    while s.head[LENGTH] > RING_KEEP:
        oldest, newest = s.head[START], s.head[START] + s.head[LENGTH] - 1
        if s.head[LENGTH] <= RING_LIMIT and s.ring.time[oldest] >= s.ring.time[newest] - lateness:
            return
        s.head[FLOOR] = s.ring.time[oldest]
        add(table, s, s.tiles, s.ever, oldest)
        s.head[START] += 1
        s.head[LENGTH] -= 1
        s.head[EVICTED] += 1
        if s.head[TANGLED]:
            _mark_inexact(s, s.ring.seq[oldest])


@njit(cache=True)
def fold(table, s, arrivals, j):
    """Straight into the tiles, by way of a free slot behind the ring."""
    slot = s.head[START] + s.head[LENGTH] if s.head[START] + s.head[LENGTH] < RING_SPACE else s.head[START] - 1
    _put(s, slot, arrivals, j, s.head[SEQ])
    add(table, s, s.tiles, s.ever, slot)
    s.head[EVICTED] += 1
    _mark_inexact(s, s.head[SEQ])
