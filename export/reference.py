"""How a column was distributed in training: frozen quantile bins, against which drift is measured.

Deciles, not equal widths: in heavy tails equal widths hide drift. Bin k holds edges[k-1] < value <= edges[k];
missing values (NaN) are a share of their own. Shares and `missing` add up to 1. Bins count events, as drift does; what
is usual counts customers (`Usual`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

BINS = 10
ROUNDING = 1e-9  # of a sum of weights, which does not come out even


class Bins(Struct, frozen=True):
    """One column. Fewer than BINS - 1 edges where values repeat; none where all are missing or equal."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]  # one more than edges
    missing: float
    # the least known value with half of those up to it; None: no value, or a bundle from before it was kept
    median: float | None = None


class Usual(Struct, frozen=True):
    """What is usual of a feature among the customers of the training data, each counted once.

    A customer's events share its weight of 1 in `missing` (a share) and `median`; `at_highest` is the `middle` over
    customers of the value that each has with its highest held-out score. None: no value is known.
    """

    missing: float
    median: float | None
    at_highest: float | None


class Reference(Struct, frozen=True):
    """How the columns of a vector and the score were distributed over events, and what is usual among customers."""

    features: Mapping[str, Bins]
    score: Bins
    usual: Mapping[str, Usual] = {}  # by feature; empty in a bundle from before it was kept


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


def weighted_median(values: NDArray[np.floating], weight: NDArray[np.float64]) -> float | None:
    """The least known value [n] with at least half of the weight [n] of known values up to it; None without any."""
    known = ~np.isnan(values)
    if not known.any():
        return None
    order = np.argsort(values[known], kind="stable")
    up_to = np.cumsum(weight[known][order])
    return float(values[known][order][np.searchsorted(up_to, up_to[-1] / 2 * (1 - ROUNDING))])


def middle(values: NDArray[np.floating], is_share: bool) -> float | None:
    """The median of the known values; of what is true or not (1 or 0) their mean, the share of which it is true.

    The median of what is true or not would be the same for most groups. None if no value is known.
    """
    known = values[~np.isnan(values)].astype(np.float64)
    if not len(known):
        return None
    return float(np.mean(known) if is_share else np.median(known))


def reference(
    names: Sequence[str],
    vectors: NDArray[np.float32],
    score: NDArray[np.floating],
    usual: Mapping[str, Usual] | None = None,
) -> Reference:
    """Bins of every column of `vectors` [n, F] and of the scores [n]; `usual` of the same columns, by customer."""
    columns = {name: freeze(vectors[:, k]) for k, name in enumerate(names)}
    return Reference(columns, freeze(score), usual or {})
