"""Rows to learn from, and scoring every row by a model that never saw its customer.

Customers, not rows, are split and weighted in learning: each has weight 1 spread over its rows, and of a busy one only
a sample of rows is learned from. What is measured weighs the same, unless the label is an event's. Missing values
(NaN) are values like any other. Same seed, same model.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.onnx import margin
from export.ranking import LATEST
from training.arrays import Floats, Indices, Labels, Mask, Vectors
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
    """n rows of customers that are numbered from 0 and dealt out to folds."""

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
        return int(self.fold.max()) + 1

    @property
    def weight(self) -> Floats:
        """[n] of what is measured."""
        return weights(self.customer, self.by_event)


def learning_rows(
    vectors: Vectors,
    label: Labels,
    customers: NDArray[Any],
    folds: int,
    rows_per_customer: int,
    seed: int,
    by_event: bool = False,
) -> LearningRows:
    """vectors [n, F], label 0 or 1 [n], customer id [n]. Raises BadHistory if nothing can be told apart."""
    customer, customer_label = _numbered(label, customers)
    rng = np.random.default_rng(seed)
    fold = deal_folds(customer_label, folds, rng)[customer]
    sampled = _sample(customer, rows_per_customer, rng)
    _check_folds(label[sampled], fold[sampled])
    place = places(customer)
    latest = place >= np.bincount(customer)[customer] - LATEST
    return LearningRows(vectors, label, customer, customer_label, fold, sampled, latest, place, by_event)


def fit(rows: LearningRows, chosen: Mask, candidate: str, values: Mapping[str, Any], seed: int) -> Any:
    """A learner fitted to the rows that are `chosen` and sampled; `values` are its hyper-parameters."""
    learned = chosen & rows.sampled
    label, weight = rows.label[learned], learning_weights(rows, learned)
    if values["balanced"]:
        total = weight.sum()
        weight = weight / np.bincount(label, weight)[label]
        weight *= total / weight.sum()
    return CANDIDATES[candidate].fit(rows.vectors[learned], label, weight, values, seed)


def learning_weights(rows: LearningRows, learned: Mask) -> Floats:
    """What each of the rows that are learned from weighs: one a customer, or one an event where the label is its own.

    A customer's label says what became of it in the end, and its first events say little about that: they count less,
    rising evenly to the full weight at the customer's EARLY-th event.
    """
    if rows.by_event:
        return np.ones(int(learned.sum()))
    ramp = np.minimum(rows.place[learned] + 1, EARLY) / EARLY
    customer = rows.customer[learned]
    return ramp / np.bincount(customer, ramp)[customer]


def fit_folds(
    rows: LearningRows, folds: Iterable[int], candidate: str, values: Mapping[str, Any], seed: int
) -> Iterator[tuple[Any, Floats]]:
    """For each of the folds a learner fitted without it, and its margins of the fold's rows."""
    return run_in_parallel([partial(_without, rows, fold, candidate, values, seed) for fold in folds])


def _without(
    rows: LearningRows, fold: int, candidate: str, values: Mapping[str, Any], seed: int
) -> tuple[Any, Floats]:
    out = rows.fold == fold
    learner = fit(rows, ~out, candidate, values, seed)
    return learner, margin(learner, rows.vectors[out])


def _numbered(label: Labels, customers: NDArray[Any]) -> tuple[Indices, NDArray[np.int64]]:
    """Customers as numbers, and the label of each: positive if any row is."""
    names, customer = np.unique(customers, return_inverse=True)
    customer_label = np.zeros(len(names), np.int64)
    np.maximum.at(customer_label, customer, label)
    for value, meaning in ((0, "negative"), (1, "positive")):
        found = int((customer_label == value).sum())
        if found < 2:
            raise BadHistory(
                f"found {found} customers with a {meaning} label and scored events, expected at least 2: "
                "give events of more labelled customers, or check `label` in the use case"
            )
    return customer, customer_label


def deal_folds(customer_label: NDArray[np.int64], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal each class of customers to folds in turn, so that every fold has its share of both; [customers]."""
    folds = min(folds, int(np.bincount(customer_label).min()))
    fold = np.empty(len(customer_label), np.int64)
    for value in (0, 1):
        own = rng.permutation(np.flatnonzero(customer_label == value))
        fold[own] = np.arange(len(own)) % folds
    return fold


def _check_folds(label: Labels, fold: NDArray[np.int64]) -> None:
    """Of a label by event, a customer's few positive rows may not be among those that are learned from."""
    for value, meaning in ((0, "negative"), (1, "positive")):
        lacking = set(fold.tolist()) - set(fold[label == value].tolist())
        if lacking:
            raise BadHistory(
                f"fold {min(lacking) + 1} of {fold.max() + 1} has no {meaning} row to learn from, expected some: "
                "give events of more labelled customers, or set fewer `folds` or more `rows_per_customer` in `model`"
            )


def _sample(customer: Indices, most: int, rng: np.random.Generator) -> Mask:
    """True for at most `most` rows a customer, drawn evenly."""
    order = np.lexsort((rng.random(len(customer)), customer))
    starts = np.searchsorted(customer[order], customer[order])
    chosen = np.zeros(len(customer), np.bool_)
    chosen[order] = np.arange(len(customer)) - starts < most
    return chosen
