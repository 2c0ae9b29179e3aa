"""Ratio of two shares of customers with its interval, and its comparison with the four-fifths rule."""

from math import exp, inf, log, nan, sqrt

from scipy.optimize import brentq

from training.statistics.interval import Interval
from training.statistics.wilson import Z

FOUR_FIFTHS = 0.8  # of the higher of two rates
FAR = 30.0  # a logarithm of ratios beyond all that counts can tell apart


def ratio(count: int, of: int, other_count: int, other_of: int, z: float = Z) -> Interval:
    """Return the ratio of the shares count / of and other_count / other_of, which are of different customers.

    The interval holds the ratios that Koopman's score test (1984) does not reject, so it is defined for 0 of 40 too;
    `z` is the standard normal quantile of its level. Without a count on the other side, the value and the upper end are
    infinite; without any count the value is NaN.
    """
    share, other = count / of, other_count / other_of
    value = share / other if other else (inf if share else nan)

    def beyond(log_ratio: float) -> float:
        return _score(exp(log_ratio), count, of, other_count, other_of) - z

    middle = log(value) if 0 < value < inf else 0.0
    low = 0.0 if not count else exp(brentq(beyond, -FAR, log(value) if other else FAR))
    high = inf if not other_count else exp(brentq(beyond, middle if count else -FAR, FAR))
    return Interval(value, low, high)


def _score(theta: float, count: int, of: int, other_count: int, other_of: int) -> float:
    """Return the distance of the counts from the ratio `theta`, in standard errors under it."""
    a, c = (of + other_of) * theta, count + other_count
    b = of * theta + count + other_of + other_count * theta
    other = (b - sqrt(b * b - 4 * a * c)) / (2 * a)  # the likeliest share if the ratio is theta
    share = theta * other
    variance = share * (1 - share) / of + theta**2 * other * (1 - other) / other_of
    return abs(count / of - theta * other_count / other_of) / sqrt(variance) if variance > 0 else inf


def times(ratio: Interval) -> str:
    """Say a ratio in words: `2.00 times [1.40, 3.00]`."""
    if ratio.high == inf:
        return f"at least {ratio.low:.2f} times"
    return f"{ratio.value:.2f} times [{ratio.low:.2f}, {ratio.high:.2f}]"


def lower_over_higher(ratio: Interval) -> Interval:
    """Return the lower of the two shares over the higher one, at most 1, as the four-fifths rule compares them."""
    value = ratio.value if ratio.value <= 1 else 1 / ratio.value
    if ratio.low > 1:
        return Interval(value, 1 / ratio.high, 1 / ratio.low)
    if ratio.high < 1:
        return ratio
    return Interval(value, min(ratio.low, 1 / ratio.high), 1.0)
