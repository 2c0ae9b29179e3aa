"""Distributions of columns in training: frozen quantile bins, against which drift is measured.

Deciles, not equal widths: in heavy tails equal widths hide drift. Bin k holds edges[k-1] < value <= edges[k];
missing values (NaN) are a share of their own. Shares and `missing` add up to 1. Beside the bins, `low` and `high` say
between which values the column lay: what lies outside was never seen in training. Bins count events, as drift does;
what is usual counts customers (`Usual`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from export.distributions.distance import index
from export.distributions.independence import spread_of_models, worth
from features.events import FieldUse

BINS = 10
ROUNDING = 1e-9  # of a sum of weights, which does not come out even
BELOW, ABOVE, MISSING = 0, BINS + 1, BINS + 2  # places; bin k of a column has the place k + 1
PLACES = BINS + 3
DAY_US = 86_400_000_000
LEAST_DAY_ROWS = 100  # a day of fewer rows says little about ten bins
LEAST_DAYS = 7
USUAL = 0.99  # of training's days stay below what is called usual
LEAST_FILLED_ROWS = 500
LEAST_FILLED_SHARE = 0.1

Places = NDArray[np.uint8]


class Bins(Struct, frozen=True):
    """One column. Fewer than BINS - 1 edges where values repeat; none where all are missing or equal.

    What has a default is missing in bundles of older versions.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]  # one more than edges
    missing: float
    # the least known value with half of those up to it; None: no value, or a bundle from before it was kept
    median: float | None = None
    low: float | None = None  # the least value seen
    high: float | None = None  # the largest
    rows: int = 0
    effective: float | None = None  # as many independent rows scatter as much: see independence.py
    freedom: float | None = None  # degrees of freedom of that scatter
    customers: float | None = None  # of equal weight
    # 99 of 100 days of training have a stability index up to this against all of training; None: too few days
    usual_day: float | None = None
    filled: bool = True  # False: training was too short to fill the column's window; all rows are in the bins

    @property
    def least(self) -> float:
        """The least value seen, -inf if it is not known."""
        return self._bound(self.low, -np.inf)

    @property
    def most(self) -> float:
        """The largest value seen, inf if it is not known."""
        return self._bound(self.high, np.inf)

    def _bound(self, known: float | None, otherwise: float) -> float:
        """A column without edges in an older bundle held its median only."""
        if known is not None:
            return known
        return otherwise if self.edges or self.median is None else self.median


class Usual(Struct, frozen=True):
    """The usual value of a feature among the customers of the training data, each counted once.

    A customer's events share its weight of 1 in `missing` (a share) and `median`. `at_highest` is the `middle` over
    customers of the value that each has with its highest held-out score, and `missing_at_highest` the share of
    customers who have none then; `at_last` is the middle at their last events. None: no value is known.
    """

    missing: float
    median: float | None
    at_highest: float | None
    missing_at_highest: float = 0.0
    at_last: float | None = None


class Reference(Struct, frozen=True):
    """Distributions of a vector's columns and of the score over events, and usual values among customers."""

    features: Mapping[str, Bins]
    score: Bins
    usual: Mapping[str, Usual] = {}  # by feature; empty in a bundle from before it was kept
    # what another model of the same training adds to chance, as 1 / independent rows: see independence.py
    score_models: float = 0.0
    span_us: int = 0  # from the first row of training to the last
    fields: Mapping[str, FieldUse] = {}  # of which features are made, by event_type.field; empty as `usual`


@dataclass(frozen=True)
class RowSource:
    """The source of rows, which decides how far their distribution may differ by chance.

    customers [n] and fold [n] are numbered from 0; window_us [F] is the longest window of each feature, 0 without one.
    """

    customers: NDArray[np.intp]
    times_us: NDArray[np.int64]
    fold: NDArray[np.int64]
    window_us: Sequence[int]

    def filled(self, window_us: int) -> NDArray[np.bool_] | None:
        """[n] the rows by which the window was filled since the first event; None if they are too few."""
        rows = self.times_us >= self.times_us.min() + window_us
        return rows if rows.sum() >= max(LEAST_FILLED_ROWS, LEAST_FILLED_SHARE * len(rows)) else None


def places(bins: Bins, values: NDArray[np.floating]) -> Places:
    """[n] where each of the values [n] lies: BELOW, its bin + 1, ABOVE or MISSING."""
    place = np.searchsorted(np.array(bins.edges), values, side="left").astype(np.uint8) + np.uint8(1)
    place[values < bins.least] = BELOW
    place[values > bins.most] = ABOVE
    place[np.isnan(values)] = MISSING
    return place


def expected(bins: Bins) -> NDArray[np.float64]:
    """[PLACES] the share of training's values at each place."""
    shares_now = np.zeros(PLACES)
    shares_now[1 : len(bins.shares) + 1], shares_now[MISSING] = bins.shares, bins.missing
    return shares_now


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
    counts, missing = shares(edges.tolist(), values)
    median = float(present[-(-len(present) // 2) - 1]) if len(present) else None
    low, high = (float(present[0]), float(present[-1])) if len(present) else (None, None)
    return Bins(tuple(edges.tolist()), tuple(counts.tolist()), missing, median, low, high, len(values))


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
    origin: RowSource | None = None,
) -> Reference:
    """Bins of every column of `vectors` [n, F] and of the scores [n]; `usual` of the same columns, by customer.

    The scores are by models that had not learned from the row's customer. With an `origin` the bins hold only rows by
    which the column's window was filled, if these are enough: a store in use is filled, too. Medians are of all rows.
    """
    if origin is None:
        columns = {name: freeze(vectors[:, k]) for k, name in enumerate(names)}
        return Reference(columns, freeze(score), usual or {})
    windows = origin.window_us
    columns = {name: _of_origin(vectors[:, k], origin, windows[k]) for k, name in enumerate(names)}
    of_score = _of_origin(score, origin, max(windows, default=0))
    return Reference(columns, of_score, usual or {}, _models(score, origin), int(np.ptp(origin.times_us)))


def _of_origin(values: NDArray[np.floating], origin: RowSource, window_us: int) -> Bins:
    filled = origin.filled(window_us)
    rows = slice(None) if filled is None else filled
    bins = freeze(values[rows])
    place = places(bins, values[rows])
    sample = worth(place, origin.customers[rows], PLACES)
    return structs.replace(
        bins,
        median=freeze(values).median,
        effective=sample.rows,
        freedom=sample.freedom,
        customers=sample.clusters,
        usual_day=_usual_day(bins, place, origin.times_us[rows]),
        filled=filled is not None,
    )


def _usual_day(bins: Bins, place: Places, times_us: NDArray[np.int64]) -> float | None:
    """Return the index that 99 of 100 days of training stay below; None with too few days."""
    day = times_us // DAY_US - times_us.min() // DAY_US
    counts = np.bincount(day * PLACES + place)
    counts = np.pad(counts, (0, -len(counts) % PLACES)).reshape(-1, PLACES)
    counts = counts[counts.sum(axis=1) >= LEAST_DAY_ROWS]
    if len(counts) < LEAST_DAYS:
        return None
    return float(np.quantile(index(expected(bins), counts / counts.sum(axis=1, keepdims=True)), USUAL))


def _models(score: NDArray[np.floating], origin: RowSource) -> float:
    return spread_of_models(places(freeze(score), score), origin.customers, origin.fold, PLACES)
