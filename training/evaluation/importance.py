"""Permutation importance (Breiman 2001), held out: how much worse the ranking gets without a feature's information.

A model that has not learned from a row's customer scores it, so what a model only remembers does not count. Values are
permuted, which keeps a feature's distribution. Where the label is a customer's, they move from customer to customer, as
do those that never change within a customer; otherwise from event to event (decision 0022). Features with the same
information stand in for one another, so all columns of a group are also permuted together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from export.onnx import Scorer
from export.ranking import LATEST
from features.usecase import Difference, Feature, Ratio, Raw, UseCase
from training.arrays import Floats, Indices, Mask, Vectors
from training.evaluation.curves import draw
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.figures import Importance
from training.models.held_out import HeldOut
from training.progress import Progress
from training.statistics.customer_score import customer_labels, customer_scores, places
from training.statistics.interval import Interval
from training.statistics.metrics import Ranking

MOST_ROWS = (
    10_000  # scored again and again, where the label is a customer's: rows of one customer tell much the same
)
MOST_EVENTS = 20_000  # the same where the label is an event's, and positives are few
REPEATS = 5
DRAWS = 30  # of customers, the same in every repeat: they give a standard error, no percentiles
ROUNDING = 1e-9  # of products that should be whole
NORMAL = 1.96  # standard errors on either side of a 95% interval
CONSTANT = 0.9  # of the customers with several rows: a profile may change now and then


def groups_of(use_case: UseCase, feature: Feature) -> tuple[str, ...]:
    """Return what a feature is made of: entity.aggregate, entity.attribute's field or event.field, of a ratio both."""
    formula = feature.formula
    parts: tuple[Raw, ...]
    match formula:
        case Ratio(of, over):
            parts = (of, over)
        case Difference(of, minus):
            parts = (of, minus)
        case _:
            parts = (formula.source,)
    return tuple(dict.fromkeys(_part(use_case, feature, part) for part in parts))


def _part(use_case: UseCase, feature: Feature, raw: Raw) -> str:
    if raw.column < 0:
        return f"event.{raw.field}"
    declared = use_case.by_entity[feature.entity]
    if raw.column < len(declared.outputs):
        return f"{feature.entity}.{declared.aggregates[declared.outputs[raw.column][0]].name}"
    return f"{feature.entity}.{feature.fields[0].partition('.')[2]}"


@dataclass(frozen=True, eq=False)
class _ScoredRows:
    """Rows that are scored again for each permutation."""

    models: Sequence[tuple[Scorer, Mask]]  # each with the rows [n] that it has not learned from
    vectors: Vectors
    label: NDArray[np.int64]
    customer: Indices  # [n] from 0
    weight: Floats  # [n] where events are counted
    by_event: bool  # the label is an event's

    def score(self, vectors: Vectors, rows: Mask) -> Floats:
        """Score the `vectors` of the rows [n] that are marked, each by its own model."""
        scores = np.empty(len(vectors))
        for scorer, own_rows in self.models:
            if (own_rows & rows).any():
                scores[own_rows[rows]] = scorer.score(vectors[own_rows[rows]])
        return scores

    def dealt(self, columns: Sequence[int], source: Indices, score: Floats) -> Floats:
        """Return scores [n] with the values of the rows `source` [n] in these columns; `score` [n] is without.

        Most features are zero or missing in most rows. A row that is dealt what it had keeps its score to the bit.
        """
        before, after = self.vectors[:, columns], self.vectors[np.ix_(source, np.array(columns))]
        changed = ((before != after) & ~(np.isnan(before) & np.isnan(after))).any(axis=1)
        vectors = self.vectors[changed]
        vectors[:, columns] = after[changed]
        scores = score.copy()
        scores[changed] = self.score(vectors, changed)
        return scores

    @cached_property
    def is_constant(self) -> Mask:
        """Mask of the features [F] that hardly ever change within a customer."""
        order = np.argsort(self.customer, kind="stable")
        vectors, customer = self.vectors[order], self.customer[order]
        same = (vectors[1:] == vectors[:-1]) | (np.isnan(vectors[1:]) & np.isnan(vectors[:-1]))
        within = customer[1:] == customer[:-1]
        several = np.unique(customer[1:][within])
        changes = [len(np.unique(customer[1:][within & ~column])) for column in same.T]
        return np.array(changes) <= (1 - CONSTANT) * len(several)

    def sources(self, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Deal rows [n]: from customer to customer, and from event to event."""
        return _from_customers(self.customer, rng), rng.permutation(len(self.label))


def importance(
    use_case: UseCase,
    held_out: HeldOut,
    customers: HeldOutCustomers,
    by_event: bool,
    seed: int,
    progress: Progress,
) -> tuple[tuple[Importance, ...], tuple[Importance, ...]]:
    """Measure each feature and each group of features, the largest fall of average precision first.

    `by_event`: the label is an event's, and the fall by events decides the order; otherwise that by customers.
    """
    rng = np.random.default_rng(seed)
    rows = _drawn(held_out, customers, by_event, rng)
    groups = [groups_of(use_case, feature) for feature in use_case.table]
    columns = {
        name: [k for k, each in enumerate(groups) if name in each]
        for name in dict.fromkeys(name for each in groups for name in each)
    }
    dealt = [[k] for k in range(len(groups))] + list(columns.values())
    names = [
        *zip(use_case.features, (each[0] for each in groups), strict=True),
        *(("", name) for name in columns),
    ]
    falls = zip(*_falls(rows, dealt, rng, progress), strict=True)
    measured = [
        Importance(name, group, events if by_event else people, people, events)
        for (name, group), (people, events) in zip(names, falls, strict=True)
    ]
    return _largest_first(measured[: len(groups)]), _largest_first(measured[len(groups) :])


def _largest_first(measured: Sequence[Importance]) -> tuple[Importance, ...]:
    """Sort by the fall, those with a measurable effect first."""
    return tuple(sorted(measured, key=lambda each: (each.drop.low <= 0, -each.drop.value)))


def _drawn(
    held_out: HeldOut, customers: HeldOutCustomers, by_event: bool, rng: np.random.Generator
) -> _ScoredRows:
    """Draw customers without replacement until there are enough rows; both labels are there.

    Where the label is a customer's, rows of busy customers are left out first, so that more customers are drawn.
    """
    kept = np.ones(len(held_out.score), np.bool_) if by_event else _thinned(customers)
    count = np.bincount(customers.of_row[kept], minlength=len(customers))
    order = rng.permutation(len(customers))
    first = [order[np.argmax(customers.label[order] == value)] for value in (0, 1)]
    order = np.concatenate([first, order[~np.isin(order, first)]])
    chosen = np.zeros(len(customers), np.bool_)
    chosen[order[np.cumsum(count[order]) <= (MOST_EVENTS if by_event else MOST_ROWS)]] = True
    chosen[first] = True
    rows = np.flatnonzero(kept & chosen[customers.of_row])
    customer = np.unique(customers.of_row[rows], return_inverse=True)[1]
    weight = np.ones(len(rows)) if by_event else 1.0 / np.bincount(customer)[customer]
    return _ScoredRows(
        [(Scorer(model), own_rows[rows]) for model, own_rows in held_out.by_model() if own_rows[rows].any()],
        held_out.rows.vectors[rows], held_out.rows.label[rows], customer, weight, by_event,
    )  # fmt: skip


def _thinned(customers: HeldOutCustomers) -> Mask:
    """Mark rows [n]: all, or of each customer the latest, which make its score, and an even part of the others."""
    if len(customers.of_row) <= MOST_ROWS:
        return np.ones(len(customers.of_row), np.bool_)
    count = np.bincount(customers.of_row)
    place, earlier = places(customers.of_row), np.maximum(count - LATEST, 0)
    others = max(MOST_ROWS // len(customers) - LATEST, 0)
    share = (np.minimum(others, earlier) / np.maximum(earlier, 1))[customers.of_row]
    is_even = np.floor((place + 1) * share + ROUNDING) > np.floor(place * share + ROUNDING)
    return np.asarray(is_even | (place >= earlier[customers.of_row]))


def _from_customers(customer: Indices, rng: np.random.Generator) -> Indices:
    """Deal customers to customers: for each row [n] a row of the one dealt, in its order from a place drawn.

    Who has more rows than the one dealt gets these over again.
    """
    order = np.argsort(customer, kind="stable")
    count = np.bincount(customer)
    start = np.cumsum(count) - count
    place = np.arange(len(order)) - start[customer[order]]
    dealt, offset = rng.permutation(len(count)), rng.integers(0, 1 << 32, len(count))
    other = dealt[customer[order]]
    source = np.empty(len(order), np.intp)
    source[order] = order[start[other] + (place + offset[customer[order]]) % count[other]]
    return source


def _falls(
    rows: _ScoredRows, dealt: Sequence[Sequence[int]], rng: np.random.Generator, progress: Progress
) -> Iterator[list[Interval]]:
    """Measure the falls of average precision for all sets of columns, by customers and then by events."""
    draws = _draws(rows, rng)
    score = rows.score(rows.vectors, np.ones(len(rows.label), np.bool_))
    unpermuted = [level.precision(score) for level in draws]
    falls = np.empty((len(draws), len(dealt), REPEATS, DRAWS + 1))
    for repeat in range(REPEATS):
        progress(f"permutation importance, repeat {repeat + 1}/{REPEATS}")
        by_customer, by_row = rows.sources(rng)
        for k, columns in enumerate(dealt):
            by_row_is_fair = rows.by_event and not rows.is_constant[list(columns)].all()
            scores = rows.dealt(columns, by_row if by_row_is_fair else by_customer, score)
            for at, level in enumerate(draws):
                falls[at, k, repeat] = unpermuted[at] - level.precision(scores)
    for level_falls in falls:
        yield [_interval(each) for each in level_falls]


def _interval(falls: Floats) -> Interval:
    """Return the mean of falls [REPEATS, 1 + DRAWS]; its error is that of customers and of repeats."""
    value = float(falls[:, 0].mean())
    of_customers, of_repeats = falls[:, 1:].mean(axis=0).var(ddof=1), falls[:, 0].var(ddof=1) / REPEATS
    reach = NORMAL * float(np.sqrt(of_customers + of_repeats))
    return Interval(value, value - reach, value + reach)


@dataclass(frozen=True, eq=False)
class _Unit:
    """Customers or events [m], and what each weighs in all and in each draw of customers [1 + DRAWS, m]."""

    label: NDArray[np.int64]
    weights: Floats
    customer: Indices | None  # [n] of rows whose scores make those of customers

    def precision(self, score: Floats) -> Floats:
        """Return the average precision of row scores [n] in all and in each draw [1 + DRAWS]."""
        if self.customer is not None:
            score = customer_scores(self.customer, score)
        ranking = Ranking.of(self.label, score)
        label, weights = ranking.label[ranking.order], self.weights[:, ranking.order]
        true = np.cumsum(weights * label, axis=1)[:, ranking.ends]
        flagged = np.cumsum(weights, axis=1)[:, ranking.ends]
        precision = true / np.maximum(flagged, np.finfo(np.float64).tiny)
        return np.asarray((np.diff(true, axis=1, prepend=0) * precision).sum(axis=1) / true[:, -1])


def _draws(rows: _ScoredRows, rng: np.random.Generator) -> tuple[_Unit, _Unit]:
    """Draw customers, and return both units with these draws; there are positive rows in each."""
    times = [np.ones(int(rows.customer.max()) + 1)]
    while len(times) <= DRAWS:
        drawn = draw(rng, len(times[0]))
        if drawn[rows.customer] @ rows.label > 0:
            times.append(drawn)
    weights = np.stack(times)
    people = _Unit(customer_labels(rows.customer, rows.label), weights, rows.customer)
    return people, _Unit(rows.label, rows.weight * weights[:, rows.customer], None)
