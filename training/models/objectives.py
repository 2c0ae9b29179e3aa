"""Objectives of tuning and of comparing learners: the use case's metric of customers, or of labelled events.

    metric: average_precision
    metric: {recall_at_fpr: 0.01}                        # flags at most this share of the negatives
    metric: {expected_cost: {miss: 100, false_alarm: 5}} # per customer, in any one unit; lower is better
    metric: {f_beta: 2}                                  # recall counts beta times as much as precision

The last three are taken at the threshold that is best on the measured scores; flagging nobody is a threshold too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from export.policy import positive
from features.usecase import BadUseCase, Node, need
from training.arrays import Floats, Labels
from training.models.keys import COSTS, METRIC
from training.statistics.metrics import Ranking, average_precision


def _average_precision(ranking: Ranking, weight: Floats) -> float:
    return average_precision(ranking, weight)


def _recall_at_fpr(ranking: Ranking, weight: Floats, rate: float) -> float:
    true, false = ranking.flagged(weight)
    return float(np.max(true / true[-1], where=false <= rate * false[-1], initial=0.0))


def _expected_cost(ranking: Ranking, weight: Floats, miss: float, false_alarm: float) -> float:
    true, false = (np.insert(each, 0, 0.0) for each in ranking.flagged(weight))
    return float((miss * (true[-1] - true) + false_alarm * false).min() / (true[-1] + false[-1]))


def _f_beta(ranking: Ranking, weight: Floats, beta: float) -> float:
    true, false = ranking.flagged(weight)
    return float(((1 + beta**2) * true / (true + false + beta**2 * true[-1])).max())


# by name: (ranking, weight, the numbers of the metric in order) -> value
OBJECTIVES: Mapping[str, Callable[..., float]] = {
    "average_precision": _average_precision,
    "recall_at_fpr": _recall_at_fpr,
    "expected_cost": _expected_cost,
    "f_beta": _f_beta,
}
LOWER_IS_BETTER = {"expected_cost"}


@dataclass(frozen=True)
class Objective:
    """Metric with its numbers: a rate, (cost of a miss, cost of a false alarm), or beta."""

    name: str = "average_precision"
    numbers: tuple[float, ...] = ()

    @classmethod
    def of(cls, node: Node) -> "Objective":
        """Read `model.metric`. Raises BadUseCase."""
        if not isinstance(node.value, dict):
            if node.choice(OBJECTIVES) in READ:
                node.blame(f"{node.value} needs its number: {node.value}: {READ[node.value][1]}")
            return cls(node.value)
        parts = node.section(METRIC)
        if len(node.entries()) != 1:
            node.fail(f"average_precision, or one of {', '.join(READ)} with its number")
        if not parts:
            raise BadUseCase  # the unknown name is a fault already
        ((name, value),) = parts.items()
        return cls(name, READ[name][0](value))

    @property
    def lower_is_better(self) -> bool:
        return self.name in LOWER_IS_BETTER

    def __call__(self, label: Labels, score: Floats, weight: Floats) -> float:
        """Measure scores [n] with labels 0 or 1 (both present) and weights, [n]."""
        return self.of_ranking(Ranking.of(label, score), weight)

    def of_ranking(self, ranking: Ranking, weight: Floats) -> float:
        """Measure labels that are in order already, for measuring again with other weights [n]."""
        return OBJECTIVES[self.name](ranking, weight, *self.numbers)

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{number:g}" for number in self.numbers)])


AVERAGE_PRECISION = Objective()


def _rate(node: Node) -> tuple[float]:
    if not 0 < node.number() < 1:
        node.fail("a rate above 0 and below 1")
    return (node.number(),)


def _costs(node: Node) -> tuple[float, float]:
    parts = node.section(COSTS)
    miss, false_alarm = (node.attempt(positive, parts[name]) for name in ("miss", "false_alarm"))
    need(miss, false_alarm)
    return miss, false_alarm


# metrics with numbers: how they are read, and an example for messages
READ: Mapping[str, tuple[Callable[[Node], tuple[float, ...]], str]] = {
    "recall_at_fpr": (_rate, "0.01"),
    "expected_cost": (_costs, "{miss: 100, false_alarm: 5}"),
    "f_beta": (lambda node: (positive(node),), "2"),
}
