"""Comparison of learners by repeated cross-validation over customers, with an interval for each difference.

All learners see the same rows in the same folds, and each repeat deals the customers to folds anew. Learners are
compared by the metric that decides: of customers by their score, or of events where the label is an event's,
out-of-fold and calibrated on the other folds. Intervals draw customers with replacement, the same for all learners (a
paired bootstrap): they show what would change with other customers to measure by. What would change with other
customers to learn from shows in the repeats.

The learner with the best mean is chosen, even where the difference may be chance, since no other guess is better. A use
case that prefers a simple learner names it alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from msgspec.structs import asdict

from training.arrays import Floats, Indices, Labels
from training.models.calibrate import crossfitted, probabilities
from training.models.fit import LearningRows, deal_folds, fit_folds
from training.models.objectives import Objective
from training.progress import Progress
from training.statistics.customer_score import customer_scores
from training.statistics.interval import Interval
from training.statistics.metrics import INTERVAL, Ranking, draws

Contender = tuple[str, Mapping[str, Any]]  # a candidate and its hyper-parameters


@dataclass(frozen=True)
class LearnerResult:
    """Metric of one learner in each repeat, and its difference from the chosen learner's."""

    candidate: str
    parameters: Mapping[str, Any]
    values: tuple[float, ...]
    difference: Interval | None  # its metric minus the chosen one's; None: it is the chosen one

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def facts(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {
            "candidate": self.candidate,
            "parameters": dict(self.parameters),
            "values": list(self.values),
            "mean": self.mean,
            "difference": None if self.difference is None else asdict(self.difference),
        }

    def line(self, metric: Objective) -> str:
        """One line of progress."""
        text = f"{self.candidate}: {metric} {self.mean:.4f}"
        return f"{text}, chosen" if self.difference is None else f"{text}, difference {self.difference}"


def compare_learners(
    rows: LearningRows,
    contenders: Sequence[Contender],
    metric: Objective,
    repeats: int,
    seed: int,
    progress: Progress,
) -> tuple[LearnerResult, ...]:
    """Measure all contenders (at least one) on the same folds.

    Returns the chosen one first, of equals the earliest, and then the others as they were given.
    """
    scores: list[list[Floats]] = []
    for repeat in range(repeats):
        dealt = rows if repeat == 0 else _dealt_anew(rows, seed + repeat)
        scores.append([])
        for candidate, values in contenders:
            scores[-1].append(_out_of_fold(dealt, candidate, values, seed + repeat))
            progress(f"comparing learners, repeat {repeat + 1} of {repeats}: {candidate}")
    results = _differences(_RankedUnits.of(rows), scores, metric, contenders, seed)
    for each in results:
        progress(each.line(metric))
    return results


def _dealt_anew(rows: LearningRows, seed: int) -> LearningRows:
    """Deal the same customers to as many folds anew, stratified by the labels of rows that can be learned from."""
    label = np.zeros(len(rows.customer_label), np.int64)
    np.maximum.at(label, rows.customer[rows.sampled], rows.label[rows.sampled])
    return replace(rows, fold=deal_folds(label, rows.folds, np.random.default_rng(seed))[rows.customer])


def _out_of_fold(rows: LearningRows, candidate: str, values: Mapping[str, Any], seed: int) -> Floats:
    """Return the probabilities [n] of all rows, each by a learner fitted without its fold."""
    margins = np.empty(len(rows.label))
    for fold, (_, fold_margins) in enumerate(fit_folds(rows, range(rows.folds), candidate, values, seed)):
        margins[rows.fold == fold] = fold_margins
    return probabilities(margins, rows.fold, crossfitted(margins, rows.label, rows.weight, rows.fold))


@dataclass(frozen=True, eq=False)
class _RankedUnits:
    """Customers or events [m] that are ranked, and how row scores [n] become theirs."""

    label: Labels
    customer: Indices  # [m]
    rows: Indices | None  # [n] customers of the rows, where customers are ranked

    @classmethod
    def of(cls, rows: LearningRows) -> "_RankedUnits":
        if rows.by_event:
            return cls(rows.label, rows.customer, None)
        return cls(rows.customer_label, np.arange(len(rows.customer_label)), rows.customer)

    def ranking(self, score: Floats) -> Ranking:
        return Ranking.of(self.label, score if self.rows is None else customer_scores(self.rows, score))


def _differences(
    measure: _RankedUnits,
    scores: Sequence[Sequence[Floats]],
    metric: Objective,
    contenders: Sequence[Contender],
    seed: int,
) -> tuple[LearnerResult, ...]:
    rankings, once = (
        [[measure.ranking(score) for score in repeat] for repeat in scores],
        np.ones(len(measure.label)),
    )
    weights = [once, *draws(rankings[0][0], once, measure.customer, seed)]
    values = np.array(
        [[[metric.of_ranking(each, weight) for each in repeat] for repeat in rankings] for weight in weights]
    )  # [1 + draws, repeats, contenders]
    means = values.mean(axis=1)
    sign = 1.0 if metric.lower_is_better else -1.0
    best = int(np.argmin(sign * means[0]))
    apart = means - means[:, [best]]
    low, high = np.percentile(apart[1:], INTERVAL, axis=0)
    compared = [
        LearnerResult(
            candidate, hyper, tuple(values[0, :, k].tolist()),
            None if k == best else Interval(float(apart[0, k]), float(low[k]), float(high[k])),
        )
        for k, (candidate, hyper) in enumerate(contenders)
    ]  # fmt: skip
    return (compared[best], *compared[:best], *compared[best + 1 :])
