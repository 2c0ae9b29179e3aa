"""Distances of two distributions over the same bins: stability index, Kullback-Leibler, Kolmogorov-Smirnov.

Shares are [..., bins] and add up to 1. The stability index is called PSI (population stability index) for a score and
CSI (characteristic stability index) for a feature; the formula is the same. What chance alone gives is the large-sample
distribution of each under no change (PSI: Yurdakul, Statistical Properties of Population Stability Index, 2018), as
used for independent rows: see independence.py for how many rows of customers are worth.
"""

import numpy as np
from numpy.typing import NDArray

LEAST_SHARE = 1e-4  # taken for the share of a bin in which nothing lies, so that its logarithm is finite
SMOOTHING = 1e-4  # added to every share before the Kullback-Leibler divergence, which then adds up to 1 again
# The 99 % quantile of chi-square by its degrees of freedom, 0 to 12: one less than a column has bins. Of a hundred
# features that have not changed, five would be beyond the usual 95 %.
CHI_SQUARE_99 = np.array(
    [0.0, 6.635, 9.210, 11.345, 13.277, 15.086, 16.812, 18.475, 20.090, 21.666, 23.209, 24.725, 26.217]
)
KS_99 = 1.628  # the 99 % quantile of Kolmogorov's distribution

Floats = NDArray[np.float64]


def index(then: Floats, now: Floats) -> Floats:
    """PSI or CSI [...]: the sum over bins of (now - then) * ln(now / then)."""
    then, now = np.maximum(then, LEAST_SHARE), np.maximum(now, LEAST_SHARE)
    total: Floats = ((now - then) * np.log(now / then)).sum(axis=-1)
    return total


def divergence(then: Floats, now: Floats) -> Floats:
    """The Kullback-Leibler divergence [...] of now from then, sum of now * ln(now / then), in nats, smoothed."""
    bins = then.shape[-1]
    then, now = ((share + SMOOTHING) / (1 + bins * SMOOTHING) for share in (then, now))
    total: Floats = (now * np.log(now / then)).sum(axis=-1)
    return total


def kolmogorov_smirnov(then: Floats, now: Floats) -> Floats:
    """The largest difference [...] of the two distribution functions at the bins' edges; bins are in their order.

    Between the edges it may be larger: of columns of numbers this is a lower bound. 0 where one side has no value.
    """
    sums = [share.sum(axis=-1, keepdims=True) for share in (then, now)]
    one, two = (
        np.cumsum(share, axis=-1) / np.where(total > 0, total, 1)
        for share, total in zip((then, now), sums, strict=True)
    )
    is_known = (sums[0] > 0) & (sums[1] > 0)
    largest: Floats = (np.abs(two - one) * is_known).max(axis=-1)
    return largest


def index_by_chance(bins: NDArray[np.integer], noise: Floats | float, freedom: Floats | float) -> Floats:
    """Return the index [...] that 1 of 100 samples exceeds without any change.

    `bins` [...] is in how many of them anything lies, 1 to 13; `noise` [...] the sum of 1 / independent rows of both
    sides; `freedom` [...] the degrees of freedom of their scatter, of which there are at most bins - 1.
    """
    most = np.maximum(bins - 1, 1)
    freedom = np.clip(freedom, 1, most)
    tail = np.interp(freedom, np.arange(1, len(CHI_SQUARE_99)), CHI_SQUARE_99[1:])
    by_chance: Floats = (bins - 1) * noise * tail / freedom
    return by_chance


def empty_by_chance(then: Floats, now: Floats, rows: Floats | float) -> Floats:
    """Return the part of the index [...] of the largest bin that is empty now, maybe by chance among `rows` [...].

    The large-sample distribution does not know of it: an empty bin counts as LEAST_SHARE.
    """
    rows = np.asarray(rows)[..., None]
    bins = np.maximum((then > 0).sum(axis=-1, keepdims=True), 1)
    is_chance = (now == 0) & (then > LEAST_SHARE) & ((1 - then) ** rows > 0.01 / bins)
    known = np.maximum(then, LEAST_SHARE)
    largest: Floats = (is_chance * (known - LEAST_SHARE) * np.log(known / LEAST_SHARE)).max(axis=-1)
    return largest


def ks_by_chance(noise: float) -> float:
    """The same of the Kolmogorov-Smirnov statistic; at most 1."""
    return min(1.0, float(KS_99 * np.sqrt(noise)))
