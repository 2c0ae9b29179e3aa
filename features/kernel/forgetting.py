"""Lives: a record silent for longer than FORGET_US is forgotten, and the next event is the first of a new life.

Time is event time, so replay and stream forget alike, and it makes no difference whether a store still has such a
record. The numbers of a life follow the time of its first event (microseconds since 1970; 0 before that), and so
lie above all numbers of the life before. A subject refuses events from before its life: what it takes is at most
FORGET_US older than its newest event, and so later than all that it has forgotten. So a repetition of a forgotten
event is never counted as news.
"""

from features.kernel.codec import clear
from features.kernel.jit import compiled
from features.kernel.layout import FORGET_US, IS_SUBJECT, LENGTH, RING_TIME, SEQ, START


@compiled
def begin(p, w, time):
    """Forget everything; the event at `time` is the first of a new life."""
    seq = max(w[SEQ], time)
    clear(p, w)
    w[SEQ] = seq


@compiled
def is_over(p, w, time):
    """Whether an event at `time` comes after the silence that ends a life."""
    if not (p[FORGET_US] and w[LENGTH]):
        return False
    return time > w[RING_TIME + w[START] + w[LENGTH] - 1] + p[FORGET_US]


@compiled
def is_too_old(p, w, time):
    """Whether a forgotten life of the subject may have counted an event at `time`."""
    if not (p[FORGET_US] and p[IS_SUBJECT] and w[LENGTH]):
        return False
    return time < w[RING_TIME + w[START] + w[LENGTH] - 1] - p[FORGET_US]
