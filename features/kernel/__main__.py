"""Compile the kernel before its first use (`python -m features.kernel`): a minute, once for each version."""

import numpy as np

from features.kernel import advance
from features.kernel.plan import Arrivals, EntityPlan

PLAN = EntityPlan(
    fingerprint=0, lanes=(), values=0, distincts=0, attributes=0, sources=0, outputs=(), is_subject=True
)
NO_EVENTS = Arrivals(
    record=np.zeros(0, np.int32),
    key=np.zeros(0, np.uint64),
    time_us=np.zeros(0, np.int64),
    lanes=np.zeros(0, np.uint64),
    values=np.zeros((0, 0)),
    slots=np.zeros((0, 0), np.uint8),
    scored=np.zeros(0, np.bool_),
    source=np.zeros(0, np.int8),
    attribute_row=np.zeros(0, np.int32),
    attributes=np.zeros((0, 0)),
    attribute_source=np.zeros(0, np.int8),
    ids=("",),
)

if __name__ == "__main__":
    advance(PLAN, [None], NO_EVENTS)
