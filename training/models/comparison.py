"""Comparing learners by repeated cross-validation over customers, with the interval of each difference.

All learners meet the same rows in the same folds, and each repeat deals the customers to folds anew. What decides is
measured: customers by their score, or events where the label is an event's, out-of-fold and calibrated on the other
folds. Intervals draw customers with replacement, for all learners alike (a paired bootstrap), and say what would
change with other customers to measure by; that other customers to learn from change a learner too, the repeats show.

The best mean is chosen, also where the difference may be chance: as good a guess as there is. A use case that prefers
a simple learner names it alone.
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
    """One learner: the metric in each repeat, and its difference to the chosen one."""

    candidate: str
    parameters: Mapping[str, Any]
    values: tuple[float, ...]
    difference: Interval | None  # its metric minus the chosen one's; None: it is the chosen one

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def facts(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "candidate": self.candidate,
            "parameters": dict(self.parameters),
            "values": list(self.values),
            "mean": self.mean,
            "difference": None if self.difference is None else asdict(self.difference),
        }

    def words(self, metric: Objective) -> str:
        """One line of progress."""
        told = f"{self.candidate}: {metric} {self.mean:.4f}"
        return f"{told}, chosen" if self.difference is None else f"{told}, difference {self.difference}"


def compare_learners(
    rows: LearningRows,
    contenders: Sequence[Contender],
    metric: Objective,
    repeats: int,
    seed: int,
    progress: Progress,
) -> tuple[LearnerResult, ...]:
    """Measure all contenders (at least one) on the same folds; the chosen one is first, the others as they were given.

    Of equals the earliest is chosen.
    """
    scores: list[list[Floats]] = []
    for repeat in range(repeats):
        dealt = rows if repeat == 0 else _dealt_anew(rows, seed + repeat)
        scores.append([])
        for candidate, values in contenders:
            scores[-1].append(_out_of_fold(dealt, candidate, values, seed + repeat))
            progress(f"comparing learners, repeat {repeat + 1} of {repeats}: {candidate}")
    found = _differences(_RankedUnits.of(rows), scores, metric, contenders, seed)
    for each in found:
        progress(each.words(metric))
    return found


def _dealt_anew(rows: LearningRows, seed: int) -> LearningRows:
    """The same customers in other folds, as many; the class of each is that of rows that can be learned from."""
    label = np.zeros(len(rows.customer_label), np.int64)
    np.maximum.at(label, rows.customer[rows.sampled], rows.label[rows.sampled])
    return replace(rows, fold=deal_folds(label, rows.folds, np.random.default_rng(seed))[rows.customer])


def _out_of_fold(rows: LearningRows, candidate: str, values: Mapping[str, Any], seed: int) -> Floats:
    """Probabilities [n]."""
    margins = np.empty(len(rows.label))
    for fold, (_, found) in enumerate(fit_folds(rows, range(rows.folds), candidate, values, seed)):
        margins[rows.fold == fold] = found
    return probabilities(margins, rows.fold, crossfitted(margins, rows.label, rows.weight, rows.fold))


@dataclass(frozen=True, eq=False)
class _RankedUnits:
    """What is ranked: customers or events [m], whose they are, and how row scores [n] become theirs."""

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
    found = np.array(
        [[[metric.of_ranking(each, weight) for each in repeat] for repeat in rankings] for weight in weights]
    )  # [1 + draws, repeats, contenders]
    means = found.mean(axis=1)
    sign = 1.0 if metric.lower_is_better else -1.0
    best = int(np.argmin(sign * means[0]))
    apart = means - means[:, [best]]
    low, high = np.percentile(apart[1:], INTERVAL, axis=0)
    compared = [
        LearnerResult(
            candidate, values, tuple(found[0, :, k].tolist()),
            None if k == best else Interval(float(apart[0, k]), float(low[k]), float(high[k])),
        )
        for k, (candidate, values) in enumerate(contenders)
    ]  # fmt: skip
    return (compared[best], *compared[:best], *compared[best + 1 :])
