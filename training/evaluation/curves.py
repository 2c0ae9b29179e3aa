"""Curves over all thresholds, and the figures that follow from them, with bootstrap intervals.

One pass over the sorted scores gives every figure of one weighting, so a bootstrap takes one pass a replicate. The
caller weights the rows; figures that count rows (precision at k) take each row as one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats, Indices
from training.evaluation.figures import Point
from training.statistics.interval import Interval
from training.statistics.metrics import INTERVAL, REPLICATES, Ranking

RATES = {"0.1%": 0.001, "1%": 0.01, "5%": 0.05}  # false-positive rates at which recall is measured
TOPS = (10, 50, 100, 500)  # rows that a team can look at
TOP_SHARE = 0.01  # of rows, beside TOPS
POINTS = 200  # of a curve; more cannot be seen

AT = ("precision", "recall", "f1", "f2", "accuracy", "false_positive_rate")
LEAST_PROBABILITY = float(np.finfo(np.float64).eps)  # of what is true, whose logarithm would be infinite at 0


@dataclass(frozen=True, eq=False)
class ScoredSample:
    """Rows [n] to measure: `customer` numbers their customers from 0, `weight` is what each row counts."""

    label: NDArray[np.int64]
    score: Floats
    weight: Floats
    customer: Indices

    def sorted(self) -> "ScoredSample":
        """Return the rows by falling score, so that a replicate needs no other order."""
        order = np.argsort(-self.score, kind="stable")
        return ScoredSample(self.label[order], self.score[order], self.weight[order], self.customer[order])

    @property
    def ends(self) -> Indices:
        """Last places of equal scores, once sorted."""
        return np.flatnonzero(np.append(np.diff(self.score) != 0, True))

    @cached_property
    def squared_error(self) -> Floats:
        """Squared error [n] of the score as a probability."""
        return np.asarray((self.score - self.label) ** 2)

    @cached_property
    def log_loss(self) -> Floats:
        """Minus the logarithm [n] of the probability that the score gives to the true label."""
        of_truth = np.where(self.label == 1, self.score, 1 - self.score)
        return np.asarray(-np.log(np.clip(of_truth, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)))


@dataclass(frozen=True, eq=False)
class CumulativeCounts:
    """Sums of the rows at or above each distinct score, scores falling."""

    true: Floats  # weight of positives
    false: Floats  # and of negatives
    rows: Floats
    true_rows: Floats
    squared_error: float  # weighted sum
    log_loss: float  # weighted sum

    @classmethod
    def of(cls, by_score: ScoredSample, ends: Indices, times: Floats) -> "CumulativeCounts":
        """Sum the rows of a sorted sample; `times` [n] is how often each row was drawn."""
        label, weighted = by_score.label, by_score.weight * times
        sums = [np.cumsum(each)[ends] for each in (weighted, weighted * label, times, times * label)]
        errors = (float(weighted @ each) for each in (by_score.squared_error, by_score.log_loss))
        return cls(sums[1], sums[0] - sums[1], sums[2], sums[3], *errors)


def figures(
    curve: CumulativeCounts, k_of: Mapping[str, int], flagged_at: Mapping[str, int]
) -> dict[str, float]:
    """Return all figures of one weighting; `flagged_at` is the number of distinct scores above each threshold."""
    true, false = curve.true, curve.false
    positives, negatives = true[-1], false[-1]
    precision = true / np.maximum(true + false, np.finfo(np.float64).tiny)
    area = np.diff(false, prepend=0) @ (true + np.concatenate([[0.0], true[:-1]])) / 2
    measured = {
        "roc_auc": area / (positives * negatives),
        "average_precision": np.diff(true, prepend=0) @ precision / positives,
        "brier": curve.squared_error / (positives + negatives),
        "log_loss": curve.log_loss / (positives + negatives),
        "ks": np.max(true / positives - false / negatives, initial=0.0),
    }
    for name, rate in RATES.items():
        measured[f"recall at {name}"] = np.max(true, where=false <= rate * negatives, initial=0.0) / positives
    for name, k in k_of.items():
        measured[f"precision at {name}"] = _precision_at(curve, k)
    for name, reached in flagged_at.items():
        measured |= {f"{name} {each}": value for each, value in _at(curve, reached).items()}
    return {name: float(value) for name, value in measured.items()}


def tops(rows: int) -> dict[str, int]:
    """Return the numbers of top rows to measure, as far as there are so many, by name."""
    return {str(k): k for k in TOPS if k <= rows} | {f"{TOP_SHARE:.0%}": max(round(TOP_SHARE * rows), 1)}


def _precision_at(curve: CumulativeCounts, k: int) -> float:
    """Return the share of positives in the k highest scores; a tie at the end counts as chance would take it."""
    return float(np.interp(k, np.insert(curve.rows, 0, 0.0), np.insert(curve.true_rows, 0, 0.0))) / k


def _at(curve: CumulativeCounts, reached: int) -> dict[str, float]:
    """Return the figures of flagging the first `reached` distinct scores; precision of nothing flagged is NaN."""
    true, false = (curve.true[reached - 1], curve.false[reached - 1]) if reached else (0.0, 0.0)
    positives, negatives = curve.true[-1], curve.false[-1]
    precision = true / (true + false) if true + false else np.nan
    f1, f2 = ((1 + b * b) * true / (true + false + b * b * positives) for b in (1, 2))
    accuracy = (true + negatives - false) / (positives + negatives)
    return dict(zip(AT, (precision, true / positives, f1, f2, accuracy, false / negatives), strict=True))


def intervals(sample: ScoredSample, thresholds: Mapping[str, float], seed: int) -> dict[str, Interval]:
    """Return every figure with its 95 % interval, from drawing customers with replacement."""
    by_score = sample.sorted()
    ends = by_score.ends
    reached = {name: int((by_score.score[ends] >= value).sum()) for name, value in thresholds.items()}
    k_of = tops(len(sample.label))
    value = figures(CumulativeCounts.of(by_score, ends, np.ones(len(sample.label))), k_of, reached)
    drawn = [
        figures(CumulativeCounts.of(by_score, ends, times), k_of, reached) for times in draws(by_score, seed)
    ]
    return {name: Interval(each, *bounds([one[name] for one in drawn])) for name, each in value.items()}


def draws(sample: ScoredSample, seed: int) -> Iterator[Floats]:
    """Draw customers with replacement REPLICATES times, and yield how often each row [n] is drawn."""
    rng, customers = np.random.default_rng(seed), int(sample.customer.max()) + 1
    made = 0
    while made < REPLICATES:
        times = draw(rng, customers)[sample.customer]
        if 0 < times @ sample.label < times.sum():  # a draw of only one class says nothing
            made += 1
            yield times


def draw(rng: np.random.Generator, customers: int) -> Floats:
    """Draw customers with replacement, and return how often each is drawn."""
    return np.bincount(rng.integers(0, customers, customers), minlength=customers).astype(np.float64)


def bounds(values: list[float]) -> tuple[float, float]:
    """Return the ends of the 95 % interval of values; NaN are left out."""
    there = np.array(values)[~np.isnan(values)]
    if len(there) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(there, INTERVAL)
    return float(low), float(high)


def roc(ranking: Ranking, weight: Floats) -> tuple[Point, ...]:
    """Return the ROC curve: x false-positive rate, y recall, from (0, 0) to (1, 1)."""
    true, false = ranking.flagged(weight)
    return thinned(np.insert(false / false[-1], 0, 0.0), np.insert(true / true[-1], 0, 0.0))


def precision_recall(ranking: Ranking, weight: Floats) -> tuple[Point, ...]:
    """Return the precision-recall curve: x recall, y precision."""
    true, false = ranking.flagged(weight)
    return thinned(true / true[-1], true / np.maximum(true + false, np.finfo(np.float64).tiny))


def cost(ranking: Ranking, weight: Floats, miss: float, false_alarm: float) -> tuple[Point, ...]:
    """Return the cost curve: x threshold, y mean cost; nobody is flagged above the highest score."""
    true, false = (np.insert(each, 0, 0.0) for each in ranking.flagged(weight))
    each = (miss * (true[-1] - true) + false_alarm * false) / (true[-1] + false[-1])
    distinct = ranking.score[ranking.order][ranking.ends]
    threshold = np.insert(distinct, 0, np.nextafter(distinct[0], np.inf))
    return thinned(threshold[::-1], each[::-1])


def thinned(x: Floats, y: Floats) -> tuple[Point, ...]:
    """Return at most POINTS points of a curve, at equal distances along it on axes of equal length."""
    if len(x) > POINTS:
        steps = sum(np.abs(np.diff(each)) / max(np.ptp(each), 1e-300) for each in (x, y))
        way = np.insert(np.cumsum(steps), 0, 0.0)
        places = np.searchsorted(way, np.linspace(0, way[-1], POINTS - 1))
        places = np.unique(np.append(np.minimum(places, len(x) - 1), len(x) - 1))
        x, y = x[places], y[places]
    return tuple(Point(float(a), float(b)) for a, b in zip(x, y, strict=True))
