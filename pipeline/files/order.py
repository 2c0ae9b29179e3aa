"""In which order the rows of several files are events: one rule for all that read history, and for publishing."""

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]


def in_event_time(
    time_us: Times,
    timeless: NDArray[np.bool_],
    now_us: int,
    dated_us: int | None,
    ties: NDArray[np.uint64] | None = None,
) -> tuple[NDArray[np.intp], Times]:
    """Return row positions [n] in event-time order, and their times [n]; equal times keep the files' order.

    `timeless` rows [n] have no time of their own: they are dated `dated_us`, or else with the earliest of the others,
    and come first. `ties` [n] orders equal times of rows that have no order of their own, those of a table.
    """
    if dated_us is None:
        dated_us = int(time_us[~timeless].min(initial=now_us))
    dated = np.where(timeless, dated_us, time_us)
    order = np.lexsort((*([] if ties is None else [ties]), ~timeless, dated))
    return order, dated[order]
