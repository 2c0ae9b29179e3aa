"""The window of time in which each customer of an export is observed.

A full export observes everybody over the whole period. Many real exports differ by label: suspended accounts are
observed from the beginning and stop, the others from some later day on. Dates then tell the label, whatever
customers do.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.generate.calendar import Times

PERIOD: Final = "period"
BY_LABEL: Final = "by_label"
Shares = tuple[tuple[float, float], tuple[float, float]]

# Window of the active and of the suspended, as (earliest, latest) share of the period at which it begins, and ends.
WINDOWS: Final[Mapping[str, tuple[Shares, Shares]]] = {
    PERIOD: (((0.0, 0.0), (1.0, 1.0)), ((0.0, 0.0), (1.0, 1.0))),
    BY_LABEL: (((0.0, 0.7), (0.8, 1.0)), ((0.0, 0.1), (0.75, 0.95))),
}


def windows(
    observation: str, suspended: NDArray[np.bool_], start_us: int, end_us: int, rng: Generator
) -> tuple[Times, Times]:
    """Begin and end (int64[n], microseconds) of each customer's window.

    Raises ValueError for an unknown observation.
    """
    if observation not in WINDOWS:
        raise ValueError(f"observation is {observation!r}; expected one of {', '.join(WINDOWS)}")
    shares = np.array(WINDOWS[observation])[suspended.astype(int)]
    drawn = shares[..., 0] + rng.random((len(suspended), 2)) * (shares[..., 1] - shares[..., 0])
    first, last = (start_us + (drawn * (end_us - start_us)).astype(np.int64)).T
    return first, last
