"""The feature kernel: events in arrival order into records and vectors.

One compiled loop serves the stream, training, batch scoring and the REST service. It knows lanes and columns,
no field names. Sums run in a canonical order (within a bucket by time and sequence number, then buckets
ascending), so the same arrivals give the same bits however they were cut into batches. Only this package is clever.
"""

from features.kernel.batch import Advanced, advance
from features.kernel.loop import Disposition

__all__ = ["Advanced", "Disposition", "advance", "buckets", "codec", "layout", "plan"]
