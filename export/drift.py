"""How far a column has drifted from training: the population stability index (PSI) over training's frozen bins.

Below 0.1 is taken for no drift, above 0.2 for drift that a person should look at (the usual rule of credit scoring).
"""

import numpy as np
from numpy.typing import NDArray

from export.reference import Bins, shares

LEAST_SHARE = 1e-4  # of a bin in which nothing lies, so that its logarithm is finite
DRIFTED = 0.2

Floats = NDArray[np.float64]


def psi(bins: Bins, values: NDArray[np.floating]) -> float:
    """Sum over bins of (now - then) * ln(now / then), the missing as a bin of their own."""
    now, missing = shares(bins.edges, values)
    return float(index(np.array([*bins.shares, bins.missing]), np.array([*now, missing])))


def index(then: Floats, now: Floats) -> Floats:
    """The same of shares, [..., bins] each."""
    then, now = np.maximum(then, LEAST_SHARE), np.maximum(now, LEAST_SHARE)
    found: Floats = ((now - then) * np.log(now / then)).sum(axis=-1)
    return found
