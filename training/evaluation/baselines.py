"""What one has without a model: the base rate, the best single feature, and a rule of three questions.

Both rules are made on one half of the customers and measured on the other, where the model is measured beside them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.usecase import UseCase
from training.evaluation.curves import Sample, intervals
from training.evaluation.customers import Customers
from training.evaluation.figures import Baseline
from training.metrics import Ranking, average_precision
from training.scores import customer_labels, customer_scores
from training.train import Floats, Judged

QUESTIONS = 3  # depth of the tree: what fits on a card
LEAST_SHARE = 0.01  # of all customers' weight in a leaf of it
DIRECTIONS = {1.0: "the higher the worse", -1.0: "the lower the worse"}
NO_HALF = "baselines are left out: half of the customers have all the same label"


def baselines(
    use_case: UseCase, judged: Judged, customers: Customers, by_customer: bool, seed: int
) -> tuple[tuple[Baseline, ...], tuple[str, ...]]:
    """Empty, with a note, if a half of the customers has only one label."""
    half = np.random.default_rng(seed).permutation(len(customers)) % 2 == 0
    learn, judge = (_side(judged, customers, own, by_customer) for own in (half, ~half))
    if any(len(set(side.sample().label.tolist())) < 2 for side in (learn, judge)):
        return (), (NO_HALF,)
    name, sign, column = _best(use_case.features, learn)
    scores = {
        "base rate": np.zeros(len(judge.label)),
        f"{name} alone, {DIRECTIONS[sign]}": _ranks(judge.vectors[:, column], sign),
        f"a rule of {QUESTIONS} questions": _rule(learn, judge, seed),
        "the model": judge.score,
    }
    return tuple(judge.measured(name, score, seed) for name, score in scores.items()), ()


class _Side:
    """Rows of one half of the customers."""

    def __init__(self, judged: Judged, customers: Customers, rows: NDArray[np.intp], by_customer: bool):
        self.vectors, self.label = judged.rows.vectors[rows], judged.rows.label[rows]
        self.score, self.weight = judged.score[rows], customers.weight[rows]
        self.customer = np.unique(customers.of_row[rows], return_inverse=True)[1]
        self.by_customer = by_customer

    def sample(self, score: Floats | None = None) -> Sample:
        """Events, or customers."""
        score = self.score if score is None else score
        if not self.by_customer:
            return Sample(self.label, score, self.weight, self.customer)
        label, score = customer_labels(self.customer, self.label), customer_scores(self.customer, score)
        return Sample(label, score, np.ones(len(score)), np.arange(len(score)))

    def measured(self, name: str, score: Floats, seed: int) -> Baseline:
        found = intervals(self.sample(score), {}, seed)
        return Baseline(name, found["roc_auc"], found["average_precision"])


def _side(judged: Judged, customers: Customers, own: NDArray[np.bool_], by_customer: bool) -> _Side:
    return _Side(judged, customers, np.flatnonzero(own[customers.of_row]), by_customer)


def _ranks(column: NDArray[np.float32], sign: float) -> Floats:
    """The places of a feature's values in the direction of `sign`; the missing are the least suspicious."""
    values = np.where(np.isnan(column), -np.inf, sign * column)
    return np.unique(values, return_inverse=True)[1].astype(np.float64) / len(values)


def _best(features: Sequence[str], learn: _Side) -> tuple[str, float, int]:
    """Name, direction and column of the feature with the highest average precision."""
    tried = {
        (name, sign, k): _precision(learn.sample(_ranks(learn.vectors[:, k], sign)))
        for k, name in enumerate(features)
        for sign in DIRECTIONS
    }
    return max(tried, key=lambda each: tried[each])


def _precision(sample: Sample) -> float:
    return average_precision(Ranking.of(sample.label, sample.score), sample.weight)


def _rule(learn: _Side, judge: _Side, seed: int) -> Floats:
    """Scores by a small decision tree; every customer counts as one."""
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(
        max_depth=QUESTIONS, min_weight_fraction_leaf=LEAST_SHARE, random_state=seed
    )
    tree.fit(learn.vectors, learn.label, learn.weight)
    return np.asarray(tree.predict_proba(judge.vectors)[:, 1])
