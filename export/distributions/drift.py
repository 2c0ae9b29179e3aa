"""Drift of columns from training: distances over training's frozen bins, and verdicts on them.

A stability index (PSI of the score, CSI of a feature) above 0.2 is drift that a person should look at, up to 0.1 it is
taken for none (the usual rule of credit scoring), unless a sample of this size shows as much without any change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from export.distributions.distance import (
    Floats,
    divergence,
    empty_by_chance,
    index,
    index_by_chance,
    kolmogorov_smirnov,
    ks_by_chance,
)
from export.distributions.independence import Worth
from export.distributions.reference import ABOVE, BELOW, BINS, MISSING, PLACES, Bins, Places, expected, places

WORTH_A_LOOK = 0.1
DRIFTED = 0.2
MANY = 0.1  # of the features are worth a look: one alone may follow the season
LEAST_ROWS = 500  # fewer say nothing about a dozen bins
NEVER_SEEN = 0.01  # of the values: this many that training never saw are worth a look


class DriftVerdict(StrEnum):
    STEADY = "steady"
    LOOK = "worth a look"
    DRIFTED = "drifted"
    OPEN = "not judged"


@dataclass(frozen=True)
class Distance:
    """Distances of one column from training, and the distance of a sample of this size without any change."""

    index: float
    divergence: float
    ks: float
    index_by_chance: float
    ks_by_chance: float
    never_seen: float  # the share of values that training never saw, missing ones included


def verdict(index: float, by_chance: float = 0.0, never_seen: float = 0.0) -> DriftVerdict:
    """Judge a column by its index; `by_chance` is the index that it may reach without any change."""
    if index > max(DRIFTED, by_chance):
        return DriftVerdict.DRIFTED
    if index > max(WORTH_A_LOOK, by_chance) or never_seen >= NEVER_SEEN:
        return DriftVerdict.LOOK
    return DriftVerdict.STEADY


def are_many(moved: int, features: int) -> bool:
    """Return True if too many features are worth a look, or have drifted, for chance or a season."""
    return moved > MANY * features


def psi(bins: Bins, values: NDArray[np.floating]) -> float:
    """PSI of a score's values, or CSI of a feature's, [n] against training's bins. Raises ValueError without any."""
    if len(values) == 0:
        raise ValueError("no values to distribute over bins, expected at least one")
    return float(index(expected(bins), np.bincount(places(bins, values), minlength=PLACES) / len(values)))


def distance(bins: Bins, counts: NDArray[np.integer], worth: Worth, models: float = 0.0) -> Distance:
    """Compare counts [PLACES] of values, worth so many independent ones, with training's shares.

    `models` adds to chance that another model gave the scores.
    """
    then, now, rows = expected(bins), counts / counts.sum(), worth.rows
    present = np.array([then[:MISSING].sum(), now[:MISSING].sum()])
    trained = np.inf if bins.effective is None else bins.effective
    noise = 1 / trained + 1 / rows + models
    occupied = ((then > 0) | (now > 0)).sum()
    freedom = min(worth.freedom, bins.freedom or worth.freedom)
    of_present = (1 / (np.array([trained, rows]) * np.maximum(present, 1e-9))).sum() + models
    return Distance(
        float(index(then, now)),
        float(divergence(then, now)),
        float(kolmogorov_smirnov(then[:MISSING], now[:MISSING])),
        float(index_by_chance(occupied, noise, freedom) + empty_by_chance(then, now, rows)),
        ks_by_chance(float(of_present)),
        never_seen(bins, now, worth.clusters),
    )


def never_seen(bins: Bins, now: Floats, customers: float) -> float:
    """The share of values that training never saw: outside its range, or missing if none was missing then.

    0 if it is no more than two small samples leave open. What none of n customers has, up to 4.6 / n may have (99 %; at
    95 % it is the rule of three), and of the `customers` now some more by chance (normal, one-sided 99 %).
    """
    share = now[BELOW] + now[ABOVE] + (now[MISSING] if bins.missing == 0 else 0.0)
    most = min(1.0, 4.605 / (bins.customers or np.inf))
    return float(share) if share > most + 2.326 * np.sqrt(most * (1 - most) / customers) else 0.0


class BinnedColumns:
    """BinnedColumns side by side, to be placed and counted batch by batch over one shape, [columns, PLACES]."""

    def __init__(self, columns: Sequence[Bins]) -> None:
        self._edges = np.array([_padded(each.edges, BINS - 1, np.inf) for each in columns])
        self._least = np.array([each.least for each in columns])
        self._most = np.array([each.most for each in columns])
        self.then: Floats = np.array([expected(each) for each in columns])

    def places(self, values: NDArray[np.floating]) -> Places:
        """[n, columns] where each of `values` [n, columns] lies."""
        place: Places = (values[:, :, None] > self._edges).sum(axis=2, dtype=np.uint8) + np.uint8(1)
        place[values < self._least] = BELOW
        place[values > self._most] = ABOVE
        place[np.isnan(values)] = MISSING
        return place

    def counts(self, values: NDArray[np.floating]) -> NDArray[np.int64]:
        """Count the `values` [n, columns] at each place."""
        place = self.places(values) + np.arange(len(self.then)) * PLACES
        return np.bincount(place.ravel(), minlength=self.then.size).reshape(self.then.shape)

    def index(self, counts: NDArray[np.floating] | NDArray[np.int64]) -> Floats:
        """PSI or CSI of each column, from counts or weights; each column has some."""
        return index(self.then, counts / counts.sum(axis=1, keepdims=True))


def _padded(values: Sequence[float], size: int, rest: float) -> list[float]:
    return [*values, *[rest] * (size - len(values))]
