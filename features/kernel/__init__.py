"""The feature kernel: events in arrival order into records and vectors.

One compiled loop serves the stream, training, batch scoring and the REST service. It knows lanes and columns, no field
names. Sums run in a canonical order (within a bucket by time and sequence number, then buckets ascending), so the same
arrivals give the same bits however they were cut into batches. Only this package is clever.

`plan` says what is computed, `layout` where it lies in memory, `header`, `sections` and `codec` how a record is packed,
`checks` what is refused. `loop` takes event after event: `ring` keeps the latest, `buckets` sum the others, `runs`
reads the vectors of several events together by `windows` and `statistics`, `attributes`, `changes` and `forgetting` are
the rules beside. `batch` is the door for Python.
"""

from features.kernel.batch import ONE_CORE, Advanced, Cores, advance
from features.kernel.loop import Disposition

__all__ = [
    "ONE_CORE",
    "Advanced",
    "Cores",
    "Disposition",
    "advance",
    "buckets",
    "checks",
    "codec",
    "header",
    "layout",
    "plan",
]
