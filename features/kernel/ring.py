"""The ring: the latest events whole, in order of time and sequence number.

An event stays while it is among the last RING_KEEP or within the allowed lateness, RING_LIMIT events at most. The
oldest is evicted first, into the tiles; from then on no event at or before its time is taken.
"""

from features.kernel import layout as at
from features.kernel.buckets import fold_events
from features.kernel.jit import compiled


@compiled
def find(w, key):
    """Return the slot of the event with this key, or -1. Hits are counted first, without branches: few are known."""
    keys = w[at.RING_KEY + w[at.START] : at.RING_KEY + w[at.START] + w[at.LENGTH]]
    hits = 0
    for i in range(len(keys)):
        hits += keys[i] == key
    if hits:
        for i in range(len(keys)):
            if keys[i] == key:
                return w[at.START] + i
    return -1


@compiled
def _copy_slot(p, w, f, source, target):
    """Copy the event at slot `source` to slot `target`."""
    w[at.RING_KEY + target], w[at.RING_TIME + target] = w[at.RING_KEY + source], w[at.RING_TIME + source]
    w[at.RING_SEQ + target], w[at.RING_LANES + target] = w[at.RING_SEQ + source], w[at.RING_LANES + source]
    w[at.RING_ORIGIN + target], w[at.RING_OUTCOME + target] = (
        w[at.RING_ORIGIN + source],
        w[at.RING_OUTCOME + source],
    )
    f[at.RING_SCORE + target] = f[at.RING_SCORE + source]
    for value in range(p[at.VALUES]):
        f[p[at.F_VALUES] + value * at.COLUMN + target] = f[p[at.F_VALUES] + value * at.COLUMN + source]
    for distinct in range(p[at.DISTINCTS]):
        w[p[at.W_SLOTS] + distinct * at.COLUMN + target] = w[p[at.W_SLOTS] + distinct * at.COLUMN + source]


@compiled
def end_of(w, time):
    """Return the slot behind the last event of the ring that is not later than `time`."""
    i = w[at.START] + w[at.LENGTH]
    while i > w[at.START] and w[at.RING_TIME + i - 1] > time:
        i -= 1
    return i


@compiled
def is_full(w):
    """Return whether the next event must be preceded by moving the ring to the front."""
    return w[at.START] + w[at.LENGTH] == at.RING_SPACE


@compiled
def is_newest(w, time):
    """Return whether an event at `time` comes behind all others in the ring."""
    return w[at.LENGTH] == 0 or w[at.RING_TIME + w[at.START] + w[at.LENGTH] - 1] <= time


@compiled
def insert(p, w, f):
    """Insert the staged event by its time and return its slot. A full ring must have no run: it is moved first."""
    if is_full(w):
        for i in range(w[at.LENGTH]):
            _copy_slot(p, w, f, w[at.START] + i, i)
        w[at.START] = w[at.UNFOLDED] = 0
    place, end = end_of(w, w[at.RING_TIME + at.STAGED]), w[at.START] + w[at.LENGTH]
    for i in range(end, place, -1):
        _copy_slot(p, w, f, i - 1, i)
    _copy_slot(p, w, f, at.STAGED, place)
    w[at.RING_SEQ + place] = w[at.SEQ]
    w[at.LENGTH] += 1
    if place != end:
        w[at.TANGLED] = 1
    return place


@compiled
def is_too_late(p, w, time):
    """Return whether an event at `time` lies at or before an evicted one, or would be evicted at once."""
    n, oldest = w[at.LENGTH], w[at.RING_TIME + w[at.START]]
    if w[at.EVICTED] and time <= w[at.FLOOR]:
        return True
    if n < at.RING_KEEP or time >= oldest:
        return False
    return n >= at.RING_LIMIT or time < w[at.RING_TIME + w[at.START] + n - 1] - p[at.LATENESS_US]


@compiled
def _mark_inexact(w, seq):
    """Mark the events that arrived before `seq`, which is evicted: their vectors can no longer leave it out."""
    for i in range(w[at.START], w[at.START] + w[at.LENGTH]):
        if w[at.RING_SEQ + i] < seq:
            w[at.RING_OUTCOME + i] |= at.INEXACT


@compiled
def evict(p, w):
    """Evict the oldest events that the ring need not keep; `fold_evicted` adds them to the tiles."""
    while w[at.LENGTH] > at.RING_KEEP:
        oldest, newest = w[at.START], w[at.START] + w[at.LENGTH] - 1
        if (
            w[at.LENGTH] <= at.RING_LIMIT
            and w[at.RING_TIME + oldest] >= w[at.RING_TIME + newest] - p[at.LATENESS_US]
        ):
            return
        w[at.FLOOR] = w[at.RING_TIME + oldest]
        w[at.START] += 1
        w[at.LENGTH] -= 1
        w[at.EVICTED] += 1
        if w[at.TANGLED]:
            _mark_inexact(w, w[at.RING_SEQ + oldest])


@compiled
def fold_evicted(p, w, f):
    """Add the evicted events to the tiles, unless that was done before."""
    fold_events(p, w, f, w[at.UNFOLDED], w[at.START])
    w[at.UNFOLDED] = w[at.START]


@compiled
def fold(p, w, f):
    """Add the staged event, which is too late for the ring, straight to the tiles."""
    w[at.FLOOR] = max(w[at.FLOOR], w[at.RING_TIME + at.STAGED])
    fold_events(p, w, f, at.STAGED, at.STAGED + 1)
    w[at.EVICTED] += 1
    _mark_inexact(w, w[at.SEQ])
