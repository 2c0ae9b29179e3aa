"""Fitting: rows to learn from, and scores of every row by a model that has not seen its customer.

Customers, not rows, are dealt to folds and weighted in learning: each weighs 1, spread over its rows, and only a sample
of a busy customer's rows is learned from. Measuring weighs the same way, unless the label is an event's. Missing values
(NaN) are values like any other. The same seed gives the same model.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.onnx import margin
from export.ranking import LATEST
from training.arrays import Floats, Indices, Labels, Mask, Texts, Vectors
from training.data.labelled_rows import BadHistory
from training.models.candidates import CANDIDATES
from training.models.parallel import run_in_parallel
from training.statistics.customer_score import places
from training.statistics.weights import weights

EARLY = (
    20  # events of a customer; with equal weights, average precision was 0.01 to 0.03 lower (decision 0021)
)


@dataclass(frozen=True, eq=False)
class LearningRows:
    """Rows [n] of customers that are numbered from 0 and dealt to folds."""

    vectors: Vectors  # [n, F]
    label: Labels  # [n] 0 or 1
    customer: Indices  # [n]
    customer_label: NDArray[np.int64]  # [customers] 1 if any row is
    fold: NDArray[np.int64]  # [n] the same for all rows of a customer
    sampled: Mask  # [n] may be learned from
    latest: Mask  # [n] what a customer's score is made of
    place: NDArray[np.int64]  # [n] among the customer's rows in the order of arrival, from 0
    by_event: bool = False  # the label is an event's

    @property
    def folds(self) -> int:
        """Number of folds."""
        return int(self.fold.max()) + 1

    @property
    def weight(self) -> Floats:
        """Weights [n] for measuring."""
        return weights(self.customer, self.by_event)


def learning_rows(
    vectors: Vectors,
    label: Labels,
    customers: Texts,
    folds: int,
    rows_per_customer: int,
    seed: int,
    by_event: bool = False,
) -> LearningRows:
    """Number the customers, deal them to folds and draw the rows to learn from.

    `vectors` [n, F], `label` 0 or 1 [n], `customers` ids [n]. Raises BadHistory if there are too few customers or rows
    of a label.
    """
    customer, customer_label = _numbered(label, customers)
    rng = np.random.default_rng(seed)
    fold = deal_folds(customer_label, folds, rng)[customer]
    sampled = _sample(customer, rows_per_customer, rng)
    _check_folds(label[sampled], fold[sampled])
    place = places(customer)
    latest = place >= np.bincount(customer)[customer] - LATEST
    return LearningRows(vectors, label, customer, customer_label, fold, sampled, latest, place, by_event)


def fit(rows: LearningRows, chosen: Mask, candidate: str, values: Mapping[str, Any], seed: int) -> Any:
    """Fit a learner to the rows that are `chosen` and sampled; `values` are its hyper-parameters."""
    learned = chosen & rows.sampled
    label, weight = rows.label[learned], learning_weights(rows, learned)
    if values["balanced"]:
        total = weight.sum()
        weight = weight / np.bincount(label, weight)[label]
        weight *= total / weight.sum()
    return CANDIDATES[candidate].fit(rows.vectors[learned], label, weight, values, seed)


def learning_weights(rows: LearningRows, learned: Mask) -> Floats:
    """Return the weights of the rows that are learned from: one a customer, or one an event if the label is an event's.

    A customer's label says what became of the customer in the end, and its first events say little about that: their
    weights are lower, and rise evenly to the full weight at the customer's EARLY-th event.
    """
    if rows.by_event:
        return np.ones(int(learned.sum()))
    ramp = np.minimum(rows.place[learned] + 1, EARLY) / EARLY
    customer = rows.customer[learned]
    return ramp / np.bincount(customer, ramp)[customer]


def fit_folds(
    rows: LearningRows, folds: Iterable[int], candidate: str, values: Mapping[str, Any], seed: int
) -> Iterator[tuple[Any, Floats]]:
    """Yield for each of the folds a learner fitted without it, and the learner's margins of the fold's rows."""
    return run_in_parallel([partial(_without, rows, fold, candidate, values, seed) for fold in folds])


def _without(
    rows: LearningRows, fold: int, candidate: str, values: Mapping[str, Any], seed: int
) -> tuple[Any, Floats]:
    out = rows.fold == fold
    learner = fit(rows, ~out, candidate, values, seed)
    return learner, margin(learner, rows.vectors[out])


def _numbered(label: Labels, customers: Texts) -> tuple[Indices, NDArray[np.int64]]:
    """Number the customers, and return the label of each: positive if any row is."""
    names, customer = np.unique(customers, return_inverse=True)
    customer_label = np.zeros(len(names), np.int64)
    np.maximum.at(customer_label, customer, label)
    for value, meaning in ((0, "negative"), (1, "positive")):
        count = int((customer_label == value).sum())
        if count < 2:
            raise BadHistory(
                f"found {count} customers with a {meaning} label and scored events, expected at least 2: "
                "give events of more labelled customers, or check `label` in the use case"
            )
    return customer, customer_label


def deal_folds(customer_label: NDArray[np.int64], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal each class of customers to folds in turn, so that every fold has its share of both; [customers]."""
    folds = min(folds, int(np.bincount(customer_label).min()))
    fold = np.empty(len(customer_label), np.int64)
    for value in (0, 1):
        dealt = rng.permutation(np.flatnonzero(customer_label == value))
        fold[dealt] = np.arange(len(dealt)) % folds
    return fold


def _check_folds(label: Labels, fold: NDArray[np.int64]) -> None:
    """Refuse folds without rows of both labels; a customer's few positive events may not be in the sample."""
    for value, meaning in ((0, "negative"), (1, "positive")):
        lacking = set(fold.tolist()) - set(fold[label == value].tolist())
        if lacking:
            raise BadHistory(
                f"fold {min(lacking) + 1} of {fold.max() + 1} has no {meaning} row to learn from, expected some: "
                "give events of more labelled customers, or set fewer `folds` or more `rows_per_customer` in `model`"
            )


def _sample(customer: Indices, most: int, rng: np.random.Generator) -> Mask:
    """Mark at most `most` rows of each customer, drawn evenly."""
    order = np.lexsort((rng.random(len(customer)), customer))
    starts = np.searchsorted(customer[order], customer[order])
    chosen = np.zeros(len(customer), np.bool_)
    chosen[order] = np.arange(len(customer)) - starts < most
    return chosen
