"""Weights of rows: one an event, or one a customer spread over its rows."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def weights(customer: NDArray[np.intp], by_event: bool) -> Floats:
    """[n] one an event, or one a customer, spread over its rows: its label is one fact, however busy it is."""
    return np.ones(len(customer)) if by_event else 1.0 / np.bincount(customer)[customer]
