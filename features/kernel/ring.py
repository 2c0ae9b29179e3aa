"""The ring: the latest events whole, ordered by time and sequence number, and what leaves it.

An event stays while it is among the last RING_KEEP or within the lateness, RING_LIMIT at most. The oldest leaves
first, into the tiles; from then on nothing at or before its time is taken.
"""

from features.kernel.buckets import add
from features.kernel.jit import compiled
from features.kernel.layout import (
    COLUMN,
    DISTINCTS,
    EVICTED,
    F_VALUES,
    FLOOR,
    LATENESS_US,
    LENGTH,
    RING_KEEP,
    RING_KEY,
    RING_LANES,
    RING_LIMIT,
    RING_ORIGIN,
    RING_OUTCOME,
    RING_SCORE,
    RING_SEQ,
    RING_SPACE,
    RING_TIME,
    SEQ,
    STAGED,
    START,
    TANGLED,
    TILES,
    VALUES,
    W_SLOTS,
)

INEXACT = 0x80  # the kernel's bit of an outcome: the vector can no longer be recomputed


@compiled
def find(w, key):
    """Slot of the event with this key, or -1. Counts hits first, without branches: most keys are new."""
    keys = w[RING_KEY + w[START] : RING_KEY + w[START] + w[LENGTH]]
    hits = 0
    for i in range(len(keys)):
        hits += keys[i] == key
    if hits:
        for i in range(len(keys)):
            if keys[i] == key:
                return w[START] + i
    return -1


@compiled
def _copy_slot(p, w, f, source, target):
    w[RING_KEY + target], w[RING_TIME + target] = w[RING_KEY + source], w[RING_TIME + source]
    w[RING_SEQ + target], w[RING_LANES + target] = w[RING_SEQ + source], w[RING_LANES + source]
    w[RING_ORIGIN + target], w[RING_OUTCOME + target] = w[RING_ORIGIN + source], w[RING_OUTCOME + source]
    f[RING_SCORE + target] = f[RING_SCORE + source]
    for value in range(p[VALUES]):
        f[p[F_VALUES] + value * COLUMN + target] = f[p[F_VALUES] + value * COLUMN + source]
    for distinct in range(p[DISTINCTS]):
        w[p[W_SLOTS] + distinct * COLUMN + target] = w[p[W_SLOTS] + distinct * COLUMN + source]


@compiled
def end_of(w, time):
    """The slot behind the last ring event that is not later than `time`."""
    i = w[START] + w[LENGTH]
    while i > w[START] and w[RING_TIME + i - 1] > time:
        i -= 1
    return i


@compiled
def insert(p, w, f):
    """Put the staged event in its place by time; returns its slot."""
    if w[START] + w[LENGTH] == RING_SPACE:
        for i in range(w[LENGTH]):
            _copy_slot(p, w, f, w[START] + i, i)
        w[START] = 0
    place, end = end_of(w, w[RING_TIME + STAGED]), w[START] + w[LENGTH]
    for i in range(end, place, -1):
        _copy_slot(p, w, f, i - 1, i)
    _copy_slot(p, w, f, STAGED, place)
    w[RING_SEQ + place] = w[SEQ]
    w[LENGTH] += 1
    if place != end:
        w[TANGLED] = 1
    return place


@compiled
def is_too_late(p, w, time):
    """At or before what was folded, or so early that it would be folded at once."""
    n, oldest = w[LENGTH], w[RING_TIME + w[START]]
    if w[EVICTED] and time <= w[FLOOR]:
        return True
    if n < RING_KEEP or time >= oldest:
        return False
    return n >= RING_LIMIT or time < w[RING_TIME + w[START] + n - 1] - p[LATENESS_US]


@compiled
def _mark_inexact(w, seq):
    """Event `seq` is folded: whoever arrived before it can no longer leave it out."""
    for i in range(w[START], w[START] + w[LENGTH]):
        if w[RING_SEQ + i] < seq:
            w[RING_OUTCOME + i] |= INEXACT


@compiled
def evict(p, w, f):
    """Fold the oldest events that the ring need not keep."""
    while w[LENGTH] > RING_KEEP:
        oldest, newest = w[START], w[START] + w[LENGTH] - 1
        if w[LENGTH] <= RING_LIMIT and w[RING_TIME + oldest] >= w[RING_TIME + newest] - p[LATENESS_US]:
            return
        w[FLOOR] = w[RING_TIME + oldest]
        add(p, w, f, TILES, oldest)
        w[START] += 1
        w[LENGTH] -= 1
        w[EVICTED] += 1
        if w[TANGLED]:
            _mark_inexact(w, w[RING_SEQ + oldest])


@compiled
def fold(p, w, f):
    """The staged event goes straight into the tiles, as far as an event still to come can reach it."""
    w[FLOOR] = max(w[FLOOR], w[RING_TIME + STAGED])
    add(p, w, f, TILES, STAGED)
    w[EVICTED] += 1
    _mark_inexact(w, w[SEQ])
