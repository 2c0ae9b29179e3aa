"""Baselines without a model: the base rate, the best single feature, and a rule of three questions.

Both rules are made by cross-validation over the held-out customers, so that a rule that has not seen a customer scores
it, as the model does. The same customers are drawn for both (a paired bootstrap), and the model's lead has an interval.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from export.ranking import LATEST
from features.usecase import UseCase
from training.arrays import Floats, Indices, Labels, Mask, Vectors
from training.evaluation.curves import ScoredSample, intervals
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.figures import Baseline
from training.models.fit import deal_folds
from training.models.held_out import HeldOut
from training.statistics.customer_score import customer_labels, customer_scores, places
from training.statistics.interval import Interval
from training.statistics.metrics import INTERVAL, Ranking, average_precision, draws

QUESTIONS = 3  # depth of the tree: what fits on a card
LEAST_SHARE = 0.01  # of all customers' weight in a leaf of it
FOLDS = 5
MOST_ROWS = 20_000  # by which the best feature of a fold is looked for
MOST_LEARNED = 50_000  # rows of each label that a rule is made of: with more, few questions get no better
DIRECTIONS = {1.0: "the higher the worse", -1.0: "the lower the worse"}
BASE_RATE, RULE, MODEL = "the base rate", f"a rule of {QUESTIONS} questions", "the model"
TOO_FEW = "Baselines are left out: fewer than two customers of each label judge the model."


def baselines(
    use_case: UseCase, held_out: HeldOut, customers: HeldOutCustomers, by_customer: bool, seed: int
) -> tuple[tuple[Baseline, ...], tuple[str, ...]]:
    """Measure the base rate, the best feature, the rule and the model; only a note if customers are too few."""
    folds = min(FOLDS, int(np.bincount(customers.label, minlength=2).min()))
    if folds < 2:
        return (), (TOO_FEW,)
    rng = np.random.default_rng(seed)
    rows = _FoldedRows(
        held_out, customers, by_customer, deal_folds(customers.label, folds, rng)[customers.of_row]
    )
    names, alone = _best_features(use_case.features, rows, rng)
    scores = {
        BASE_RATE: np.zeros(len(rows.label)),
        names: alone,
        RULE: _rule(rows, seed),
        MODEL: held_out.score,
    }
    samples = {name: rows.sample(score) for name, score in scores.items()}
    leads = _leads(list(samples.values()), seed)
    measured = (intervals(sample, {}, seed) for sample in samples.values())
    return tuple(
        Baseline(name, each["roc_auc"], each["average_precision"], lead)
        for name, each, lead in zip(samples, measured, leads, strict=True)
    ), ()


def leads(measured: Sequence[Baseline]) -> dict[str, Interval]:
    """Return the model's leads that decide whether it is worth having: over the base rate and over the rule."""
    return {each.name: each.lead for each in measured if each.lead and each.name in (BASE_RATE, RULE)}


def warning(measured: Sequence[Baseline]) -> str:
    """Warn that the model is not better than a baseline beyond chance; empty if it is."""
    behind = [
        each for each in measured if each.name in leads(measured) and not leads(measured)[each.name].low > 0
    ]
    if not behind:
        return ""
    worst = min(behind, key=lambda each: leads(measured)[each.name].value)
    model = next(each for each in measured if each.name == MODEL)
    advice = (
        "The rule does as well, and anybody can read it." if worst.name == RULE else "Its scores say nothing."
    )
    return (
        f"The model is not measurably better than {worst.name}: on the same customers its average precision is "
        f"{model.average_precision.value:.3f} against {worst.average_precision.value:.3f}, a lead of {worst.lead}. "
        f"{advice}"
    )


class _FoldedRows:
    """Held-out rows [n], dealt to folds of customers."""

    def __init__(
        self, held_out: HeldOut, customers: HeldOutCustomers, by_customer: bool, fold: NDArray[np.int64]
    ) -> None:
        self.vectors, self.label = held_out.rows.vectors, held_out.rows.label
        self.weight, self.customer, self.fold = customers.weight, customers.of_row, fold
        self.by_customer = by_customer

    def sample(self, score: Floats, chosen: Mask | Indices | slice = slice(None)) -> ScoredSample:
        """Return events, or customers, of some of the rows with their scores."""
        label, weight = self.label[chosen], self.weight[chosen]
        customer = np.unique(self.customer[chosen], return_inverse=True)[1]
        if not self.by_customer:
            return ScoredSample(label, score, weight, customer)
        label, score = customer_labels(customer, label), customer_scores(customer, score)
        return ScoredSample(label, score, np.ones(len(score)), np.arange(len(score)))


def _best_features(
    features: Sequence[str], rows: _FoldedRows, rng: np.random.Generator
) -> tuple[str, Floats]:
    """Score each fold [n] by the feature that ranks the others best, and name the one that was best most often."""
    score, chosen = np.empty(len(rows.label)), []
    for fold in range(int(rows.fold.max()) + 1):
        out = rows.fold == fold
        column, sign = _best(rows, np.flatnonzero(~out), rng)
        score[out] = _ranks(rows.vectors[out, column], sign)
        chosen.append((column, sign))
    (column, sign), times = Counter(chosen).most_common(1)[0]
    name = f"{features[column]} alone, {DIRECTIONS[sign]}"
    return (name if times == len(chosen) else f"{name}, in {times} of {len(chosen)} folds"), score


def _best(rows: _FoldedRows, learn: Indices, rng: np.random.Generator) -> tuple[int, float]:
    """Return the column and the direction with the highest average precision."""
    few = _few(rows, learn, rng)
    tried = {}
    for column in range(rows.vectors.shape[1]):
        for sign in DIRECTIONS:
            sample = rows.sample(_ranks(rows.vectors[few, column], sign), few)
            tried[column, sign] = average_precision(Ranking.of(sample.label, sample.score), sample.weight)
    return max(tried, key=lambda each: tried[each])


def _few(rows: _FoldedRows, learn: Indices, rng: np.random.Generator) -> Indices:
    """Return the rows that make customers' scores, or events of customers drawn until they are MOST_ROWS."""
    customer = np.unique(rows.customer[learn], return_inverse=True)[1]
    if rows.by_customer:
        return learn[places(customer) >= np.bincount(customer)[customer] - LATEST]
    order = rng.permutation(int(customer.max()) + 1)
    kept = np.zeros(len(order), np.bool_)
    kept[order[np.cumsum(np.bincount(customer)[order]) <= MOST_ROWS]] = True
    few = learn[kept[customer]]
    return few if rows.label[few].any() else learn


def _ranks(column: Vectors, sign: float) -> Floats:
    """Return the places of a feature's values in the direction of `sign`; missing values are the least suspicious."""
    values = np.where(np.isnan(column), -np.inf, sign * column)
    order = np.sort(values)
    return np.searchsorted(order, values, side="right") / len(values)


def _rule(rows: _FoldedRows, seed: int) -> Floats:
    """Return scores [n] by small decision trees, each fitted to the other folds; every customer counts as one."""
    from sklearn.tree import DecisionTreeClassifier

    score, rng = np.empty(len(rows.label)), np.random.default_rng(seed)
    for fold in range(int(rows.fold.max()) + 1):
        out = rows.fold == fold
        learned, times = _learned(rows.label, np.flatnonzero(~out), rng)
        tree = DecisionTreeClassifier(
            max_depth=QUESTIONS, min_weight_fraction_leaf=LEAST_SHARE, random_state=seed
        )
        tree.fit(rows.vectors[learned], rows.label[learned], rows.weight[learned] * times)
        score[out] = tree.predict_proba(rows.vectors[out])[:, 1]
    return score


def _learned(label: Labels, rows: Indices, rng: np.random.Generator) -> tuple[Indices, Floats]:
    """Draw MOST_LEARNED of the rows of each label, and return them with how many rows each stands for."""
    drawn = [rng.permutation(rows[label[rows] == value]) for value in (0, 1)]
    kept = [np.sort(each[:MOST_LEARNED]) for each in drawn]
    times = [np.full(len(few), len(each) / len(few)) for each, few in zip(drawn, kept, strict=True)]
    return np.concatenate(kept), np.concatenate(times)


def _leads(samples: Sequence[ScoredSample], seed: int) -> list[Interval | None]:
    """Return the average precision of the last sample, the model, minus that of each other; None for itself."""
    rankings = [Ranking.of(each.label, each.score) for each in samples]
    model = samples[-1]
    weights = [model.weight, *draws(rankings[-1], model.weight, model.customer, seed)]
    precisions = np.array([[average_precision(each, weight) for each in rankings] for weight in weights])
    leads = precisions[:, [-1]] - precisions[:, :-1]
    low, high = np.percentile(leads[1:], INTERVAL, axis=0)
    return [*map(Interval, leads[0].tolist(), low.tolist(), high.tolist()), None]
