"""Intervals of shares of customers, and of the ratio of two shares."""

from math import exp, log, sqrt

from training.evaluation.figures import Interval

Z = 1.959964  # of a 95 % interval
FOUR_FIFTHS = 0.8  # of the higher of two rates
HALF = 0.5  # added to each count, so that 0 of 40 has a logarithm too


def rate(count: int, of: int) -> Interval:
    """A share with Wilson's interval (1927), which says something of 0 of 40 too; NaN of nobody."""
    if of == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    share, spread = count / of, Z**2 / of
    middle = (share + spread / 2) / (1 + spread)
    half = Z * sqrt(share * (1 - share) / of + spread / of / 4) / (1 + spread)
    return Interval(share, max(min(middle - half, share), 0.0), min(max(middle + half, share), 1.0))


def ratio(count: int, of: int, other_count: int, other_of: int, z: float = Z) -> Interval:
    """The ratio of the shares count / of and other_count / other_of, which are of different customers.

    The interval is Katz's on the scale of logarithms, with a half added to each count (Walter 1975; Pettigrew, Gart and
    Thomas 1986); `z` is the standard normal quantile of its level. The value is the plain ratio, or that of the
    adjusted shares where nobody is counted on the other side.
    """
    shares = (count + HALF) / (of + HALF), (other_count + HALF) / (other_of + HALF)
    variance = sum(1 / (k + HALF) - 1 / (n + HALF) for k, n in ((count, of), (other_count, other_of)))
    middle, half = log(shares[0] / shares[1]), z * sqrt(variance)
    value = (count / of) / (other_count / other_of) if other_count else exp(middle)
    return Interval(value, min(exp(middle - half), value), max(exp(middle + half), value))


def lower_over_higher(ratio: Interval) -> Interval:
    """The lower of the two shares over the higher one, at most 1: what the four-fifths rule looks at."""
    value = ratio.value if ratio.value <= 1 else 1 / ratio.value
    if ratio.low > 1:
        return Interval(value, 1 / ratio.high, 1 / ratio.low)
    if ratio.high < 1:
        return ratio
    return Interval(value, min(ratio.low, 1 / ratio.high), 1.0)
