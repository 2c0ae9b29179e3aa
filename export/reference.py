"""How a column was distributed in training: frozen quantile bins, against which drift is measured.

Deciles, not equal widths: in heavy tails equal widths hide drift. Bin k holds edges[k-1] < value <= edges[k];
missing values (NaN) are a share of their own. Shares and `missing` add up to 1.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

BINS = 10


class Bins(Struct, frozen=True):
    """One column. Fewer than BINS - 1 edges where values repeat; none where all are missing or equal."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]  # one more than edges
    missing: float
    # the least known value with half of those up to it; None: no value, or a bundle from before it was kept
    median: float | None = None


class Reference(Struct, frozen=True):
    features: Mapping[str, Bins]
    score: Bins


def shares(edges: Sequence[float], values: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """The share of `values` in each bin and the share missing. Raises ValueError if there are none."""
    if len(values) == 0:
        raise ValueError("no values to distribute over bins, expected at least one")
    present = values[~np.isnan(values)].astype(np.float64)
    counts = np.bincount(np.searchsorted(np.array(edges), present, side="left"), minlength=len(edges) + 1)
    return counts / len(values), 1 - len(present) / len(values)


def freeze(values: NDArray[np.floating]) -> Bins:
    """The deciles of a column and how much lies between them."""
    present = np.sort(values[~np.isnan(values)].astype(np.float64))
    ranks = -(-np.arange(1, BINS) * len(present) // BINS) - 1  # of the least value with k tenths up to it
    edges = np.unique(present[ranks]) if len(present) else present
    edges = edges[edges < present.max(initial=-np.inf)]  # a last bin that nothing was in cannot be compared
    found, missing = shares(edges.tolist(), values)
    median = float(present[-(-len(present) // 2) - 1]) if len(present) else None
    return Bins(tuple(edges.tolist()), tuple(found.tolist()), missing, median)


def reference(names: Sequence[str], vectors: NDArray[np.float32], score: NDArray[np.floating]) -> Reference:
    """Bins of every column of `vectors` [n, F] and of the scores [n]."""
    columns = {name: freeze(vectors[:, k]) for k, name in enumerate(names)}
    return Reference(columns, freeze(score))
