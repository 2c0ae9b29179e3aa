"""Metrics that tuning optimizes, against one threshold after another counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, fbeta_score

from training.models.objectives import Objective


def outcomes(label, score, weight):
    """(misses, false alarms, found, negatives left alone) of every threshold, nobody flagged first."""
    for threshold in [np.inf, *score]:
        flagged = score >= threshold
        yield tuple(
            sum(w for w, y, f in zip(weight, label, flagged, strict=True) if (y, f) == wanted)
            for wanted in ((1, False), (0, True), (1, True), (0, False))
        )


def naive_recall(label, score, weight, rate):
    return max(tp / (tp + fn) for fn, fp, tp, tn in outcomes(label, score, weight) if fp <= rate * (fp + tn))


def naive_cost(label, score, weight, miss, false_alarm):
    return min(
        (miss * fn + false_alarm * fp) / sum(weight) for fn, fp, _, _ in outcomes(label, score, weight)
    )


def naive_f_beta(label, score, weight, beta):
    of = outcomes(label, score, weight)
    return max((1 + beta**2) * tp / ((1 + beta**2) * tp + beta**2 * fn + fp) for fn, fp, tp, _ in of)


NAIVE = [
    (Objective("recall_at_fpr", (0.3,)), naive_recall),
    (Objective("recall_at_fpr", (0.01,)), naive_recall),
    (Objective("expected_cost", (10.0, 1.0)), naive_cost),
    (Objective("expected_cost", (1.0, 3.0)), naive_cost),
    (Objective("f_beta", (1.0,)), naive_f_beta),
    (Objective("f_beta", (2.0,)), naive_f_beta),
]
rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 5), st.sampled_from([0.25, 0.5, 1.0])), max_size=20
)


@pytest.mark.parametrize(("metric", "naive"), NAIVE, ids=[str(metric) for metric, _ in NAIVE])
@given(rows=rows)
def test_metrics_equal_counting_by_hand(metric, naive, rows):
    rows = [*rows, (0, 2, 1.0), (1, 3, 1.0)]  # both classes are there
    label, score, weight = (np.array(column) for column in zip(*rows, strict=True))
    assert metric(label, score.astype(np.float64), weight) == pytest.approx(
        naive(label, score, weight, *metric.numbers)
    )


def test_metrics_equal_scikit_learn_s():
    rng = np.random.default_rng(1)
    label, score, weight = rng.integers(0, 2, 400), rng.random(400).round(1), rng.random(400)
    assert Objective()(label, score, weight) == pytest.approx(
        average_precision_score(label, score, sample_weight=weight)
    )
    best = max(fbeta_score(label, score >= t, beta=2, sample_weight=weight) for t in np.unique(score))
    assert Objective("f_beta", (2.0,))(label, score, weight) == pytest.approx(best)


def test_a_rate_that_no_threshold_keeps_catches_nobody():
    label, score = np.array([0, 1, 1]), np.array([0.9, 0.8, 0.1])
    assert Objective("recall_at_fpr", (0.5,))(label, score, np.ones(3)) == 0.0
