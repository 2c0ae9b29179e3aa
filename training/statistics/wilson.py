"""Wilson's interval of a share (1927), which is defined for 0 of 40 too, where a bootstrap is not."""

from math import sqrt

from training.statistics.interval import Interval

Z = 1.959964  # of a 95 % interval


def rate(count: float, of: float) -> Interval:
    """Return the share `count` / `of` with its interval; NaN if `of` is 0."""
    if of == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    share, spread = count / of, Z**2 / of
    middle = (share + spread / 2) / (1 + spread)
    half = Z * sqrt(share * (1 - share) / of + spread / of / 4) / (1 + spread)
    return Interval(share, max(min(middle - half, share), 0.0), min(max(middle + half, share), 1.0))
