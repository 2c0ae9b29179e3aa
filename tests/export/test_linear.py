"""Inputs of a linear model: far amounts by their logarithm, shares as they are, and missing values."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from export.onnx import Calibrated, Scales, Sigmoid, convert, parity, standardized
from export.onnx.linear import FARTHEST_DEVIATION
from training.models.candidates import CANDIDATES


def fitted(vectors, label):
    return CANDIDATES["logistic_regression"].fit(vectors, label, np.ones(len(label)), {"l2": 1.0}, 0)


def shares(seed, rows=3_000):
    """Shares of which four fifths lie within a thousandth below 1; the odds of the label fall evenly with all."""
    rng = np.random.default_rng(seed)
    is_near = rng.random((rows, 4)) < 0.8
    vectors = np.where(is_near, 1 - 0.001 * rng.random((rows, 4)), rng.random((rows, 4))).astype(np.float32)
    mean = vectors.mean(axis=1)
    return vectors, (rng.random(rows) < 1 / (1 + np.exp(2 + 30 * (mean - mean.mean())))).astype(np.int64)


def test_a_share_of_small_spread_says_as_much_as_to_scikit_learn():
    """Scaled by spread alone, 0.9 and 0.1 would lie 200 and 1,800 of it from the median: nearly the same logarithm."""
    (vectors, label), (others, truth) = shares(1), shares(2)
    known = make_pipeline(StandardScaler(), LogisticRegression()).fit(vectors, label)
    ours = average_precision_score(truth, fitted(vectors, label).decision_function(others))
    assert ours > average_precision_score(truth, known.predict_proba(others)[:, 1]) - 0.01


def test_an_amount_over_many_powers_of_ten_counts_by_its_logarithm():
    rng = np.random.default_rng(3)
    vectors = rng.lognormal(3, 3, (4_000, 1)).astype(np.float32)
    label = (rng.random(4_000) < 1 / (1 + np.exp(8 - 2 * np.log(vectors[:, 0])))).astype(np.int64)
    odds = fitted(vectors, label).decision_function(np.array([[1e1], [1e2], [1e3], [1e4]], np.float32))
    assert (np.diff(odds) > 1).all(), "ten times as much always says more"


def test_scales_leave_the_missing_out_and_nothing_is_no_number():
    vectors = np.array([[1.0, np.nan, 7.0], [3.0, np.nan, 7.0], [np.nan, np.nan, 7.0]], np.float32)
    inputs = standardized(np.concatenate([vectors, np.full((1, 3), 3e38, np.float32)]), Scales.of(vectors))
    assert inputs.shape == (4, 9) and np.isfinite(inputs).all()
    assert inputs[:3, 6:].tolist() == np.isnan(vectors).tolist()
    assert (inputs[:3][:, [1, 2, 4, 5]] == 0).all() and np.abs(inputs[:, 3:6]).max() == FARTHEST_DEVIATION
    assert inputs[0, 3] == -inputs[1, 3] == pytest.approx(-1.0), "one standard deviation below the mean"


def test_the_graph_says_the_same_of_shares():
    vectors, label = shares(4)
    model = Calibrated(fitted(vectors, label), Sigmoid())
    assert parity(model, convert(model, 4), vectors) <= 1e-6
