"""Learners to choose from: how each is fitted, its default hyper-parameters, and where to search for better ones.

A hyper-parameter has the same name for all learners that have it. Vectors are float32 [n, F] with NaN where missing.
Weights add up to the number of customers (of events, where the label is an event's), so that what holds a learner back
(`l2`, `child_weight`) counts customers, however many rows each has. Each fit has one thread
(training.models.parallel): the same rows and seed give the same model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.arrays import Floats, Labels, Vectors
from training.models.binning import codes, edges, restore

LEAST_L2 = 1e-6  # of a linear model: columns that say the same have no single answer without it
ROWS_PER_TREE = (
    20_000  # drawn for each tree of a forest, which sorts them at every node; its leaves are few anyhow
)
BOOSTER_LARGEST = np.float32(
    1e38
)  # XGBoost doubles the largest value for a last bin: beyond, that is infinite

Values = Mapping[str, Any]  # hyper-parameters by name


@dataclass(frozen=True)
class SearchRange:
    """Range in which a number is searched for, by orders of magnitude unless it is a share."""

    low: float
    high: float
    is_whole: bool = False
    is_log: bool = True


@dataclass(frozen=True)
class Candidate:
    """Learner that may be chosen. `fit` returns one that export.onnx.calibration knows.

    `balanced` is a parameter of every candidate (training.models.fit). Numbers that `space` leaves out are not searched
    for: more trees of a forest are only slower, never worse.
    """

    fit: Callable[[Vectors, Labels, Floats, Values, int], Any]
    defaults: Values
    space: Mapping[str, SearchRange]


def _logistic(vectors: Vectors, label: Labels, weight: Floats, values: Values, seed: int) -> Any:
    """Fit a logistic regression; the solver is exact and draws nothing, and `l2` counts customers as elsewhere."""
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped,unused-ignore]

    from export.onnx import Linear, Scales, standardized

    scales = Scales.of(vectors)
    inputs = standardized(vectors, scales).astype(np.float64)
    learner = LogisticRegression(C=1 / max(values["l2"], LEAST_L2), solver="newton-cholesky", max_iter=100)
    learner.fit(inputs, label, weight)
    return Linear(scales, learner.coef_[0], float(learner.intercept_[0]))


def _forest(vectors: Vectors, label: Labels, weight: Floats, values: Values, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier  # type: ignore[import-untyped,unused-ignore]

    learner = RandomForestClassifier(
        n_estimators=values["trees"],
        max_leaf_nodes=values["leaves"],
        min_samples_leaf=values["rows_per_leaf"],
        max_features=values["columns"],
        max_samples=min(ROWS_PER_TREE, len(vectors)),
        n_jobs=1,
        random_state=seed,
    )
    return learner.fit(vectors, label, weight)


def _boosting(vectors: Vectors, label: Labels, weight: Floats, values: Values, seed: int) -> Any:
    """Fit histogram gradient boosting, without early stopping, whose split would share customers."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # type: ignore[import-untyped,unused-ignore]

    learner = HistGradientBoostingClassifier(
        max_iter=values["trees"],
        max_leaf_nodes=values["leaves"],
        min_samples_leaf=values["rows_per_leaf"],
        learning_rate=values["learning_rate"],
        l2_regularization=values["l2"],
        early_stopping=False,
        random_state=seed,
    )
    by_column = [edges(column) for column in vectors.T]
    learner.fit(codes(vectors, by_column), label, weight)
    restore(learner, by_column)
    return learner


def _xgboost(vectors: Vectors, label: Labels, weight: Floats, values: Values, seed: int) -> Any:
    from xgboost import XGBClassifier  # type: ignore[import-untyped,unused-ignore]

    learner = XGBClassifier(
        n_estimators=values["trees"],
        max_leaves=values["leaves"],
        max_depth=0,  # as deep as leaves go
        grow_policy="lossguide",
        tree_method="hist",
        min_child_weight=values["child_weight"],
        learning_rate=values["learning_rate"],
        reg_lambda=values["l2"],
        colsample_bynode=values["columns"],  # of a tree, few columns would never meet each other
        n_jobs=1,
        random_state=seed,
    )
    bounded = np.clip(vectors, -BOOSTER_LARGEST, BOOSTER_LARGEST)
    return learner.fit(bounded, label, sample_weight=weight)


_TREES, _LEAVES, _ROWS = SearchRange(50, 400, True), SearchRange(4, 63, True), SearchRange(5, 200, True)
_RATE, _COLUMNS = SearchRange(0.02, 0.3), SearchRange(0.1, 1.0, is_log=False)

CANDIDATES: Mapping[str, Candidate] = {
    "logistic_regression": Candidate(_logistic, {"l2": 5.0}, {"l2": SearchRange(1e-2, 1e3)}),
    "random_forest": Candidate(
        _forest,
        {"trees": 100, "leaves": 128, "rows_per_leaf": 5, "columns": 0.15},
        {
            "leaves": SearchRange(16, 512, True),
            "rows_per_leaf": _ROWS,
            "columns": _COLUMNS,
        },
    ),
    "hist_gradient_boosting": Candidate(
        _boosting,
        {"trees": 150, "leaves": 6, "rows_per_leaf": 40, "learning_rate": 0.05, "l2": 1.0},
        {
            "trees": _TREES,
            "leaves": _LEAVES,
            "rows_per_leaf": _ROWS,
            "learning_rate": _RATE,
            "l2": SearchRange(0.01, 100),
        },
    ),
    "xgboost": Candidate(
        _xgboost,
        {
            "trees": 150,
            "leaves": 6,
            "child_weight": 0.4,
            "learning_rate": 0.05,
            "l2": 1.0,
            "columns": 0.15,
        },
        {
            "trees": _TREES,
            "leaves": _LEAVES,
            "child_weight": SearchRange(0.05, 20),
            "learning_rate": _RATE,
            "l2": SearchRange(0.01, 100),
            "columns": _COLUMNS,
        },
    ),
}
