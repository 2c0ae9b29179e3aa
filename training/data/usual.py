"""Usual values of features among the customers that a model learns from; each customer counts once."""

import numpy as np

from export.distributions.reference import Usual, middle, weighted_median
from features.usecase import UseCase
from training.arrays import Floats
from training.data.labelled_rows import LabelledRows
from training.statistics.weights import weights


def usual_values(use_case: UseCase, learned: LabelledRows, score: Floats) -> dict[str, Usual]:
    """Return the usual values of each feature in rows [n] with their held-out scores [n].

    For `median` and `missing` a row weighs one over its customer's rows; `at_highest` takes the one row of each
    customer with its highest score, the first of equal ones, and `at_last` its last row.
    """
    customer = np.unique(learned.customers, return_inverse=True)[1]
    weight = weights(customer, by_event=False)
    order = np.lexsort((learned.times_us, -score, customer))
    top = order[np.unique(customer[order], return_index=True)[1]]
    by_time = np.lexsort((learned.times_us, customer))
    last = by_time[np.cumsum(np.bincount(customer)) - 1]
    by_feature = {}
    for feature, column in zip(use_case.table, learned.vectors.T, strict=True):
        missing = float(weight[np.isnan(column)].sum() / weight.sum())
        at_highest, at_last = (middle(column[rows], is_share=bool(feature.choice)) for rows in (top, last))
        missing_then = float(np.isnan(column[top]).mean())
        by_feature[feature.name] = Usual(
            missing, weighted_median(column, weight), at_highest, missing_then, at_last
        )
    return by_feature
