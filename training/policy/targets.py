"""Targets: the threshold that a target asks for on the curve of all thresholds, and whether it is reached.

A share of few cases says little: a target counts as reached only if the figure's 95 % interval allows no truth that is
worse by more than MARGIN. So a precision is asked of at least as many flagged cases as that takes (39 at 80 %), or of
MIN_FLAGGED where there are fewer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import isnan, nan

import numpy as np
from scipy.stats import chi2

from export.policy import Target
from training.arrays import Floats
from training.statistics.interval import Interval
from training.statistics.wilson import rate

MIN_FLAGGED = 10  # customers or events: Wilson's interval of 8 in 10 reaches from 49 % to 94 %
MARGIN = 0.15  # by how much a share may in truth be worse than asked: of five asked for, less than one


@dataclass(frozen=True, eq=False)
class ThresholdCurve:
    """Figures that each distinct score [m] would give as a threshold; scores fall, so the others grow.

    Counts are of cases: customers, or events where the label is an event's.
    """

    threshold: Floats
    true: Floats  # positive cases flagged
    flagged: Floats
    spared: Floats  # what their misses would have cost
    positives: float
    cases: float
    weeks: float  # that the cases are from, for as many customers as a capacity is meant for

    @property
    def precision(self) -> Floats:
        return np.asarray(self.true / np.maximum(self.flagged, 1e-300))

    @property
    def recall(self) -> Floats:
        return self.true / self.positives

    @property
    def share(self) -> Floats:
        return self.flagged / self.cases

    @property
    def per_week(self) -> Floats:
        return self.flagged / self.weeks

    def f_beta(self, beta: float) -> Floats:
        return (1 + beta**2) * self.true / (self.flagged + beta**2 * self.positives)

    def saved(self, false_alarm: float) -> Floats:
        """Return what flagging saves a case, compared with flagging nobody."""
        return (self.spared - false_alarm * (self.flagged - self.true)) / self.cases

    def figure(self, target: Target) -> Floats:
        """Return the figure [m] that the target is about: for costs the savings, for a score the score itself."""
        if target.kind == "expected_cost":
            return self.saved(target.false_alarm)
        if target.kind == "f_beta":
            return self.f_beta(target.value)
        return np.asarray(getattr(self, "threshold" if target.kind == "score" else target.kind))


def _by_precision(curve: ThresholdCurve, target: Target) -> int:
    for least in (enough(target.value), MIN_FLAGGED):
        places = np.flatnonzero((curve.flagged >= least) & (curve.precision >= target.value))
        if len(places):
            return int(places[-1])
    counts = curve.flagged >= min(MIN_FLAGGED, curve.flagged[-1])
    return int(np.argmax(np.where(counts, curve.precision, -1)))


def _by_recall(curve: ThresholdCurve, target: Target) -> int:
    places = np.flatnonzero(curve.recall >= target.value)
    return int(places[0]) if len(places) else len(curve.recall) - 1


def _at_most(curve: ThresholdCurve, target: Target) -> int:
    places = np.flatnonzero(curve.figure(target) <= target.value)
    return int(places[-1]) if len(places) else 0


def _best(curve: ThresholdCurve, target: Target) -> int:
    return int(np.argmax(curve.figure(target)))


PLACES: dict[str, Callable[[ThresholdCurve, Target], int]] = {
    "precision": _by_precision,
    "recall": _by_recall,
    "share": _at_most,
    "per_week": _at_most,
    "f_beta": _best,
    "expected_cost": _best,
}


def threshold(curve: ThresholdCurve, target: Target) -> float:
    """Return the threshold that the target asks for, or the nearest to it; 1 without any score to choose from."""
    if target.kind == "score":
        return target.value
    return float(curve.threshold[PLACES[target.kind](curve, target)]) if len(curve.threshold) else 1.0


@cache
def enough(share: float) -> int:
    """Return how many flagged cases rule out a precision that is worse than `share` by more than MARGIN."""
    n = MIN_FLAGGED
    while rate(share * n, n).low < share - MARGIN:
        n += 1
    return n


def counted(kind: str, curve: ThresholdCurve, place: int) -> Interval:
    """Return the figure at one place with the interval that its counts allow; NaN for figures that are no counts.

    Shares have Wilson's interval (1927), numbers a week Garwood's (1936).
    """
    if place < 0:
        return Interval(nan, nan, nan)
    true, flagged = round(curve.true[place]), round(curve.flagged[place])
    counts = {
        "precision": (true, flagged),
        "recall": (true, round(curve.positives)),
        "share": (flagged, round(curve.cases)),
    }
    if kind in counts:
        return rate(*counts[kind])
    if kind != "per_week":
        return Interval(nan, nan, nan)
    low = chi2.ppf(0.025, 2 * flagged) / 2 if flagged else 0.0
    ends = [float(end / curve.weeks) for end in (low, chi2.ppf(0.975, 2 * flagged + 2) / 2)]
    return Interval(float(flagged / curve.weeks), *ends)


def reached(target: Target, figure: Interval, flagged: int, positives: int) -> str:
    """Return whether the target is reached: yes, not reached, or cannot be known from so few cases."""
    kind, value = target.kind, target.value
    if kind == "score":
        return "yes"
    if kind == "precision" and positives < value * MIN_FLAGGED:
        return "cannot be known"  # not even perfect scores could show it
    if isnan(figure.value):
        return "not reached"
    if kind == "expected_cost":
        return "yes" if figure.low > 0 else "not reached" if figure.value <= 0 else "cannot be known"
    if kind == "f_beta":
        return "yes" if figure.high - figure.low <= 2 * MARGIN else "cannot be known"
    if kind == "per_week":
        return (
            "not reached" if figure.value > value else "yes" if flagged >= MIN_FLAGGED else "cannot be known"
        )
    return _share_is_reached(figure, value, -1 if kind == "share" else 1)


def _share_is_reached(figure: Interval, asked: float, sign: int) -> str:
    """Compare a share with the asked one: with `sign` 1 at least so much is asked, with -1 at most."""
    worst, best = (figure.low, figure.high) if sign == 1 else (-figure.high, -figure.low)
    if sign * figure.value >= sign * asked:
        return "yes" if worst >= sign * asked - MARGIN else "cannot be known"
    return "cannot be known" if best >= sign * asked and best - worst > 2 * MARGIN else "not reached"
