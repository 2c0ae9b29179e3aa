"""The number of independent rows that a sample is worth.

Rows of one customer resemble each other, so they tell less than as many
rows of different customers.

The corrections of Rao and Scott (The Annals of Statistics 12, 1984, pages 46 to 60), with variances of shares between
clusters: a statistic of n rows scatters by chance as that of n / design effect independent rows, and as chi-square with
fewer degrees of freedom (Satterthwaite's) where few directions have most of the scatter.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Worth(NamedTuple):
    """So many independent rows scatter as much, the scatter's degrees of freedom, and how many clusters there are.

    Clusters are counted as so many of equal weight (Kish's effective number): n squared over the sum of their squares.
    """

    rows: float
    freedom: float
    clusters: float


def worth(place: NDArray[np.integer], cluster: NDArray[np.integer], places: int) -> Worth:
    """Return how many independent rows the rows of clusters are worth when shares of places are compared.

    place [n] is below `places`; cluster [n] is numbered from 0, usually by customer. At most n rows. Rows that are all
    at one place say nothing of their scatter: then all rows of a cluster count as one that is repeated.
    """
    n = len(place)
    counts = np.bincount(cluster * places + place).astype(np.float64)
    counts = np.pad(counts, (0, -len(counts) % places)).reshape(-1, places)
    counts = counts[counts.any(axis=1)]
    size, share = counts.sum(axis=1), counts.sum(axis=0) / n
    seen = share > 0
    bins, clusters = int(seen.sum()), len(counts)
    equal = float(n**2 / (size**2).sum())
    if bins == 1:
        return Worth(equal, 1.0, equal)
    if clusters == 1:
        return Worth(1.0, 1.0, equal)
    off = (counts[:, seen] - size[:, None] * share[seen]) / (n * np.sqrt(share[seen]))
    scatter = clusters / (clusters - 1) * off.T @ off
    total = float(np.trace(scatter))
    if total == 0:
        return Worth(float(n), float(bins - 1), equal)
    return Worth(min(float(n), (bins - 1) / total), float(total**2 / (scatter**2).sum()), equal)


def spread_of_models(
    place: NDArray[np.integer], customer: NDArray[np.integer], fold: NDArray[np.integer], places: int
) -> float:
    """Return how much another model of the same training adds to chance, as 1 / independent rows.

    Each fold [n] was scored by a model of its own. Folds differ by their customers and by their models; what remains
    once the customers' part is taken off is the models'. 0 with one fold.
    """
    folds = int(fold.max()) + 1
    if folds == 1:
        return 0.0
    between = folds / worth(place, fold, places).rows
    return max(0.0, between - folds / worth(place, customer, places).rows)
