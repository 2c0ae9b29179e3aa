"""Fitting a gradient boosting model to vectors, and scoring every row by a model that never saw its customer.

Customers, not rows, are split and weighted: each has weight 1 spread over its rows, and of a busy one only a
sample of rows is learned from. Missing values (NaN) are values like any other. Same seed, same model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier  # type: ignore[import-untyped,unused-ignore]
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

from export.terms import whole
from features.document import Node
from training.binning import codes, edges, restore

WORTH_THREADS = (
    100_000  # rows; below, threads wait for each other longer than they work, the model is the same
)
Progress = Callable[[str], None]


class BadHistory(ValueError):
    """The events given to training cannot be learned from."""


@dataclass(frozen=True)
class Parameters:
    """The `model` section of a use case. Early stopping is not offered: its split would share customers."""

    trees: int = 150
    leaves: int = 15
    rows_per_leaf: int = 40
    learning_rate: float = 0.05
    l2: float = 1.0
    folds: int = 5
    rows_per_customer: int = 200
    balanced: bool = False  # weigh both classes alike; scores are then no probabilities of the population

    @classmethod
    def of(cls, section: Mapping[str, Any], file: str = "use case") -> "Parameters":
        """Raises BadUseCase."""
        read: dict[str, Any] = {
            "learning_rate": _positive,
            "l2": _not_negative,
            "balanced": Node.flag,
            "folds": _folds,
        }
        parts = Node(file, "model", section).record((), [field.name for field in fields(cls)])
        return cls(**{name: read.get(name, _count)(node) for name, node in parts.items()})


def _count(node: Node) -> int:
    return whole(node, 1)


def _folds(node: Node) -> int:
    return whole(node, 2)


def _positive(node: Node) -> float:
    if not node.number() > 0:
        node.fail("a number above 0")
    return node.number()


def _not_negative(node: Node) -> float:
    if node.number() < 0:
        node.fail("a number of at least 0")
    return node.number()


@dataclass(frozen=True)
class Fitted:
    """The model of all rows, and for each row [n] the score of a model fitted without its customer."""

    model: HistGradientBoostingClassifier
    held_out: NDArray[np.float64]
    customer: NDArray[np.intp]  # [n] customers numbered from 0
    customer_label: NDArray[np.int64]  # [customers]
    weight: NDArray[np.float64]  # [n] one a customer


def fit(
    vectors: NDArray[np.float32],
    label: NDArray[np.integer],
    customers: NDArray[Any],
    parameters: Parameters,
    seed: int,
    progress: Progress = lambda _: None,
) -> Fitted:
    """vectors [n, F], label 0 or 1 [n], customer id [n]. Raises BadHistory if nothing can be told apart."""
    customer, customer_label = _numbered(label, customers)
    rng = np.random.default_rng(seed)
    folds = _fold_of_customer(customer_label, parameters.folds, rng)[customer]
    sampled = _sample(customer, parameters.rows_per_customer, rng)
    weight = 1.0 / np.bincount(customer)[customer]
    learn = _Learner(vectors, label, customer, parameters, seed)
    held_out = np.empty(len(label))
    for fold in range(int(folds.max()) + 1):
        progress(f"fitting without fold {fold + 1} of {int(folds.max()) + 1}")
        out = folds == fold
        held_out[out] = learn(sampled & ~out).predict_proba(vectors[out])[:, 1]
    progress("fitting on all customers")
    return Fitted(learn(sampled), held_out, customer, customer_label, weight)


@dataclass(frozen=True)
class _Learner:
    vectors: NDArray[np.float32]
    label: NDArray[np.integer]
    customer: NDArray[np.intp]
    parameters: Parameters
    seed: int

    def __call__(self, rows: NDArray[np.bool_]) -> HistGradientBoostingClassifier:
        asked = self.parameters
        model = HistGradientBoostingClassifier(
            max_iter=asked.trees,
            max_leaf_nodes=asked.leaves,
            min_samples_leaf=asked.rows_per_leaf,
            learning_rate=asked.learning_rate,
            l2_regularization=asked.l2,
            class_weight="balanced" if asked.balanced else None,
            early_stopping=False,
            random_state=self.seed,
        )
        weight = 1.0 / np.bincount(self.customer[rows])[self.customer[rows]]
        vectors = self.vectors[rows]
        by_column = [edges(column) for column in vectors.T]
        with threadpool_limits(1 if len(vectors) < WORTH_THREADS else None, "openmp"):
            model.fit(codes(vectors, by_column), self.label[rows], weight / weight.mean())
        restore(model, by_column)
        return model


def _numbered(
    label: NDArray[np.integer], customers: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
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


def _fold_of_customer(
    customer_label: NDArray[np.int64], folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Each class dealt out in turn, so that every fold has its share of both."""
    folds = min(folds, int(np.bincount(customer_label).min()))
    fold = np.empty(len(customer_label), np.int64)
    for value in (0, 1):
        own = rng.permutation(np.flatnonzero(customer_label == value))
        fold[own] = np.arange(len(own)) % folds
    return fold


def _sample(customer: NDArray[np.intp], most: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """True for at most `most` rows a customer, drawn evenly."""
    order = np.lexsort((rng.random(len(customer)), customer))
    starts = np.searchsorted(customer[order], customer[order])
    chosen = np.zeros(len(customer), np.bool_)
    chosen[order] = np.arange(len(customer)) - starts < most
    return chosen
