"""Weights of rows: one an event, or one a customer spread over its rows."""

import numpy as np

from training.arrays import Floats, Indices


def weights(customer: Indices, by_event: bool) -> Floats:
    """Return the weights of rows [n]: one an event, or one a customer, whose label is one fact however busy it is."""
    return np.ones(len(customer)) if by_event else 1.0 / np.bincount(customer)[customer]
