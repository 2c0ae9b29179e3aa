"""Permutation importance (Breiman, 2001): how much worse the model gets when a feature tells it nothing.

Values are dealt to other rows, so that a feature keeps its distribution. Features that say the same stand in for one
another; a group's columns are therefore also dealt together. The interval is over deals and customers drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.onnx import Scorer
from features.schema import Difference, Feature, Ratio, Raw
from features.usecase import UseCase
from training.evaluation.curves import bounds, draw
from training.evaluation.customers import Customers
from training.evaluation.figures import Importance, Interval
from training.fit import Progress
from training.metrics import Ranking, average_precision
from training.scores import customer_labels, customer_scores
from training.train import Floats, Judged

MOST_ROWS = 20_000
DEALS = 5
DRAWS = 20  # of customers, a deal


def group_of(use_case: UseCase, feature: Feature) -> str:
    """entity.aggregate, entity.attribute's field or event.field that a feature is made of, the first if of two."""
    formula = feature.formula
    raw: Raw = formula.of if isinstance(formula, Ratio | Difference) else formula.source
    if raw.column < 0:
        return f"event.{raw.field}"
    declared = use_case.by_entity[feature.entity]
    if raw.column < len(declared.outputs):
        return f"{feature.entity}.{declared.aggregates[declared.outputs[raw.column][0]].name}"
    return f"{feature.entity}.{feature.fields[0].partition('.')[2]}"


@dataclass(frozen=True, eq=False)
class _Rows:
    """What is scored again and again, and how often each customer counts in each draw."""

    scorer: Scorer
    vectors: NDArray[np.float32]
    label: NDArray[np.int64]
    customer: NDArray[np.intp]
    weight: Floats
    by_customer: bool  # measure customers, not events

    def dealt(self, columns: list[int], order: NDArray[np.intp], score: Floats) -> Floats:
        """Scores [n] with the values of other rows in these columns; `score` [n] is what they are with their own.

        Most features are zero or missing in most rows. A row that is dealt what it had keeps its score to the bit.
        """
        own, others = self.vectors[:, columns], self.vectors[np.ix_(order, np.array(columns))]
        changed = ((own != others) & ~(np.isnan(own) & np.isnan(others))).any(axis=1)
        vectors = self.vectors[changed]
        vectors[:, columns] = others[changed]
        found = score.copy()
        found[changed] = self.scorer.score(vectors)
        return found

    def precision(self, score: Floats, draws: Sequence[Floats]) -> list[float]:
        """Average precision in each draw of customers [customers]."""
        if self.by_customer:
            label = customer_labels(self.customer, self.label)
            ranking = Ranking.of(label, customer_scores(self.customer, score))
            return [average_precision(ranking, times) for times in draws]
        ranking = Ranking.of(self.label, score)
        return [average_precision(ranking, self.weight * times[self.customer]) for times in draws]


def importance(
    use_case: UseCase, judged: Judged, customers: Customers, by_customer: bool, seed: int, progress: Progress
) -> tuple[tuple[Importance, ...], tuple[Importance, ...]]:
    """Of each feature and of each group of features, the largest first."""
    rng = np.random.default_rng(seed)
    rows = _drawn(judged, customers, by_customer, rng)
    groups = [group_of(use_case, feature) for feature in use_case.table]
    columns = {name: [k for k, each in enumerate(groups) if each == name] for name in dict.fromkeys(groups)}
    asked = [[k] for k in range(len(groups))] + list(columns.values())
    drops = _drops(rows, asked, rng, progress)
    names = [*zip(use_case.features, groups, strict=True), *(("", name) for name in columns)]
    found = [Importance(name, group, drop) for (name, group), drop in zip(names, drops, strict=True)]
    return _largest_first(found[: len(groups)]), _largest_first(found[len(groups) :])


def _largest_first(found: list[Importance]) -> tuple[Importance, ...]:
    return tuple(sorted(found, key=lambda each: -each.drop.value))


def _drawn(judged: Judged, customers: Customers, by_customer: bool, rng: np.random.Generator) -> _Rows:
    """All rows of customers drawn without replacement, until there are MOST_ROWS; both labels are there."""
    count = np.bincount(customers.of_row)
    order = rng.permutation(len(customers))
    first = [order[np.argmax(customers.label[order] == value)] for value in (0, 1)]
    order = np.concatenate([first, order[~np.isin(order, first)]])
    chosen = np.zeros(len(customers), np.bool_)
    chosen[order[np.cumsum(count[order]) <= MOST_ROWS]] = True
    chosen[first] = True
    rows = np.flatnonzero(chosen[customers.of_row])
    customer = np.unique(customers.of_row[rows], return_inverse=True)[1]
    return _Rows(
        Scorer(judged.model), judged.rows.vectors[rows], judged.rows.label[rows], customer,
        customers.weight[rows], by_customer,
    )  # fmt: skip


def _drops(
    rows: _Rows, asked: Sequence[list[int]], rng: np.random.Generator, progress: Progress
) -> list[Interval]:
    found: Mapping[int, list[float]] = {k: [] for k in range(len(asked))}
    everyone = np.ones(int(rows.customer.max()) + 1)
    value = [0.0] * len(asked)
    score = rows.scorer.score(rows.vectors).astype(np.float64)
    for deal in range(DEALS):
        progress(f"importance: deal {deal + 1} of {DEALS}")
        draws = [everyone, *_draws(rows, rng)]
        whole = np.array(rows.precision(score, draws))
        order = rng.permutation(len(rows.vectors))
        for k, columns in enumerate(asked):
            drop = whole - np.array(rows.precision(rows.dealt(columns, order, score), draws))
            value[k] += float(drop[0]) / DEALS
            found[k].extend(drop[1:].tolist())
    return [Interval(value[k], *bounds(found[k])) for k in range(len(asked))]


def _draws(rows: _Rows, rng: np.random.Generator) -> list[Floats]:
    """DRAWS of customers in which there are positive rows."""
    found: list[Floats] = []
    while len(found) < DRAWS:
        times = draw(rng, int(rows.customer.max()) + 1)
        if times[rows.customer] @ rows.label > 0:
            found.append(times)
    return found
