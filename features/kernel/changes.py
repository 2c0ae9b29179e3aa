"""Events that say nothing new: they leave the lanes of changes before they enter the ring.

An event is compared once, when it arrives, with the latest event of the watched lane that is not later than it. What
comes of that is in the lanes that the ring keeps, so a repeated event gets the same answer whatever came after it.
"""

from features.kernel.buckets import ever_at
from features.kernel.jit import compiled
from features.kernel.layout import (
    COLUMN,
    EVER_COUNT,
    F_EVER,
    F_VALUES,
    LANE_VALUE,
    RING_LANES,
    RING_TIME,
    STAGED,
    START,
    TILES,
    WATCH,
    WATCHES,
)
from features.kernel.ring import end_of


@compiled
def keep_changes(p, w, f):
    """Take the staged event out of the lanes of changes unless it is one."""
    for k in range(p[WATCHES]):
        lane, gated = p[p[WATCH] + 2 * k], p[p[WATCH] + 2 * k + 1]
        if (w[RING_LANES + STAGED] >> lane) & 1 and not _is_change(p, w, f, lane):
            w[RING_LANES + STAGED] &= ~gated


@compiled
def leave_watches(p, w):
    """Take the staged event, which is too late for the ring, out of the watches: what came before it is not known."""
    for k in range(p[WATCHES]):
        lane, gated = p[p[WATCH] + 2 * k], p[p[WATCH] + 2 * k + 1]
        if (w[RING_LANES + STAGED] >> lane) & 1:
            w[RING_LANES + STAGED] &= ~(gated | (1 << lane))


@compiled
def _is_change(p, w, f, lane):
    """Whether the staged event differs from the one before it in the lane. The ring is searched from its end."""
    values = p[F_VALUES] + p[p[LANE_VALUE] + lane] * COLUMN
    i = end_of(w, w[RING_TIME + STAGED]) - 1
    while i >= w[START]:
        if (w[RING_LANES + i] >> lane) & 1:
            return f[values + i] != f[values + STAGED]
        i -= 1
    if w[ever_at(p, TILES, lane) + EVER_COUNT] == 0:
        return False
    return f[p[F_EVER] + lane] != f[values + STAGED]
