"""Settings of the Python process for threads that must answer within milliseconds."""

import gc
import sys

# A thread that comes back from a socket or from compiled code waits this long for one that is busy in Python; the
# default is 5 ms.
SWITCH_INTERVAL_S = 0.0005


def tune_process(switch_interval_s: float = SWITCH_INTERVAL_S) -> None:
    """Let threads switch often, and keep the garbage collector away from what exists by now.

    Call it once all modules are imported: they leave half a million objects, and a collection that looks through them
    stops every thread for 0.1 s.
    """
    sys.setswitchinterval(switch_interval_s)
    gc.freeze()
