"""Settings of the Python process for threads that must answer within milliseconds."""

import gc
import sys

# A thread that comes back from a socket or from compiled code waits this long for one that is busy in Python; the
# default is 5 ms.
SWITCH_INTERVAL_S = 0.0005
# Nearly nothing here refers to itself: a stream of 170,000 events leaves a hundred objects to the collector. With
# Python's own threshold of 700 it looked six times a second for them, and now and then through everything, for 20 ms.
# Garbage waits until there are so many new objects, some MB of them.
NEW_OBJECTS = 50_000
# Looks at the young generation until the middle one is looked through, and at that one until everything is.
COLLECTIONS = (20, 100)


def tune_process(switch_interval_s: float = SWITCH_INTERVAL_S) -> None:
    """Let threads switch often, collect garbage seldom, and keep the collector away from what exists by now.

    Call it once all modules are imported: they leave half a million objects, and a collection that looks through them
    stops every thread for 0.1 s.
    """
    sys.setswitchinterval(switch_interval_s)
    gc.set_threshold(NEW_OBJECTS, *COLLECTIONS)
    gc.freeze()
