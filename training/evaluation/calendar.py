"""Dates alone: a model that learns only from dates, measured out-of-fold beside the real one.

A history whose positives lie early, or whose customers stop when they are found out, can be ranked without looking at
anything that a customer did. What a model gains in this way does not come again. Two sets of dates are tried: those
that are known when an event is scored (the customer's first event and this one), and all, with the customer's last
event, which only the whole history shows. Times are int64 microseconds.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from training.arrays import Floats, Indices, Labels, Mask, Times
from training.evaluation.curves import bounds, draw
from training.evaluation.figures import Calendar, DatesAlone
from training.models.parallel import run_in_parallel
from training.statistics.customer_score import customer_labels, customer_scores
from training.statistics.interval import Interval
from training.statistics.metrics import REPLICATES, Ranking, average_precision, roc_auc

FOLDS = 5
MOST_ROWS = 200_000  # judged; of a longer history, all rows of customers drawn by chance
MOST_LEARNED = 50_000  # rows of a model: three columns need no more
ROWS_PER_CUSTOMER = 5  # learned from where the label is a customer's: its label is one fact
CUSTOMERS_PER_LEAF = 8  # at least: dates of fewer would be as good as their names
ROWS_PER_LEAF = 20  # at least, where the label is an event's
ALL_DATES, KNOWN_DATES = (0, 1, 2), (0, 2)  # columns: first event, last event, this one
NEAR = 0.9  # of the model's distance from chance


def calendar_alone(
    time_us: Times,
    label: Labels,
    customer: Indices,
    seed: int,
    *,
    by_event: bool = False,
    score: Floats | None = None,
) -> Calendar | None:
    """Judge models of dates alone; None if either label has fewer than two customers.

    `time_us` [n] of events in the order of their arrival, `label` [n] 0 or 1, `customer` [n] numbers whose they are
    from 0, none left out. `score` [n] is the model's, held out, to compare with. With `by_event` the label is an
    event's, and events are ranked, each counting as one; otherwise customers are, as
    training.statistics.customer_score ranks them.
    """
    kept = _drawn(customer, seed)
    time_us, label, customer = time_us[kept], label[kept], np.unique(customer[kept], return_inverse=True)[1]
    score = None if score is None else score[kept]
    if np.bincount(customer_labels(customer, label), minlength=2).min() < 2:
        return None
    dates = _dates(time_us, customer)
    ranked = [
        out_of_fold_scores(dates[:, columns], label, customer, seed, by_event)
        for columns in (ALL_DATES, KNOWN_DATES)
    ]
    owner: Indices = customer
    if not by_event:
        ranked = [customer_scores(customer, each) for each in ranked]
        score = None if score is None else customer_scores(customer, score)
        label = customer_labels(customer, label)
        owner = np.arange(len(label))
    return Calendar("events" if by_event else "customers", *_measured(label, owner, ranked, score, seed))


def out_of_fold_scores(dates: Floats, label: Labels, customer: Indices, seed: int, by_event: bool) -> Floats:
    """Return for each row [n] a probability by a model of `dates` [n, D] that has not learned from its customer."""
    from sklearn.model_selection import StratifiedKFold

    positive = customer_labels(customer, label)
    folds = StratifiedKFold(min(FOLDS, int(np.bincount(positive).min())), shuffle=True, random_state=seed)
    is_out = [np.isin(customer, out) for _, out in folds.split(positive, positive)]
    sampled = _sampled(customer, by_event, np.random.default_rng(seed))
    scores = run_in_parallel(
        [partial(_without, out, sampled, dates, label, customer, seed, by_event) for out in is_out]
    )
    combined = np.empty(len(label))
    for out, score in zip(is_out, scores, strict=True):
        combined[out] = score
    return combined


def _without(
    out: Mask, sampled: Mask, dates: Floats, label: Labels,
    customer: Indices, seed: int, by_event: bool,
) -> Floats:  # fmt: skip
    """Score the rows `out` by gradient boosting of few, shallow trees; by customer, each customer weighs as one."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = np.flatnonzero(sampled & ~out)
    if len(np.unique(label[rows])) < 2:
        return np.full(int(out.sum()), label[rows].mean())
    count = np.bincount(customer[rows])
    weight = np.ones(len(rows)) if by_event else 1.0 / count[customer[rows]]
    least = ROWS_PER_LEAF if by_event else CUSTOMERS_PER_LEAF * len(rows) // int((count > 0).sum())
    learner = HistGradientBoostingClassifier(
        max_iter=20, learning_rate=0.15, max_leaf_nodes=8, min_samples_leaf=least, l2_regularization=1.0,
        early_stopping=False, random_state=seed,
    )  # fmt: skip
    learner.fit(dates[rows], label[rows], weight / weight.mean())
    return np.asarray(learner.predict_proba(dates[out])[:, 1])


def _drawn(customer: Indices, seed: int) -> Mask:
    """Mark all rows of customers drawn by chance, as many as MOST_ROWS hold."""
    count = np.bincount(customer)
    order = np.random.default_rng(seed).permutation(len(count))
    chosen = np.zeros(len(count), np.bool_)
    chosen[order[np.cumsum(count[order]) <= MOST_ROWS]] = True
    return np.asarray(chosen[customer])


def _dates(time_us: Times, customer: Indices) -> Floats:
    """Return the first and last time of each row's customer, and its own, [n, 3]."""
    first = np.full(int(customer.max()) + 1, np.iinfo(np.int64).max)
    last = np.full(len(first), np.iinfo(np.int64).min)
    np.minimum.at(first, customer, time_us)
    np.maximum.at(last, customer, time_us)
    return np.stack([first[customer], last[customer], time_us], axis=1).astype(np.float64)


def _sampled(customer: Indices, by_event: bool, rng: np.random.Generator) -> Mask:
    """Mark the rows that may be learned from: a few of each customer, or any where the label is an event's."""
    chance = rng.random(len(customer))
    if by_event:
        return np.asarray(chance * len(customer) < MOST_LEARNED)
    order = np.lexsort((chance, customer))
    place = np.empty(len(customer), np.int64)
    place[order] = np.arange(len(customer)) - np.searchsorted(customer[order], customer[order])
    customers = int(customer.max()) + 1
    return np.asarray(place < min(ROWS_PER_CUSTOMER, max(MOST_LEARNED // customers, 1)))


def _measured(
    label: Labels,
    owner: Indices,
    ranked: Sequence[Floats],
    score: Floats | None,
    seed: int,
) -> Iterator[DatesAlone]:
    """Measure each ranking [n] of events or customers [n], and how far the model's `score` [n] is ahead of it."""
    drawn = list(_draws(label, owner, seed))
    everyone = np.ones(len(label))
    model = None if score is None else Ranking.of(label, score)
    of_model = [] if model is None else [roc_auc(model, each) for each in (everyone, *drawn)]
    for each in ranked:
        ranking = Ranking.of(label, each)
        auc, *aucs = (roc_auc(ranking, times) for times in (everyone, *drawn))
        precision, *precisions = (average_precision(ranking, times) for times in (everyone, *drawn))
        figures = Interval(auc, *bounds(aucs)), Interval(precision, *bounds(precisions))
        if not of_model:
            yield DatesAlone(*figures)
            continue
        ahead = [better - worse for better, worse in zip(of_model, (auc, *aucs), strict=True)]
        difference = Interval(ahead[0], *bounds(ahead[1:]))
        yield DatesAlone(*figures, difference, _is_near(figures[0], difference))


def _is_near(roc_auc: Interval, ahead: Interval) -> bool:
    """Return True if dates come near the model: it is not measurably better, or dates reach nearly as far."""
    model = roc_auc.value + ahead.value
    return ahead.low <= 0 or (roc_auc.low > 0.5 and roc_auc.value - 0.5 >= NEAR * (model - 0.5))


def _draws(label: Labels, owner: Indices, seed: int) -> Iterator[Floats]:
    """Draw customers with replacement, REPLICATES times: how often each row [n] is there; both labels always are."""
    rng, customers, made = np.random.default_rng(seed), int(owner.max()) + 1, 0
    while made < REPLICATES:
        times = draw(rng, customers)[owner]
        if 0 < times @ label < times.sum():
            made += 1
            yield times
