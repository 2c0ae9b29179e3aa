"""Calibrated scores are probabilities: known ones are recovered, order stays, and noise says the base rate."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from export.onnx import Sigmoid
from training.models.calibrate import LEAST_SLOPE, crossfitted, fit_sigmoid


def drawn(seed, rows, sigmoid):
    """Margins, and labels whose probability is the sigmoid of them."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(1, 2, rows)
    return margin, (rng.random(rows) < sigmoid(margin)).astype(np.int64)


def calibration_error(probability, label, weight, bins=10):
    """Expected calibration error: how far bins of equal numbers are from the share of positives, on average."""
    order = np.array_split(np.argsort(probability), bins)
    gaps = [
        abs(np.average(probability[i], weights=weight[i]) - np.average(label[i], weights=weight[i]))
        for i in order
    ]
    return float(np.average(gaps, weights=[weight[i].sum() for i in order]))


@pytest.mark.parametrize("true", [Sigmoid(0.5, -3.0), Sigmoid(1.0, 0.0), Sigmoid(2.5, 1.0)])
def test_a_known_sigmoid_is_recovered(true):
    margin, label = drawn(1, 60_000, true)
    found = fit_sigmoid(margin, label, np.ones(len(label)))
    assert found.rises
    assert found.slope == pytest.approx(true.slope, rel=0.05)
    assert found.intercept == pytest.approx(true.intercept, abs=0.1)
    assert calibration_error(found(margin), label, np.ones(len(label))) < 0.005


def test_it_is_the_logistic_regression_of_scikit_learn():
    """On 100,000 rows Platt's targets are all but 0 and 1."""
    margin, label = drawn(2, 100_000, Sigmoid(0.8, -1.0))
    weight = np.random.default_rng(2).random(len(label)) * 2
    found = fit_sigmoid(margin, label, weight)
    known = LogisticRegression(C=1e9, tol=1e-10).fit(margin[:, None], label, weight)
    assert (found.slope, found.intercept) == pytest.approx((known.coef_[0, 0], known.intercept_[0]), abs=1e-3)


def test_weights_are_how_often_a_customer_counts():
    margin, label = drawn(3, 3_000, Sigmoid(1.0, -1.0))
    times = np.random.default_rng(3).integers(1, 5, len(margin))
    each = np.repeat(np.arange(len(margin)), times)
    once = fit_sigmoid(margin, label, np.ones(len(margin)))
    spread = fit_sigmoid(margin[each], label[each], 1.0 / times[each])
    assert (spread.slope, spread.intercept) == pytest.approx((once.slope, once.intercept), rel=1e-6)


def test_classes_that_are_apart_give_no_endless_slope():
    margin = np.concatenate([np.linspace(-5, -4, 20), np.linspace(4, 5, 20)])
    found = fit_sigmoid(margin, (margin > 0).astype(np.int64), np.ones(40))
    probability = found(margin)
    assert found.rises and 0.9 < probability.max() < 1
    assert 0 < probability.min() < 0.1


@pytest.mark.parametrize("sign", [-1.0, 0.0])
def test_without_signal_all_scores_are_near_the_base_rate_in_the_learner_s_order(sign):
    margin, label = drawn(4, 5_000, Sigmoid(1.0, -2.0))
    found = fit_sigmoid(sign * margin, label, np.ones(len(label)))
    assert not found.rises and found.slope > 0
    assert found(sign * margin) == pytest.approx(np.full(len(label), label.mean()), abs=0.01)
    assert (np.argsort(found(sign * margin), kind="stable") == np.argsort(sign * margin, kind="stable")).all()


def test_margins_that_are_all_alike_have_no_signal():
    found = fit_sigmoid(np.full(100, 3.0), (np.arange(100) < 20).astype(np.int64), np.ones(100))
    assert not found.rises and found.slope == LEAST_SLOPE
    assert found(np.array([3.0])) == pytest.approx(0.2, abs=0.01)


def test_huge_margins_are_certain_and_no_error():
    assert Sigmoid(3.0, 1.0)(np.array([-1e300, 0.0, 1e300])) == pytest.approx([0.0, 0.731, 1.0], abs=1e-3)


def test_a_fold_is_calibrated_by_the_others():
    margin, label = drawn(5, 900, Sigmoid(1.0, 0.0))
    fold = np.arange(900) % 3
    found = crossfitted(margin, label, np.ones(900), fold)
    changed = np.where(fold == 1, 1 - label, label)
    again = crossfitted(margin, changed, np.ones(900), fold)
    assert found[1] == again[1], "its own labels do not matter"
    assert found[0] != again[0] and found[2] != again[2]
