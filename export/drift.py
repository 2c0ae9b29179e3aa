"""How far columns have drifted from training: the population stability index (PSI) over training's frozen bins.

Up to 0.1 is taken for no drift, above 0.2 for drift that a person should look at (the usual rule of credit scoring).
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from export.reference import BINS, Bins, shares

LEAST_SHARE = 1e-4  # of a bin in which nothing lies, so that its logarithm is finite
WORTH_A_LOOK = 0.1
DRIFTED = 0.2
MANY = 0.2  # of the features: one alone may follow the season
LEAST_ROWS = 500  # by chance alone the index is then about 9 / 500
MISSING = BINS  # the bin after the last

Floats = NDArray[np.float64]


class Verdict(StrEnum):
    STEADY = "steady"
    LOOK = "worth a look"
    DRIFTED = "drifted"


def verdict(found: float) -> Verdict:
    """What a PSI says of its column."""
    if found > DRIFTED:
        return Verdict.DRIFTED
    return Verdict.LOOK if found > WORTH_A_LOOK else Verdict.STEADY


def are_many(drifted: int, features: int) -> bool:
    """Whether so many of the features have drifted that it is no chance and no season."""
    return drifted > MANY * features


def psi(bins: Bins, values: NDArray[np.floating]) -> float:
    """Sum over bins of (now - then) * ln(now / then), the missing as a bin of their own."""
    now, missing = shares(bins.edges, values)
    return float(index(np.array([*bins.shares, bins.missing]), np.array([*now, missing])))


def index(then: Floats, now: Floats) -> Floats:
    """The same of shares, [..., bins] each."""
    then, now = np.maximum(then, LEAST_SHARE), np.maximum(now, LEAST_SHARE)
    found: Floats = ((now - then) * np.log(now / then)).sum(axis=-1)
    return found


class Columns:
    """Columns side by side, to be counted batch by batch: bins padded to one shape, [columns, MISSING + 1]."""

    def __init__(self, columns: Sequence[Bins]) -> None:
        self._edges = np.array([_padded(each.edges, BINS - 1, np.inf) for each in columns])
        self.then: Floats = np.array([[*_padded(each.shares, BINS, 0.0), each.missing] for each in columns])

    def counts(self, values: NDArray[np.floating]) -> NDArray[np.int64]:
        """How many of `values` [n, columns] lie in each bin."""
        place = (values[:, :, None] > self._edges).sum(axis=2)
        place[np.isnan(values)] = MISSING
        columns, bins = self.then.shape
        place += np.arange(columns) * bins
        return np.bincount(place.ravel(), minlength=columns * bins).reshape(columns, bins)

    def psi(self, counts: NDArray[np.floating] | NDArray[np.int64]) -> Floats:
        """Of each column, from counts of bins or weights; each column has some."""
        return index(self.then, counts / counts.sum(axis=1, keepdims=True))


def _padded(values: Sequence[float], size: int, rest: float) -> list[float]:
    return [*values, *[rest] * (size - len(values))]
