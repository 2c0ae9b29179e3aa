"""Watches: an event that repeats the value before it leaves the lanes that count changes only.

An event is compared once, when it arrives, with the latest event of the watched lane that is not later. The ring
keeps the lanes that result, so a duplicate gets the same answer whatever came after it.
"""

from features.kernel import layout as at
from features.kernel.buckets import ever_at
from features.kernel.jit import compiled
from features.kernel.ring import end_of


@compiled
def keep_changes(p, w, f):
    """Take the staged event out of the lanes of changes unless it is one."""
    for k in range(p[at.WATCHES]):
        lane, gated = p[p[at.WATCH] + 2 * k], p[p[at.WATCH] + 2 * k + 1]
        if (w[at.RING_LANES + at.STAGED] >> lane) & 1 and not _is_change(p, w, f, lane):
            w[at.RING_LANES + at.STAGED] &= ~gated


@compiled
def leave_watches(p, w):
    """Take the staged event, which is too late for the ring, out of all watches: the value before it is not known."""
    for k in range(p[at.WATCHES]):
        lane, gated = p[p[at.WATCH] + 2 * k], p[p[at.WATCH] + 2 * k + 1]
        if (w[at.RING_LANES + at.STAGED] >> lane) & 1:
            w[at.RING_LANES + at.STAGED] &= ~(gated | (1 << lane))


@compiled
def _is_change(p, w, f, lane):
    """Return whether the staged event differs from the one before it in the lane; the ring is searched from its end."""
    values = p[at.F_VALUES] + p[p[at.LANE_VALUE] + lane] * at.COLUMN
    i = end_of(w, w[at.RING_TIME + at.STAGED]) - 1
    while i >= w[at.UNFOLDED]:
        if (w[at.RING_LANES + i] >> lane) & 1:
            return f[values + i] != f[values + at.STAGED]
        i -= 1
    if w[ever_at(p, lane) + at.EVER_COUNT] == 0:
        return False
    return f[p[at.F_EVER] + lane] != f[values + at.STAGED]
