"""Differences of champion and challenger on the same events: of a metric with its interval, and of their inputs.

The interval is a paired bootstrap that draws customers: both scores of a customer's rows are drawn together, so what
the two models have in common cancels out.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from export.distributions.drift import distance
from export.distributions.independence import worth
from export.distributions.reference import PLACES, Bins, Reference, places
from training.arrays import Floats, Indices, Vectors
from training.statistics.interval import Interval

REPLICATES = 500
PERCENTILES = (2.5, 97.5)

Metric = Callable[[NDArray[np.int64], Floats, Floats], float]  # label, score, weight -> the larger the better


def difference(
    metric: Metric,
    label: NDArray[np.int64],
    challenger: Floats,
    champion: Floats,
    customer: Indices,
    weight: Floats,
    seed: int,
) -> Interval:
    """Return metric(challenger) - metric(champion) over n rows; `customer` [n] numbers their customers from 0."""
    rng, customers = np.random.default_rng(seed), int(customer.max()) + 1
    differences: list[float] = []
    while len(differences) < REPLICATES:
        times = np.bincount(rng.integers(0, customers, customers), minlength=customers)
        drawn = weight * times[customer]
        if 0 < drawn @ label < drawn.sum():  # a draw of only one class says nothing
            differences.append(metric(label, challenger, drawn) - metric(label, champion, drawn))
    low, high = np.percentile(differences, PERCENTILES)
    value = metric(label, challenger, weight) - metric(label, champion, weight)
    return Interval(value, float(low), float(high))


def drift(
    reference: Reference, names: tuple[str, ...], vectors: Vectors, customer: Indices
) -> dict[str, float]:
    """Return the PSI of each column of `vectors` [n, F] against training's frozen bins.

    It is 0 where so few customers [n], numbered from 0, show as much by chance.
    """
    return {
        name: _beyond_chance(reference.features[name], column, customer)
        for name, column in zip(names, vectors.T, strict=True)
    }


def _beyond_chance(bins: Bins, values: Vectors, customer: Indices) -> float:
    place = places(bins, values)
    measured = distance(bins, np.bincount(place, minlength=PLACES), worth(place, customer, PLACES))
    return measured.index if measured.index > measured.index_by_chance else 0.0
