"""Forgetting: a record silent for longer than FORGET_US begins anew with its next event.

Silence is measured in event time, so replay and stream forget alike, and it makes no difference whether a store still
holds such a record. Sequence numbers of the new life begin at the time of its first event (microseconds since 1970, 0
before that) and so lie above all earlier ones. A subject refuses events more than FORGET_US older than its newest: they
may have been counted in a forgotten life, so a duplicate of a forgotten event is never counted again.
"""

from features.kernel import layout as at
from features.kernel.codec import clear
from features.kernel.jit import compiled


@compiled
def begin(p, w, time):
    """Forget everything: the event at `time` is the first of a new life."""
    seq = max(w[at.SEQ], time)
    clear(p, w)
    w[at.SEQ] = seq


@compiled
def is_over(p, w, time):
    """Return whether an event at `time` comes after the silence that ends a life."""
    if not (p[at.FORGET_US] and w[at.LENGTH]):
        return False
    return time > w[at.RING_TIME + w[at.START] + w[at.LENGTH] - 1] + p[at.FORGET_US]


@compiled
def is_too_old(p, w, time):
    """Return whether a forgotten life of the subject may have counted an event at `time`."""
    if not (p[at.FORGET_US] and p[at.IS_SUBJECT] and w[at.LENGTH]):
        return False
    return time < w[at.RING_TIME + w[at.START] + w[at.LENGTH] - 1] - p[at.FORGET_US]
