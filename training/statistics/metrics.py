"""Metrics of scores: ROC AUC, average precision and Brier score, weighted, with intervals over customers.

Intervals are bootstraps that draw customers, not rows, because the rows of one customer are not independent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from training.arrays import Floats, Indices, Labels

REPLICATES = 200  # enough for two decimals of a 95 % interval
INTERVAL = (2.5, 97.5)  # percentiles


@dataclass(frozen=True)
class Ranking:
    """Labels [n] in order of falling score; `ends` are the last places of equal scores."""

    score: Floats
    label: Floats
    order: Indices
    ends: Indices

    @classmethod
    def of(cls, label: Labels, score: Floats) -> "Ranking":
        """Rank labels [n], 0 or 1, by their scores [n]."""
        order = np.argsort(-score, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
        return cls(score, label.astype(np.float64), order, ends)

    def flagged(self, weight: Floats) -> tuple[Floats, Floats]:
        """Return the weight of positives and of negatives at or above each distinct score."""
        label, weight = self.label[self.order], weight[self.order]
        return np.cumsum(weight * label)[self.ends], np.cumsum(weight * (1 - label))[self.ends]


def roc_auc(ranking: Ranking, weight: Floats) -> float:
    """Return the weighted area under the ROC curve; ties count half."""
    true, false = ranking.flagged(weight)
    area = np.diff(false, prepend=0) * (true + np.concatenate([[0.0], true[:-1]])) / 2
    return float(area.sum() / (true[-1] * false[-1]))


def average_precision(ranking: Ranking, weight: Floats) -> float:
    """Return the weighted average precision."""
    true, false = ranking.flagged(weight)
    precision = true / np.maximum(true + false, np.finfo(np.float64).tiny)
    return float((np.diff(true, prepend=0) * precision).sum() / true[-1])


def brier(ranking: Ranking, weight: Floats) -> float:
    """Return the weighted mean squared error of the scores."""
    return float((weight * (ranking.score - ranking.label) ** 2).sum() / weight.sum())


METRICS: dict[str, Callable[[Ranking, Floats], float]] = {
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "brier": brier,
}


def measure(
    label: Labels, score: Floats, weight: Floats, customer: Indices, seed: int
) -> dict[str, dict[str, float]]:
    """Measure each metric with its 95 % interval; `customer` [n] numbers the customers of the rows from 0."""
    ranking = Ranking.of(label, score)
    drawn = list(draws(ranking, weight, customer, seed))
    measured = {}
    for name, metric in METRICS.items():
        low, high = np.percentile([metric(ranking, each) for each in drawn], INTERVAL)
        measured[name] = {"value": metric(ranking, weight), "low": float(low), "high": float(high)}
    return measured


def draws(ranking: Ranking, weight: Floats, customer: Indices, seed: int) -> Iterator[Floats]:
    """Yield row weights of customers drawn with replacement, REPLICATES times; both labels are in every draw."""
    rng = np.random.default_rng(seed)
    customers = int(customer.max()) + 1
    for _ in range(REPLICATES):
        drawn = np.zeros_like(weight)
        while not 0 < drawn @ ranking.label < drawn.sum():
            times = np.bincount(rng.integers(0, customers, customers), minlength=customers)
            drawn = weight * times[customer]
        yield drawn
